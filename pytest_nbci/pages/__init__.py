"""Pages: what a reviewer opens in a browser, each one self-contained HTML file.

``render_page`` draws one executed notebook with its record, ``render_index`` the list of a
session. Neither reads a file of the project nor the network, and neither raises for whatever a
notebook put into its outputs; docs/security.md says what a page can and cannot do to its reader.
Everything heavy is imported on use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from pytest_nbci.records import Record, Session

__all__ = ["get_ready", "render_index", "render_page"]


def get_ready() -> None:
    """Import and compile what the first page would have to wait for; in any thread."""
    from pytest_nbci.pages import index, page, resources  # noqa: F401

    resources.compile_templates()


def render_page(notebook: Mapping[str, Any], record: Record) -> str:
    """The page of one executed notebook.

    Args:
        notebook: The executed notebook in format 4, as ``json.loads`` gives it.
        record: What the notebook came to.

    Returns:
        A whole HTML document that needs no other file and makes no request. It can always be
        encoded as UTF-8.
    """
    from pytest_nbci.pages.page import render

    return render(notebook, record)


def render_index(session: Session, records: Sequence[Record]) -> str:
    """The list of a session's notebooks, failures first.

    Args:
        session: The session; what its plan knows of notebooks without a record is listed too.
        records: The records that there are.

    Returns:
        A whole HTML document. Its links are relative: ``<path of the notebook>.html`` next to it.
    """
    from pytest_nbci.pages.index import render

    return render(session, records)
