"""The documents say what the code says."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def test_settings_page_is_what_the_code_defines():
    page = runpy.run_path(str(DOCS / "generate.py"))["settings_page"]()
    assert (DOCS / "settings.md").read_text() == page, "run make docs"
