"""Test data of the notebook in this folder: the newest visits on the ward's share."""

from pathlib import Path

import pytest

from pytest_nbci import NotebookData

SHARE = Path("/mnt/ward-share/visits")


def newest_file(folder: Path) -> Path:
    """Return the newest CSV file in the folder."""
    files = sorted(folder.glob("*.csv"))
    if not files:
        raise FileNotFoundError(f"no visits in {folder}: is the ward's share mounted?")
    return files[-1]


@pytest.fixture
def nbci_test_data() -> NotebookData:
    """The newest file as visits.csv beside the notebook."""
    return NotebookData(files={"broken/test_data_error/visits.csv": newest_file(SHARE)})
