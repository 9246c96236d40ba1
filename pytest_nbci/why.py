"""``nbci why``: which notebooks a run of what changed would run now, and why."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from pytest_nbci import settings
from pytest_nbci.configuration import configure
from pytest_nbci.context import Context, new_session_name
from pytest_nbci.errors import NbciError, UsageError
from pytest_nbci.records import session_prefix, utc_now
from pytest_nbci.repository import at_top, find_repository, printable
from pytest_nbci.selection import Decision, plan_notebooks
from pytest_nbci.session import Session
from pytest_nbci.state import state_folder


def explain(here: Path, notebook: str | None, flags: Mapping[str, str | None]) -> Iterator[str]:
    """Lines that tell of each notebook, or of those that ``notebook`` means, what selection says.

    Args:
        here: The present folder.
        notebook: A name, stem or glob; None: all.
        flags: Values of flags by the setting's name.

    Raises:
        UsageError: No repository, no such notebook, or a setting that cannot be worked with.
    """
    folder = settings.find_table_folder(here)
    repository = find_repository(folder or here)
    if folder is None:
        repository = at_top(repository)
    table = settings.read_table(repository.root)
    found = configure(repository, table, flags, os.environ)
    names = plan_notebooks(repository, table, ())
    wanted = [
        name for name in names if notebook is None or _means(notebook, name, here, repository.root)
    ]
    if not wanted:
        what = f"matches {notebook!r}" if notebook is not None else "is in git"
        raise UsageError(f"No notebook of {repository.root} {what}.", "nbci why lists them all.")
    session = Session(
        Context(
            repository=repository,
            table=table,
            profile=found.profile,
            project=found.project,
            session=new_session_name(repository)[0],
            destination=found.destination(state_folder(repository.root, os.environ)),
            publishes=False,
            notebooks=names,
            timeout_flag=None,
            started_at=utc_now(),
        )
    )
    try:
        session.select((), found.base)
        yield from _lines(
            session, {printable(name) for name in wanted}, is_one=notebook is not None
        )
    finally:
        session.close()


def _means(wanted: str, name: str, here: Path, root: Path) -> bool:
    """Whether ``wanted`` is the path (from here or the root), the stem or a glob of ``name``."""
    path = Path(os.path.abspath(here / wanted))  # noqa: PTH100 - links stay
    known = printable(name)
    return (
        path == root / name
        or wanted in (known, Path(known).stem, Path(known).name)
        or settings.matches(known, (wanted,))
    )


def _lines(session: Session, wanted: set[str], *, is_one: bool) -> Iterator[str]:
    choice = session.selector.choice
    assert choice is not None  # noqa: S101 - select came before
    for decision in choice.decisions:
        if decision.notebook in wanted:
            yield from _explained(session, decision, is_one=is_one)
    if not is_one:
        yield session.selector.lines()[0]
        if choice.note:
            yield f"everything is due: {choice.note}"
    yield from session.selector.problems


def _explained(session: Session, decision: Decision, *, is_one: bool) -> Iterator[str]:
    yield f"{'due' if decision.due else '   '}  {decision.sentence()}"
    if is_one:
        yield from (f"     {reason}" for reason in decision.more)
    entry = decision.entry
    if entry is None or decision.due:
        return
    with contextlib.suppress(NbciError):  # a damaged result names no session
        key = f"{session_prefix(session.context.project, entry.session)}/{entry.notebook}.html"
        yield f"     page: {session.selector.place(key)}"
