"""Mutation check: for each cause and cure, a line of ours without which a test turns red."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_nbci
from tests.table.mutations import FIDELITY, MUTATIONS, Mutation
from tests.table.session import disagreements, run_rows, write_rows

pytestmark = pytest.mark.soak

PACKAGE = Path(pytest_nbci.__file__).parent
REPOSITORY = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("cause", MUTATIONS)
def test_without_its_line_a_cause_is_not_found(tmp_path: Path, cause: str):
    mutation = MUTATIONS[cause]
    assert is_red(mutation, tmp_path, mutate(mutation, tmp_path))


@pytest.mark.parametrize("cure", FIDELITY)
def test_without_its_cure_a_warm_kernel_differs(tmp_path: Path, cure: str):
    mutation = FIDELITY[cure]
    assert is_red_test(mutation.test, mutate(mutation, tmp_path))


def mutate(mutation: Mutation, folder: Path) -> str:
    """A folder with the package and the one line changed in it."""
    mutated = folder / "mutated"
    shutil.copytree(PACKAGE, mutated / "pytest_nbci", ignore=shutil.ignore_patterns("__pycache__"))
    path = mutated / "pytest_nbci" / mutation.file
    lines = path.read_text().splitlines()
    lines[lines.index(mutation.line)] = mutation.instead
    path.write_text("\n".join(lines) + "\n")
    return str(mutated)


def is_red(mutation: Mutation, folder: Path, mutated: str) -> bool:
    if mutation.test:
        return is_red_test(mutation.test, mutated)
    told = run_rows(write_rows(folder / "p", ("raises", *mutation.rows)), PYTHONPATH=mutated)
    try:
        return any(disagreements(told, name) for name in mutation.rows)
    except (OSError, KeyError):  # a record or a test case is missing altogether
        return True


def is_red_test(test: str, mutated: str) -> bool:
    # Without -P, the package in the working folder would come before the mutated one.
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", test],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": mutated},
        capture_output=True,
        text=True,
        check=False,
    )
    if "skipped" in done.stdout and done.returncode == 0:
        pytest.skip(f"{test} cannot run here")
    return done.returncode == 1
