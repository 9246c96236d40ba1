"""Selection against a ground truth, with other random commits each time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.soak

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "selection.py"


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--notebooks", "40", "--modules", "30"),
        ("--pytest", "--notebooks", "8", "--modules", "10", "--commits", "25"),
    ],
    ids=["wide", "dense", "real sessions"],
)
def test_nothing_that_a_commit_can_have_broken_is_left_out(options: tuple[str, ...]):
    done = subprocess.run(
        [sys.executable, BENCHMARK, *options], check=False, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert "OMISSION" not in done.stdout
