"""Reading and writing the ``_passed`` files of a results tree, a folder or a bucket."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pytest_nbci.errors import NbciError
from pytest_nbci.selection.state import SESSION_NAME, State
from pytest_nbci.store import Store

FOLDER = "_passed"
DETACHED = "HEAD"

_SUFFIX = ".json"
# Files of one branch that are looked at, the newest first.
_LOOKED_AT = 200


@dataclass
class Passed:
    """What was read.

    Args:
        states: The files' contents, the newest first.
        names: Sessions that these files are of, or say to cover.
        problems: Why something could not be read, one sentence each.
    """

    states: list[State] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


def passed_key(project: str, branch: str | None, session: str, root: str) -> str:
    """Where a session's file lies.

    Args:
        project: The project's name.
        branch: The branch; None for a detached head.
        session: The session.
        root: The project root in the repository, "" or ending in a slash: there may be several.
    """
    return f"{_prefix(project, branch)}{root}{session}.json"


def read_passed(
    stores: Sequence[Store], project: str, branches: Iterable[str | None], root: str
) -> Passed:
    """What ``stores`` hold of ``branches``; one that cannot be read is told, not raised.

    The project's name and ``root`` are those of ``passed_key``.
    """
    found = Passed()
    for store in stores:
        for branch in dict.fromkeys(branches):
            try:
                _read_branch(store, f"{_prefix(project, branch)}{root}", found)
            except NbciError as error:
                found.problems.append(str(error))
                break
    found.states.sort(key=lambda state: state.newest, reverse=True)
    return found


def _read_branch(store: Store, prefix: str, found: Passed) -> None:
    names = sorted(_names(store, prefix), reverse=True)[:_LOOKED_AT]
    covered: set[str] = set()
    for name in names:
        if name in covered or name in found.names:
            continue
        content = store.get(f"{prefix}{name}.json")
        if content is None:
            continue  # cleared away since it was listed
        try:
            state = State.from_json(content)
        except NbciError:
            continue  # of a newer version: not for us
        found.states.append(state)
        covered |= {name, *state.covers}
    found.names |= covered


def _names(store: Store, prefix: str) -> list[str]:
    """Sessions with a file; first of the last two months, since a listing of all may be long."""
    now = datetime.now(UTC)
    months = (now, now.replace(day=1) - timedelta(days=1))
    recent = [key for day in months for key in store.keys(f"{prefix}{day:%Y%m}")]
    keys = recent or list(store.keys(prefix))
    names = (key.removeprefix(prefix) for key in keys if key.endswith(_SUFFIX))
    found = (name.removesuffix(_SUFFIX) for name in names)
    return [name for name in found if SESSION_NAME.fullmatch(name)]


def _prefix(project: str, branch: str | None) -> str:
    return f"{project}/{FOLDER}/{branch or DETACHED}/"
