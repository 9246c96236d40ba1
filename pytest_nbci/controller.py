"""The controller's hooks: begin and end of a session, xdist workers, publishing, the summary."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Generator
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_nbci.asked import Asked
from pytest_nbci.collection import NotebookCollection, NotebookItem
from pytest_nbci.context import Context
from pytest_nbci.ending import EndSignals, tell_workers, uninterrupted
from pytest_nbci.errors import DeliveryError, NbciError
from pytest_nbci.live import Live
from pytest_nbci.reports import lost_repr
from pytest_nbci.repository import printable
from pytest_nbci.results import summary_in, unwritten_in
from pytest_nbci.scrub import find_secrets, scrub_text
from pytest_nbci.session import INDEX, Session
from pytest_nbci.settings import describe
from pytest_nbci.worker import Announced, Worker, begun_in, read_selected

if TYPE_CHECKING:
    from pytest_nbci.delivery import Follower, Report

# Where an xdist worker tells the controller why its results may not outlive a power failure.
UNSETTLED = "nbci_unsettled"
_NAMED_AT_MOST = 3


class Controller:
    """Registered in a serial run and in an xdist controller, not in workers."""

    def __init__(
        self, config: pytest.Config, session: Session, collection: NotebookCollection
    ) -> None:
        self._config = config
        self._session = session
        self._collection = collection
        self._asked = Asked(config, session)
        self._prepared: Follower | None = None
        self._follower: Follower | None = None
        self._report: Report | None = None
        self._announced: dict[str, Announced] = {}
        self._problems: list[str] = []
        self._not_run: list[str] = []
        self._failed: set[str] = set()
        self._is_interrupted = False
        self._signals = EndSignals()
        self._live: Live | None = None

    def pytest_report_header(self) -> str:
        """One line: what is run, and where results go."""
        context = self._session.context
        count, rest = len(self._asked.due), len(self._asked.left_out)
        said = f"{count} of {count + rest} notebooks due" if rest else f"{count} notebook"
        parts = [said + "s" * (not rest and count != 1), f"profile {context.profile.name}"]
        if context.publishes:
            parts += [f"store {_describe_store(context.destination.store)}"]
            parts += [f"mlflow {context.destination.tracking or 'off'}"]
        return f"nbci: {', '.join(parts)}"

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Hand the session to an xdist worker."""
        snapshot = self._begin()
        node.workerinput["nbci"] = {
            "context": self._described.to_plain(),
            "snapshot": snapshot.to_plain(),
            "scratch": os.fsencode(self._session.scratch),
        }

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any) -> None:
        """The first worker's collection is everybody's."""
        found = read_selected(self._session.scratch / node.gateway.id)
        self._announced.update((one.nodeid, one) for one in found)
        self._plan([one.path for one in found])

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Note what a worker's results folder did not take in the end."""
        problem = getattr(node, "workeroutput", {}).get(UNSETTLED)
        if problem is not None:
            self._problems.append(problem)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """A scheduler that knows notebooks, in place of xdist's default one."""
        if config.getoption("dist") != "load" or not self._collection.is_expected(config):
            return None
        from pytest_nbci.scheduling import NotebookScheduling

        durations_s = self._session.selector.durations_s()
        return NotebookScheduling(config, log, self._announced, durations_s)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """What a serial run will run is known."""
        if self._config.getoption("collectonly") or self._is_distributed():
            return
        selected = [item for item in session.items if isinstance(item, NotebookItem)]
        if selected:
            # Now: what a conftest.py wrote while pytest collected is tested too.
            self._worker.import_client(self._begin_ahead)
            self._begin()
            self._worker.start_ahead()
            self._prepare_publishing()
            if session.items[0] is selected[0]:
                self._collection.announce(selected[0])
            self._worker.expect_notebooks(self._look_up)
            self._get_ready()
        self._plan([item.notebook_path for item in selected])

    def start_ahead(self) -> None:
        """Before pytest collects, start what takes its time.

        Raises:
            CheckoutError: The temporary folder cannot be written.
        """
        self._worker.start_ahead()
        self._prepare_publishing()

    @cached_property
    def _worker(self) -> Worker:
        """The one of a serial run."""
        worker = Worker(self._session.context, self._begin, self._session.scratch / "w")
        self._collection.worker = worker
        return worker

    def _look_up(self) -> None:
        """Read the commit, its tree and branches while libraries are imported."""
        with contextlib.suppress(pytest.UsageError, NbciError):  # said when it is asked for
            self._described  # noqa: B018 - made when it is asked for
            self._session.witness.analysis  # noqa: B018 - the same
            self._session.context.repository.default_branch(os.environ)

    def _get_ready(self) -> None:
        self._worker.context = self._collection.context = self._described
        self._worker.witness = self._session.witness
        self._worker.look_ahead()

    @cached_property
    def _described(self) -> Context:
        """The session's context with its commit, which takes a library to read."""
        try:
            return self._session.describe()
        except NbciError as error:
            raise pytest.UsageError(str(error)) from error

    def _is_distributed(self) -> bool:
        return self._config.pluginmanager.has_plugin("dsession")

    def _begin(self) -> Any:
        try:
            return self._session.begin()
        except NbciError as error:
            raise pytest.UsageError(str(error)) from error

    def _begin_ahead(self) -> None:
        with contextlib.suppress(NbciError):  # said when it is asked for
            self._session.begin()

    def _plan(self, selected: list[str]) -> None:
        if self._session.is_planned or not (selected or self._asked.is_nothing_due):
            return
        try:
            self._session.plan(selected)
        except DeliveryError as error:
            raise pytest.UsageError(str(error)) from error
        if not selected:
            return
        self._signals.start()
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            self._live = Live(reporter, lambda: self._session.scratch, self._notices)
            self._config.pluginmanager.register(self._live, "nbci-live")
            self._live.start()
        self._prepare_publishing()
        if self._prepared is not None:
            self._follower, self._prepared = self._prepared, None
            self._follower.begin()

    def _prepare_publishing(self) -> None:
        """Let its process import, which takes longer than what comes before the first notebook."""
        context = self._session.context
        if context.publishes and self._prepared is None:
            from pytest_nbci.delivery import Follower

            self._prepared = Follower.prepare(context.destination, context.session)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what came of a notebook, and hand a written result to the publisher."""
        for name, why in unwritten_in(report).items():
            self._session.lose(name, why)
        if report.when == "setup":  # another plugin may run it again
            self._failed.discard(report.nodeid)
        if report.failed:
            self._failed.add(report.nodeid)
        summary = summary_in(report)
        if summary is not None:
            self._session.results[summary.notebook] = summary
            if report.nodeid in self._failed:
                self._session.failed.add(summary.notebook)
            else:
                self._session.failed.discard(summary.notebook)
            if self._follower is not None and summary.outcome != "lost":  # not written yet
                self._follower.result_written(summary.notebook)

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Count a flaky notebook in the last line, beside its being passed."""
        summary = summary_in(report)
        return ("flaky", "", "") if summary is not None and summary.flaky else None

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, report: Any) -> None:
        """An xdist worker ended in the middle of an item: if that is a notebook, it is lost."""
        worker = report.node.gateway.id
        running = begun_in(self._session.scratch / worker)[-1:]
        for name in running:
            if name not in self._session.results:
                record = self._session.lose(name, f"the xdist worker {worker} ended while it ran")
                report.when = "call"
                report.longrepr = lost_repr(name, record, worker)
                report.nbci_summary = asdict(self._session.results[name])

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Let workers end now, not when xdist loses its patience; not so at its own ``-x``."""
        self._is_interrupted = type(excinfo.value) is KeyboardInterrupt
        if self._is_interrupted and self._is_distributed() and self._session.is_planned:
            tell_workers(self._session.scratch)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """When kernels and workers have ended: complete the session's record, then publish.

        Also after a second Ctrl-C, which pytest does not note in the exit status.
        """
        is_interrupted = self._is_interrupted or isinstance(sys.exception(), KeyboardInterrupt)
        try:
            return (yield)
        finally:
            if is_interrupted and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.INTERRUPTED
            self._finish(session)

    def _finish(self, session: pytest.Session) -> None:
        self._end_live()
        is_empty = session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED
        if is_empty and self._asked.is_left_out():
            session.exitstatus = pytest.ExitCode.OK
        with uninterrupted():
            lost = self._session.find_lost()
            self._problems += [f"{name} is lost: it began and left no result" for name in lost]
            if self._problems:
                session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
            if not self._config.getoption("setuponly", default=False):
                self._not_run = self._session.not_run
            try:
                self._session.finish(int(session.exitstatus))
            except DeliveryError as error:
                self._problems.append(str(error))
                session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
        if self._follower is not None:
            self._publish(self._follower)

    def _publish(self, follower: Follower) -> None:
        self._follower = None
        try:
            self._report = follower.finish(self._show_progress)
        except KeyboardInterrupt:
            self._report = follower.give_up()
        self._show_progress("")

    def _notices(self) -> list[str]:
        """What is found to stand in the way of publishing while notebooks run."""
        return self._follower.notices() if self._follower is not None else []

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
            secrets = find_secrets(os.environ, self._session.context.destination.scrub)
            for line in lines:
                terminalreporter.write_line(scrub_text(line, secrets))

    def _summary(self) -> list[str]:
        context = self._session.context
        lines = [context.state_note] if context.state_note else []
        lines += [
            *filter(None, [context.everything]),
            *self._session.selector.lines(self._asked.means),
        ]
        if self._session.results:
            place = describe(context.store.path(context.prefix) / INDEX)
            lines.append(f"results: {place}")
        lines += [
            f"{one.notebook} is flaky: it passed on attempt {one.attempts}"
            for one in self._session.results.values()
            if one.flaky
        ]
        if self._report is not None:
            lines.append(self._report.sentence())
        lines += [*self._session.missed, *self._problems]
        if self._not_run:
            lines.append(f"{_counted(self._not_run)} did not run: {_some(self._not_run)}")
        untracked = [] if self._config.getoption("collectonly") else self._untracked()
        if untracked:
            verb = "is" if len(untracked) == 1 else "are"
            said = f"{_counted(untracked)} {verb} not in git and did not run"
            lines.append(f"{said}: {_some(untracked)} (git add)")
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

    @pytest.hookimpl(tryfirst=True)
    def pytest_unconfigure(self) -> None:
        """Remove the scratch folder, however the session ended.

        First, as pytest's own hook fails where the terminal was closed.
        """
        self._end_live()
        if self._follower is not None:
            self._publish(self._follower)
        if self._prepared is not None:
            self._prepared.give_up()
        self._session.close()
        self._signals.stop()


def _counted(names: list[str]) -> str:
    return f"{len(names)} notebook{'s' * (len(names) != 1)}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:_NAMED_AT_MOST]) + ", …" * (len(names) > _NAMED_AT_MOST)


def _describe_store(store: str) -> str:
    """A folder as the reader knows it, or the store's URL."""
    return store if "://" in store else describe(Path(store))
