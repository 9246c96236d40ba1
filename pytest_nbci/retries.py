"""A notebook that fails is run again, as often as its setting ``retries`` says.

The loop is inside the one test that pytest knows, in the fixture ``nbci_run``: there both a kernel
that does not start and a cell that fails can be followed by another attempt, and pytest reports
the test once, with what the last attempt came to. pytest-rerunfailures runs the whole test again;
its attempts and ours are counted and kept alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pytest_nbci.collection import NotebookItem
from pytest_nbci.errors import DataError
from pytest_nbci.execution.run import Run, SetupProblem
from pytest_nbci.execution.verdict import Verdict
from pytest_nbci.results import end_attempt

# No cell ran, and another attempt would meet the same file, the same settings, the same data.
NEVER_RETRIED = ("bad_notebook", "unknown_parameter", "test_data_error")


class Trial:
    """All attempts at one notebook in one run of its test.

    Args:
        item: The notebook; its ``attempt`` is always the present one.
        prepare: Makes a run from the beginning: checkout restored, data laid over it, the
            notebooks it needs run, a new kernel.
    """

    def __init__(self, item: NotebookItem, prepare: Callable[[], Run]) -> None:
        self._item = item
        self._prepare = prepare
        self._left = item.settings.retries

    def prepare(self) -> None:
        """Make a run for the present attempt, or for a later one.

        Raises:
            SetupProblem: The last attempt could not be prepared either.
        """
        while True:
            try:
                self._item.attempt.run = self._prepare()
            except SetupProblem as problem:
                if not self._is_retried(problem.verdict):
                    raise
                self._end(problem.verdict)
            else:
                return

    def execute(self) -> Verdict:
        """Run the prepared notebook until it passes or no retry is left; the last verdict."""
        while True:
            run = self._item.attempt.run
            assert run is not None  # noqa: S101 - prepared
            verdict = run.execute(self._item.attempt.number)
            if not self._is_retried(verdict):
                return verdict
            try:
                run.close()
            except DataError:  # it spoilt linked test data; the end of the test tells it
                return verdict
            self._end(verdict)
            try:
                self.prepare()
            except SetupProblem as problem:
                # pytest is past the setup: what happens now fails the test.
                return replace(problem.verdict, outcome="failed")

    def _is_retried(self, verdict: Verdict) -> bool:
        return self._left > 0 and verdict.outcome != "passed" and verdict.cause not in NEVER_RETRIED

    def _end(self, verdict: Verdict) -> None:
        self._left -= 1
        self._item.attempt.verdict = verdict
        end_attempt(self._item)
