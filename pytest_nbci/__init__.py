"""pytest-nbci: every committed notebook is a test.

``NotebookData`` is what an override of the fixture ``nbci_test_data`` returns.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from pytest_nbci.execution.test_data import NotebookData

__all__ = ["NotebookData", "__version__"]

__version__ = "0.1.0"


class _Unchanged:
    """Finds our modules before pytest does, which would rewrite the assertions of a plugin.

    We have none for users to read; but a new container has no bytecode of what pytest rewrote, so
    each session would compile a hundred modules anew, which takes longer than to import them.
    """

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As the interpreter would: https://docs.python.org/3/reference/import.html#the-meta-path."""
        is_ours = name.startswith(f"{__name__}.")
        return PathFinder.find_spec(name, path, target) if is_ours else None


sys.meta_path.insert(0, _Unchanged)


def __getattr__(name: str) -> object:
    """Import ``NotebookData`` on first use: the plugin's own load stays free of it."""
    if name == "NotebookData":
        from pytest_nbci.execution.test_data import NotebookData

        return NotebookData
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
