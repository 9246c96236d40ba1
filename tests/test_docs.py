"""The documents say what the code says."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def test_settings_page_is_what_the_code_defines():
    page = runpy.run_path(str(DOCS / "generate.py"))["settings_page"]()
    assert (DOCS / "settings.md").read_text() == page, "run make docs"


def test_page_of_verdicts_has_what_is_written_by_hand():
    written = runpy.run_path(str(DOCS / "generate.py"))
    page = (DOCS / "verdicts.md").read_text()
    for part in ("VERDICTS", "BESIDE", "PEERS"):
        assert written[part] in page, "run make docs"


def test_page_of_mlflow_names_every_field_that_is_logged():
    source = (DOCS.parent / "pytest_nbci/delivery/fields.py").read_text()
    page = (DOCS / "mlflow.md").read_text()
    names = re.findall(r'"(nbci\.[a-z_0-9]+)"', source)
    assert len(names) > 30
    assert [name for name in names if f"`{name}`" not in page] == []
