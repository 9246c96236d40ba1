"""pytest-nbci: every committed notebook is a test.

``NotebookData`` is what an override of the fixture ``nbci_test_data`` returns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_nbci.execution.test_data import NotebookData

__all__ = ["NotebookData", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import ``NotebookData`` on first use: the plugin's own load stays free of it."""
    if name == "NotebookData":
        from pytest_nbci.execution.test_data import NotebookData

        return NotebookData
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
