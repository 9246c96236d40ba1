"""A pytest run as a session: its snapshot, its results folder, its record from plan to end.

The controller owns a ``Session``; the context and the snapshot travel to xdist workers as plain
values. Only the controller writes ``_session.json``; whoever ran a notebook writes its results.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from pytest_nbci import records
from pytest_nbci.context import Context
from pytest_nbci.delivery import write_lost_record
from pytest_nbci.errors import NbciError
from pytest_nbci.execution.checkout import Snapshot, make_snapshot
from pytest_nbci.execution.scratch import make_scratch, remove_scratch
from pytest_nbci.host import host_of
from pytest_nbci.records import Commit, Planned, Record, Summary
from pytest_nbci.repository import printable
from pytest_nbci.scrub import Secrets, find_secrets, scrub_text
from pytest_nbci.worker import begun_below

INDEX = "index.html"


class Session:
    """The controller's side: snapshot, session record, and what is removed at the end."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.snapshot: Snapshot | None = None
        self.results: dict[str, Summary] = {}
        self._lost: dict[str, Record] = {}
        self._scratch: tuple[Path, int] | None = None
        self._plan: tuple[Planned, ...] = ()

    @property
    def scratch(self) -> Path:
        """The scratch folder; ``begin`` made it."""
        assert self._scratch is not None  # noqa: S101 - a caller's mistake, not a user's
        return self._scratch[0]

    @property
    def is_planned(self) -> bool:
        """Whether the session's record is written."""
        return bool(self._plan)

    def begin(self) -> Snapshot:
        """Make the scratch folder and the snapshot, once.

        Raises:
            UsageError: The index is unmerged.
            CheckoutError: The working tree cannot be read.
        """
        if self.snapshot is None:
            repository = self.context.repository
            self._scratch = make_scratch(repository.top)
            self.snapshot = make_snapshot(repository, self.scratch / "snapshot")
            head = self.snapshot.head
            dirty = head is not None and repository.tree_of(head) != self.snapshot.tree
            commit = repository.author_commit(os.environ)
            if commit is not None:
                secrets = find_secrets(os.environ, self.context.destination.scrub)
                commit = _scrubbed(commit, secrets)
            self.context = dataclasses.replace(self.context, commit=commit, dirty=dirty)
        return self.snapshot

    def plan(self, selected: Sequence[str]) -> None:
        """Write the session's record with the notebooks that will run.

        Raises:
            DeliveryError: The results folder cannot be written.
        """
        chosen = {printable(path) for path in selected}
        self._plan = tuple(
            Planned(name, due=name in chosen, why="" if name in chosen else "deselected")
            for name in sorted({printable(path) for path in self.context.notebooks} | chosen)
        )
        self._write(self._session(None))

    def find_lost(self) -> list[str]:
        """Give a result to every notebook that began and left none.

        Returns:
            Those that are lost. Where the record was written, and pytest just did not hear of it
            any more, the result stands.
        """
        if not self._plan:
            return []
        begun = begun_below(self.scratch)
        return [name for name in sorted(begun - set(self.results)) if self.lose(name)]

    def lose(
        self, name: str, why: str = "pytest or its worker ended before it was done"
    ) -> Record | None:
        """Give a notebook that was running its lost result; None if its result was written."""
        written = self._written(name)
        record = written or records.lost_record(self._session(None), name, why)
        self.results[name] = records.summary_of(record)
        if written is not None:
            return None
        self._lost[name] = record
        return record

    def _written(self, name: str) -> Record | None:
        try:
            content = self.context.store.get(f"{self.context.prefix}/{name}.json")
            return None if content is None else Record.from_json(content)
        except NbciError:
            return None

    def finish(self, exit_status: int) -> None:
        """Replace the session's record by the complete one, and write those of lost notebooks.

        Raises:
            DeliveryError: The results folder cannot be written.
        """
        if not self._plan:
            return
        session = self._session(exit_status)
        self._write(session)
        for name, record in self._lost.items():
            if self.results[name].outcome == "lost":  # another worker may have run it too
                write_lost_record(self.context.destination.results, record)
        self._write_index(session)

    @property
    def not_run(self) -> list[str]:
        """Notebooks that were due and did not begin."""
        return [one.notebook for one in self._plan if one.due and one.notebook not in self.results]

    def close(self) -> None:
        """Remove the scratch folder."""
        if self._scratch is not None:
            remove_scratch(*self._scratch)
            self._scratch = None

    def _write_index(self, session: records.Session) -> None:
        """A page that lists the results: a view for this folder, so it is not published."""
        from pytest_nbci.pages import render_index

        context = self.context
        found = [context.store.get(f"{context.prefix}/{name}.json") for name in self.results]
        read = [Record.from_json(content) for content in found if content is not None]
        page = render_index(session, read).encode("utf-8", "xmlcharrefreplace")
        context.store.put(f"{context.prefix}/{INDEX}", page)

    def _session(self, exit_status: int | None) -> records.Session:
        """The session as it is now; without an exit status it has not ended."""
        context, is_over = self.context, exit_status is not None
        return records.Session(
            session=context.session,
            project=context.project,
            complete=is_over,
            exit_status=exit_status,
            started_at=context.started_at,
            ended_at=records.utc_now() if is_over else None,
            host=host_of(os.getpid()),
            pipeline=os.environ.get("CI_PIPELINE_ID"),
            commit=context.commit,
            profile=context.profile.name,
            plan=self._plan,
            results=tuple(self.results[name] for name in sorted(self.results)),
        )

    def _write(self, session: records.Session) -> None:
        data = session.to_json().encode("utf-8", "backslashreplace")
        self.context.store.put(f"{self.context.prefix}/_session.json", data)


def _scrubbed(commit: Commit, secrets: Secrets) -> Commit:
    """``commit`` with what its author wrote freely scrubbed; id and branch are what it is."""
    said = {name: getattr(commit, name) for name in ("author", "email", "message")}
    return dataclasses.replace(
        commit, **{name: scrub_text(text, secrets) for name, text in said.items()}
    )
