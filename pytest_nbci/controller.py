"""The controller's hooks: begin and end of a session, xdist workers, publishing, the summary."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pytest_nbci.collection import NotebookCollection, NotebookItem
from pytest_nbci.delivery import Follower, Report
from pytest_nbci.errors import DeliveryError, NbciError
from pytest_nbci.live import Live
from pytest_nbci.repository import printable
from pytest_nbci.results import summary_in
from pytest_nbci.session import INDEX, Session, Worker, read_selected
from pytest_nbci.settings import describe

_NAMED_AT_MOST = 3


class Controller:
    """Registered in a serial run and in an xdist controller, not in workers."""

    def __init__(
        self, config: pytest.Config, session: Session, collection: NotebookCollection
    ) -> None:
        self._config = config
        self._session = session
        self._collection = collection
        self._follower: Follower | None = None
        self._report: Report | None = None
        self._problems: list[str] = []
        self._live: Live | None = None

    def pytest_report_header(self) -> str:
        """One line: what is run, and where results go."""
        context = self._session.context
        count = len(context.notebooks)
        parts = [f"{count} notebook{'s' * (count != 1)}", f"profile {context.profile.name}"]
        if context.publishes:
            parts += [f"store {_describe_store(context.destination.store)}"]
            parts += [f"mlflow {context.destination.tracking or 'off'}"]
        return f"nbci: {', '.join(parts)}"

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Hand the session to an xdist worker."""
        snapshot = self._begin()
        node.workerinput["nbci"] = {
            "context": self._session.context.to_plain(),
            "snapshot": snapshot.to_plain(),
            "scratch": os.fsencode(self._session.scratch),
        }

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any) -> None:
        """The first worker's collection is everybody's."""
        self._plan(read_selected(self._session.scratch / node.gateway.id))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """What a serial run will run is known."""
        if self._config.getoption("collectonly") or self._is_distributed():
            return
        selected = [item.notebook_path for item in session.items if isinstance(item, NotebookItem)]
        if not selected:
            return
        snapshot = self._begin()
        context = self._collection.context = self._session.context
        self._collection.worker = Worker(context, snapshot, self._session.scratch / "w")
        self._plan(selected)

    def _is_distributed(self) -> bool:
        return self._config.pluginmanager.has_plugin("dsession")

    def _begin(self) -> Any:
        try:
            return self._session.begin()
        except NbciError as error:
            raise pytest.UsageError(str(error)) from error

    def _plan(self, selected: list[str]) -> None:
        if not selected or self._session.is_planned:
            return
        try:
            self._session.plan(selected)
        except DeliveryError as error:
            raise pytest.UsageError(str(error)) from error
        context = self._session.context
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            self._live = Live(reporter, lambda: self._session.scratch)
            self._config.pluginmanager.register(self._live, "nbci-live")
            self._live.start()
        if context.publishes:
            self._follower = Follower.start(context.destination, context.session)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Hand a written result to the publisher."""
        summary = summary_in(report)
        if summary is not None:
            self._session.results[summary.notebook] = summary
            if self._follower is not None:
                self._follower.result_written(summary.notebook)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Complete the session's record, then wait for the publisher."""
        self._end_live()
        try:
            for name in self._session.finish(int(exitstatus)):
                self._problems.append(f"{name} is lost: it began and left no result")
                if self._follower is not None:
                    self._follower.result_written(name)
        except DeliveryError as error:
            self._problems.append(str(error))
        if self._follower is not None:
            self._report = self._follower.finish(self._show_progress)
            self._show_progress("")
            self._follower = None

    def _show_progress(self, text: str) -> None:
        reporter: Any = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and reporter.isatty:
            reporter.write(f"\r\x1b[K{text}", flush=True)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Where results are, what was published, what waits, what git does not know."""
        lines = self._summary()
        if lines:
            terminalreporter.ensure_newline()
            terminalreporter.section("nbci", sep="-")
            for line in lines:
                terminalreporter.write_line(line)

    def _summary(self) -> list[str]:
        context = self._session.context
        lines = [context.state_note] if context.state_note else []
        if self._session.results:
            place = describe(context.store.path(context.prefix) / INDEX)
            lines.append(f"results: {place}")
        if self._report is not None:
            lines.append(self._report.sentence())
        lines += self._problems
        untracked = [] if self._config.getoption("collectonly") else self._untracked()
        if untracked:
            shown = ", ".join(untracked[:_NAMED_AT_MOST])
            more = ", …" if len(untracked) > _NAMED_AT_MOST else ""
            noun = "notebook is" if len(untracked) == 1 else "notebooks are"
            lines.append(
                f"{len(untracked)} {noun} not in git and did not run: {shown}{more} (git add)"
            )
        return lines

    def _untracked(self) -> list[str]:
        context = self._session.context
        if not self._session.results:
            return []
        planned = set(context.notebooks)
        found = context.repository.untracked_notebooks()
        return [printable(path) for path in found if path not in planned]

    def _end_live(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def pytest_unconfigure(self) -> None:
        """Remove the scratch folder, however the session ended."""
        self._end_live()
        if self._follower is not None:
            self._follower.finish(lambda _: None)
        self._session.close()


def _describe_store(store: str) -> str:
    """A folder as the reader knows it, or the store's URL."""
    return store if "://" in store else describe(Path(store))
