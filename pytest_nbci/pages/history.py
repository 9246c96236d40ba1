"""Past results, newest first, read from any store as they are needed.

One object a session tells a list all it shows; only a session that did not end is looked into.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from pytest_nbci.errors import NbciError
from pytest_nbci.host import is_dead
from pytest_nbci.records import (
    Record,
    Session,
    Summary,
    lost_record,
    session_prefix,
    summary_of,
)
from pytest_nbci.settings import matches
from pytest_nbci.store import Store

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_AHEAD = 16  # sessions asked for at once


@dataclass(frozen=True)
class Result:
    """One notebook's result in a list; ``key`` is that of the executed notebook.

    ``reused_from`` is the session that it is from, where it stands for one that was not due.
    """

    session: Session
    summary: Summary
    key: str
    reused_from: str | None = None

    @property
    def word(self) -> str:
        """What a list says of it."""
        return self.summary.outcome if self.reused_from is None else "reused"

    def to_plain(self, url: str) -> dict[str, Any]:
        """Values for JSON; ``url`` is the store's."""
        commit = self.session.commit
        return {
            "time": self.session.started_at,
            "notebook": self.summary.notebook,
            "outcome": self.summary.outcome,
            "reused_from": self.reused_from,
            "cause": self.summary.cause,
            "message": self.summary.message,
            "duration_s": self.summary.duration_s,
            "attempts": self.summary.attempts,
            "flaky": self.summary.flaky,
            "commit": commit.id if commit else None,
            "author": commit.author if commit else None,
            "commit_message": commit.message if commit else None,
            "branch": commit.branch if commit else None,
            "session": self.session.session,
            "pipeline": self.session.pipeline,
            "profile": self.session.profile,
            "result_path": f"{url}/{self.key}",
        }


@dataclass(frozen=True)
class Filters:
    """Which results a list is about; None: all.

    Attributes:
        notebook: A name, a stem (as ``-k``), or a glob.
        outcome: One of the outcomes.
        branch: Name of a branch.
        author: Part of the author's name or e-mail, in any case.
        commit: Beginning of a commit's id.
        since: First day, ``YYYY-MM-DD`` in UTC.
    """

    notebook: str | None = None
    outcome: str | None = None
    branch: str | None = None
    author: str | None = None
    commit: str | None = None
    since: str | None = None

    def accept_session(self, session: Session) -> bool:
        """Whether results of ``session`` may be wanted."""
        commit = session.commit
        if commit is None:
            return not (self.branch or self.author or self.commit)
        who = f"{commit.author} {commit.email}".lower()
        return (
            self.branch in (None, commit.branch)
            and commit.id.startswith(self.commit or "")
            and (self.author or "").lower() in who
        )

    def accept(self, summary: Summary) -> bool:
        """Whether a result of an accepted session is wanted."""
        if self.outcome not in (None, summary.outcome):
            return False
        wanted, name = self.notebook, summary.notebook
        if wanted is None or wanted in (name, PurePosixPath(name).stem):
            return True
        return matches(name, (wanted,)) or name.endswith(f"/{wanted}")


def find_results(store: Store, project: str, filters: Filters) -> Iterator[Result]:
    """The results that pass ``filters``, newest session first.

    Raises:
        DeliveryError: The store cannot be read.
    """
    for session in sessions(store, project):
        if filters.since is not None and session.started_at < filters.since:
            return
        if filters.accept_session(session):
            found = results(store, session)
            if filters.outcome is None:  # what was reused came of no run
                found += reused(session)
            yield from (one for one in found if filters.accept(one.summary))


def sessions(store: Store, project: str) -> Iterator[Session]:
    """All sessions of ``project``, newest first; unreadable ones are passed over.

    Raises:
        DeliveryError: The store cannot be read.
    """
    with ThreadPoolExecutor(_AHEAD) as pool:
        names = _session_names(store, project)
        while batch := list(islice(names, _AHEAD)):
            found = pool.map(lambda name: _read(store, project, name), batch)
            yield from (session for session in found if session is not None)


def _session_names(store: Store, project: str) -> Iterator[str]:
    for date in reversed(store.folders(f"{project}/")):
        if _DATE.fullmatch(date):
            yield from reversed(store.folders(f"{project}/{date}/"))


def _read(store: Store, project: str, name: str) -> Session | None:
    try:
        content = store.get(f"{session_prefix(project, name)}/_session.json")
        return None if content is None else Session.from_json(content)
    except NbciError:
        return None


def results(store: Store, session: Session) -> list[Result]:
    """The results of a session; what was planned and left nothing when it died is ``lost``."""
    prefix = session_prefix(session.project, session.session)
    summaries = {one.notebook: one for one in session.results}
    if not session.complete:
        summaries |= {one.notebook: one for one in _left_behind(store, prefix)}
        if is_dead(session):
            for planned in session.plan:
                if planned.due and planned.notebook not in summaries:
                    summaries[planned.notebook] = summary_of(lost_record(session, planned.notebook))
    return [Result(session, summaries[name], f"{prefix}/{name}") for name in sorted(summaries)]


def reused(session: Session) -> list[Result]:
    """Earlier results that stand for notebooks which were not due in ``session``."""
    return [
        Result(
            session,
            Summary(planned.notebook, "passed", None, planned.why, 0.0),
            f"{session_prefix(session.project, planned.reused_from)}/{planned.notebook}",
            planned.reused_from,
        )
        for planned in session.plan
        if not planned.due and planned.reused_from is not None
    ]


def _left_behind(store: Store, prefix: str) -> Iterator[Summary]:
    for key in store.keys(f"{prefix}/"):
        if key.endswith(".ipynb.json"):
            content = store.get(key)
            if content is not None:
                with suppress(NbciError):  # no record: what it stood for is lost
                    yield summary_of(Record.from_json(content))
