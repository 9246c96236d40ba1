"""Property tests with examples that nobody has tried yet; `make test` tries the same each time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.soak

TESTS = Path(__file__).parent.parent
FILES = sorted(
    path.relative_to(TESTS).as_posix()
    for path in TESTS.rglob("test_*.py")
    if "@given" in path.read_text() and path.parent != Path(__file__).parent
)


@pytest.mark.parametrize("again", range(5))
@pytest.mark.parametrize("file", FILES)
def test_no_new_example_fails(file: str, again: int):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", file],
        cwd=TESTS,
        env={**os.environ, "NBCI_TEST_EXPLORE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
