"""``examples/broken``: each notebook fails for the cause it is named after."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pytest_nbci.records import CAUSES, Record
from tests.project import PLAIN, Project

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("broken/**/*.ipynb"))


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    folder = tmp_path_factory.mktemp("broken")
    Project(EXAMPLES).run(
        *(sys.executable, "-m", "pytest", *PLAIN, "-q", "-p", "no:cacheprovider"),
        *map(str, NOTEBOOKS),
        NBCI_DIR=str(folder),
    )
    found = [Record.from_json(path.read_bytes()) for path in folder.rglob("*.ipynb.json")]
    return {Path(record.notebook).stem: record for record in found}


@pytest.mark.parametrize("cause", [path.stem for path in NOTEBOOKS])
def test_each_broken_example_fails_for_its_cause(records: dict[str, Record], cause: str):
    record = records[cause]
    assert record.cause == cause
    assert record.notebook in record.message
    assert record.cure


@pytest.mark.parametrize("cause", sorted(CAUSES))
def test_the_page_of_verdicts_has_every_cause(cause: str):
    assert (
        f"## {cause}\n{CAUSES[cause]}\n" in (EXAMPLES.parent / "docs" / "verdicts.md").read_text()
    )
