from __future__ import annotations

from pathlib import Path

import pytest

from tests.selection.repositories import Analysed, make


@pytest.fixture
def repo(tmp_path: Path) -> Analysed:
    return make(tmp_path / "p")
