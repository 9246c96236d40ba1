"""Test data of the notebooks in this folder: what train.ipynb would have written."""

from pathlib import Path

import pandas as pd
import pytest

from pytest_nbci import NotebookData


@pytest.fixture
def nbci_test_data(tmp_path: Path) -> NotebookData:
    """Twelve predictions as data/predictions.csv, all within 40 points of the truth."""
    measured = [45, 60, 72, 85, 101, 120, 138, 151, 178, 206, 248, 310]
    missed_by = [31, 22, 18, 25, 12, 9, -4, -11, 6, -22, -29, -38]
    table = pd.DataFrame({"patient": range(1, 13), "visit": 1, "progression": measured})
    table["predicted"] = table["progression"] + missed_by
    path = tmp_path / "predictions.csv"
    table.to_csv(path, index=False)
    return NotebookData(files={"data/predictions.csv": path})
