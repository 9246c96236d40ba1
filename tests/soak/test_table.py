"""The whole table again and again: the same verdicts each time, serial, in parallel, and cold."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.project import Project
from tests.table.session import ROWS, disagreements, run_rows, write_rows

pytestmark = pytest.mark.soak

RERUNS = int(os.environ.get("NBCI_TEST_RERUNS") or 10)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return write_rows(tmp_path_factory.mktemp("soak") / "p")


@pytest.mark.parametrize("rerun", range(RERUNS))
@pytest.mark.parametrize("how", [(), ("-n", "2")], ids=["serial", "parallel"])
def test_the_table_holds(project: Project, how: tuple[str, ...], rerun: int):
    told = run_rows(project, *how)
    found = {name: disagreements(told, name) for name in ROWS}
    assert {name: said for name, said in found.items() if said} == {}
    assert told.left == []


def test_the_table_holds_with_cold_kernels(tmp_path: Path):
    """Warm ones are the default, so all other runs of the table have those."""
    told = run_rows(write_rows(tmp_path / "p", settings="warm = false"))
    found = {name: disagreements(told, name) for name in ROWS}
    assert {name: said for name, said in found.items() if said} == {}
    assert told.left == []


@pytest.mark.parametrize("name", ROWS)
def test_a_row_holds_in_a_session_of_its_own(tmp_path: Path, name: str):
    names = {name, *(f"{need.removesuffix('.ipynb')}" for need in ROWS[name].nbci.get("needs", ()))}
    told = run_rows(write_rows(tmp_path / "p", names), f"{name}.ipynb")
    assert disagreements(told, name) == []
    assert told.left == []
