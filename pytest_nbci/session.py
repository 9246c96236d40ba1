"""A pytest run as a session: its snapshot, its results folder, its record from plan to end.

The controller owns a ``Session``; the context and the snapshot travel to xdist workers as plain
values. Only the controller writes ``_session.json``; whoever ran a notebook writes its results.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from pytest_nbci import records
from pytest_nbci.context import Context
from pytest_nbci.errors import DeliveryError, NbciError, NotebookError
from pytest_nbci.execution.checkout import Snapshot, make_snapshot
from pytest_nbci.execution.scratch import make_scratch, remove_scratch
from pytest_nbci.host import host_of
from pytest_nbci.records import Commit, Planned, Record, Summary
from pytest_nbci.repository import printable
from pytest_nbci.scrub import Secrets, find_secrets, scrub_text
from pytest_nbci.selecting import Selector
from pytest_nbci.witness import Witness
from pytest_nbci.worker import begun_below

INDEX = "index.html"


class Session:
    """The controller's side: snapshot, session record, and what is removed at the end."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.snapshot: Snapshot | None = None
        self.results: dict[str, Summary] = {}
        self.failed: set[str] = set()
        self._lost: dict[str, Record] = {}
        self._scratch: tuple[Path, int] | None = None
        self._plan: tuple[Planned, ...] = ()
        self.missed: list[str] = []
        self.selector = Selector(context.ground, context.destination, context.project)

    @cached_property
    def witness(self) -> Witness:
        """What is known of the snapshot's notebooks; ``begin`` came before."""
        assert self.snapshot is not None  # noqa: S101 - a caller's mistake, not a user's
        state = self.context.destination.state
        cache = state if state.is_dir() else None  # --collect-only writes nothing
        return Witness(self.context.ground, self.snapshot, cache)

    def select(self, named: Sequence[str], reference: str | None) -> None:
        """Leave out the notebooks that passed before with the same inputs.

        Args:
            named: Notebooks that were named as arguments, and run in any case.
            reference: A commit to compare with those that have no result yet.

        Raises:
            NbciError: The working tree cannot be read, or there is no such commit.
        """
        self.begin()
        notebooks = self.context.notebooks
        self.selector.choose(self.witness.analysis, notebooks, named, reference)
        reasons = self.selector.reasons
        due = tuple(path for path in notebooks if printable(path) in reasons)
        self.context = dataclasses.replace(self.context, notebooks=due, reasons=reasons)

    def marks_of(self, notebook: str) -> tuple[str, ...]:
        """The marks that the settings of a tracked notebook give it; ``begin`` came before."""
        analysis = self.witness.analysis
        try:
            return analysis.settings_of(analysis.rules.prefix + notebook).marks
        except NotebookError:
            return ()

    @property
    def scratch(self) -> Path:
        """The scratch folder, made when it is asked for.

        Raises:
            CheckoutError: The temporary folder cannot be written.
        """
        if self._scratch is None:
            self._scratch = make_scratch(self.context.repository.top)
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
            self.snapshot = make_snapshot(self.context.repository, self.scratch / "snapshot")
        return self.snapshot

    def describe(self) -> Context:
        """The context with the commit that is tested; ``begin`` came before."""
        assert self.snapshot is not None  # noqa: S101 - a caller's mistake, not a user's
        repository, head = self.context.repository, self.snapshot.head
        dirty = head is not None and repository.tree_of(head) != self.snapshot.tree
        commit = repository.author_commit(os.environ)
        if commit is not None:
            secrets = find_secrets(os.environ, self.context.destination.scrub)
            commit = _scrubbed(commit, secrets)
        self.context = dataclasses.replace(self.context, commit=commit, dirty=dirty)
        return self.context

    def plan(self, selected: Sequence[str]) -> None:
        """Write the session's record with the notebooks that will run.

        Raises:
            DeliveryError: The results folder cannot be written.
        """
        chosen = {printable(path) for path in selected}
        reasons = self.context.reasons
        planned = [
            Planned(name, name in chosen, reasons.get(name, "") if name in chosen else "deselected")
            for name in {printable(path) for path in self.context.notebooks} | chosen
        ]
        planned += [
            Planned(one.notebook, False, one.why, one.entry.session if one.entry else None)  # noqa: FBT003
            for one in self.selector.left_out
        ]
        self._plan = tuple(sorted(planned, key=lambda one: one.notebook))
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
        problem = self._settle()  # what a complete session names outlives a power failure
        self._write(session)
        if not self.results and self.context.publishes:
            # Nothing was due, so no publisher runs for the sake of this one file.
            self.selector.upload(f"{self.context.prefix}/_session.json", _encoded(session))
        for name, record in self._lost.items():
            from pytest_nbci.delivery import write_lost_record

            if self.results[name].outcome == "lost":  # another worker may have run it too
                write_lost_record(self.context.destination.results, record)
        read = self._records()
        if read:
            self._remember(read)
            self._write_index(session, read)
        problem = problem or self._settle()
        if problem is not None:
            raise problem

    def _settle(self) -> DeliveryError | None:
        try:
            self.context.store.settle()
        except DeliveryError as error:
            return error
        return None

    @property
    def not_run(self) -> list[str]:
        """Notebooks that were due and did not begin."""
        return [one.notebook for one in self._plan if one.due and one.notebook not in self.results]

    def close(self) -> None:
        """End what is open, and remove the scratch folder."""
        if "witness" in self.__dict__:
            self.witness.close()
        if self._scratch is not None:
            remove_scratch(*self._scratch)
            self._scratch = None

    def _remember(self, read: Sequence[Record]) -> None:
        """Hand on what passed; where that fails the next session runs more than it must."""
        # Another plugin may have failed the test of a notebook that passed.
        read = [
            dataclasses.replace(one, outcome="failed")
            if one.notebook in self.failed and one.outcome == "passed"
            else one
            for one in read
        ]
        try:
            self.missed = self.selector.missed(self.witness.analysis, self.context.notebooks, read)
            self.selector.write(self.witness.analysis, self.context.session, read)
        except NbciError as error:
            self.missed.append(f"What passed could not be remembered: {error}")

    def _records(self) -> list[Record]:
        context = self.context
        found = [context.store.get(f"{context.prefix}/{name}.json") for name in self.results]
        return [Record.from_json(content) for content in found if content is not None]

    def _write_index(self, session: records.Session, read: Sequence[Record]) -> None:
        """A page that lists the results: a view for this folder, so it is not published."""
        from pytest_nbci.pages import render_index

        context = self.context
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
        self.context.store.put(f"{self.context.prefix}/_session.json", _encoded(session))


def _encoded(session: records.Session) -> bytes:
    return session.to_json().encode("utf-8", "backslashreplace")


def _scrubbed(commit: Commit, secrets: Secrets) -> Commit:
    """``commit`` with what its author wrote freely scrubbed; id and branch are what it is."""
    said = {name: getattr(commit, name) for name in ("author", "email", "message")}
    return dataclasses.replace(
        commit, **{name: scrub_text(text, secrets) for name, text in said.items()}
    )
