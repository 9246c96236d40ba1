"""One notebook's run from restored checkout to verdict, in the two phases that pytest reports.

``Bench.prepare`` is the setup phase (checkout, test data, parameters, kernel), ``Run.execute`` the
call phase, ``Run.close`` the end. A worker has one bench.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_nbci import notebook as notebooks
from pytest_nbci.errors import CheckoutError, DataError, KernelError, NotebookError
from pytest_nbci.execution.checkout import Checkout, Snapshot
from pytest_nbci.execution.imports import import_environment, lead_into
from pytest_nbci.execution.kernel import Kernel, KernelChoice, choose_kernel, kernel_environment
from pytest_nbci.execution.launcher import Launcher, Start
from pytest_nbci.execution.observe import (
    IMPOSSIBLE,
    UNKNOWN,
    Observed,
    Observer,
    can_observe,
    observe_checkout,
)
from pytest_nbci.execution.preload import modules_to_preload
from pytest_nbci.execution.progress import ProgressFile
from pytest_nbci.execution.scene import Place
from pytest_nbci.execution.test_data import LaidOver, NotebookData, check_unchanged, lay_over
from pytest_nbci.execution.trace import (
    Execution,
    cut_outputs,
    doubtful_cells,
    scrub_execution,
)
from pytest_nbci.execution.verdict import Verdict, judge
from pytest_nbci.notebook import Notebook
from pytest_nbci.records import utc_now
from pytest_nbci.repository import printable, run_git
from pytest_nbci.scrub import Secrets
from pytest_nbci.settings import NotebookSettings, matches

_CAUSES: tuple[tuple[type[Exception], str], ...] = (
    (CheckoutError, "checkout_error"),
    (DataError, "test_data_error"),
    (KernelError, "kernel_start"),
)


class SetupProblem(Exception):  # noqa: N818 - it is reported, not handled
    """The notebook could not even start; the verdict says why."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.message)
        self.verdict = verdict


@dataclass(frozen=True)
class Order:
    """What is to run: a notebook (path relative to the project root), its settings and data."""

    path: str
    settings: NotebookSettings
    data: NotebookData

    @property
    def name(self) -> str:
        """The notebook as sentences and records call it."""
        return printable(self.path)


@dataclass
class Run:
    """A prepared notebook with its running kernel; ``close`` must be called.

    ``notebook`` is None when the file is no notebook: ``verdict`` says so before any kernel.
    ``observed`` is what was read in the checkout since it was restored, known after ``close``.
    """

    order: Order
    notebook: Notebook | None
    parameters: Mapping[str, Any]
    started_at: str
    warnings: tuple[str, ...]
    place: Place
    root: Path
    progress: ProgressFile
    output_limit_bytes: int
    secrets: Secrets = field(default_factory=Secrets)
    laid: LaidOver = field(default_factory=LaidOver)
    before: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    kernel: Kernel | None = None
    kernel_name: str | None = None
    verdict: Verdict | None = None
    content: dict[str, Any] | None = None
    duration_s: float = 0.0
    peak_memory_bytes: int | None = None
    observer: Observer | None = None
    observed: Observed = UNKNOWN

    def execute(self, attempt: int = 1) -> Verdict:
        """Run all cells and judge them; whoever watches is told which attempt it is."""
        if self.verdict is not None:
            return self.verdict
        assert self.kernel is not None  # noqa: S101 - prepared, or judged already
        assert self.notebook is not None  # noqa: S101 - the same
        from pytest_nbci.execution.engine import run_notebook

        settings = self.order.settings
        execution = Execution(
            self.kernel,
            settings.timeout,
            self.output_limit_bytes,
            settings.cell_timeout,
            self.progress.cell,
        )
        self.progress.begin(self.order.name, len(self.notebook.numbers), attempt)
        begun = time.monotonic()
        try:
            try:
                run_notebook(self.notebook, self.parameters, execution)
            finally:
                scrub_execution(execution, self.secrets)
            self.warnings += tuple(
                f"The outputs of cell {number} may be incomplete: its end was not told"
                for number in doubtful_cells(self.notebook, execution)
            )
            self.warnings += tuple(cut_outputs(self.notebook, execution))
            self.verdict = judge(self.order.name, self.notebook, execution, self.place)
            if not self._is_hung:
                self.kernel.ask_to_end()
        finally:
            self.duration_s = time.monotonic() - begun
            self.progress.end()
            self.content = None if execution.content is None else dict(execution.content)
        return self.verdict

    def close(self) -> None:
        """End the kernel and all its processes.

        Raises:
            DataError: The notebook changed test data that was linked.
        """
        if self.kernel is not None:
            self.kernel.stop(at_once=self._is_hung)
            self.peak_memory_bytes = self.kernel.peak_memory_bytes()
            self.kernel = None
        if self.observer is not None:
            self.observed |= self.observer.finish()
            self.observer = None
        check_unchanged(self.laid)

    @property
    def _is_hung(self) -> bool:
        """Whether its kernel cannot be asked to end."""
        return self.verdict is None or self.verdict.cause in _HUNG

    def kept_files(self) -> dict[str, Path]:
        """Files that the notebook wrote and ``keep`` names, by their name in the project."""
        now = _states(self.root, self.order.settings.keep)
        return {
            printable(name): self.root / name
            for name, state in now.items()
            if self.before.get(name) != state
        }


_HUNG = ("timeout", "cell_timeout", "kernel_died", "out_of_memory")


@dataclass(frozen=True)
class Rules:
    """What holds for all notebooks of a session.

    Attributes:
        output_limit_bytes: How much of each cell's output is kept.
        secrets_in: Gives what results must not hold, for a kernel's environment.
        is_warm: Whether kernels of this interpreter may be forked from a server.
    """

    output_limit_bytes: int
    secrets_in: Callable[[Mapping[str, str]], Secrets]
    is_warm: bool


_ENVIRONMENTS_KEPT = 4  # of those that fixtures change in turns


class Bench:
    """Where one worker runs its notebooks, one after the other.

    Args:
        take_snapshot: Gives what the checkout is restored to, asked when that is needed.
        prefix: The project root relative to the repository's top level ("" or ending in "/").
        folder: Scratch folder of this worker, which exists; its owner removes it.
        rules: What holds for all notebooks.
    """

    def __init__(
        self,
        take_snapshot: Callable[[], Snapshot],
        prefix: str,
        folder: Path,
        rules: Rules,
    ) -> None:
        self._take_snapshot = take_snapshot
        self._prefix = prefix
        self._folder = folder
        self._settled: tuple[Order, ...] = ()
        self._progress = ProgressFile(folder)
        self._rules = rules
        self._launcher = Launcher(folder, is_warm=rules.is_warm)
        self._known_editable: deque[tuple[dict[str, str], bool]] = deque(maxlen=_ENVIRONMENTS_KEPT)
        self._observes = can_observe(folder)
        self._last: Run | None = None

    def close(self) -> None:
        """End what waits for further notebooks."""
        self._launcher.close()

    def start_servers(self) -> None:
        """Start a server of warm kernels, or another one where the environment has changed."""
        self._launcher.expect(kernel_environment({}))

    @cached_property
    def _snapshot(self) -> Snapshot:
        return self._take_snapshot()

    @cached_property
    def _checkout(self) -> Checkout:
        return Checkout(self._snapshot, self._folder / "c")

    def make_checkout(self) -> None:
        """Make it ahead of the first notebook; what goes wrong is said then."""
        self._checkout.make_ahead()

    @property
    def root(self) -> Path:
        """The project root in the checkout."""
        return self._checkout.top / self._prefix

    def prepare(
        self,
        order: Order,
        environment: Callable[[Notebook], Mapping[str, str]],
        chain: tuple[Order, ...] = (),
    ) -> Run:
        """Everything before the first cell.

        Args:
            order: The notebook to run.
            environment: Gives the variables its kernel needs beyond the present ones.
            chain: Notebooks that must have run in the same checkout before, in order. Where they
                are the last that ran here they are not run again.

        Raises:
            SetupProblem: Checkout, test data, parameters or kernel stood in the way, or a
                notebook of the chain did not pass.
        """
        started_at = utc_now()
        try:
            self._settle(chain, environment)
            run = self._prepare(order, environment, started_at)
        except (CheckoutError, DataError, KernelError) as error:
            cause = next(cause for kind, cause in _CAUSES if isinstance(error, kind))
            message = f"{order.name}: {error.message}"
            raise SetupProblem(Verdict("error", cause, message, error.cure)) from error
        return run

    def passed(self, order: Order, chain: tuple[Order, ...]) -> None:
        """Note that ``order`` passed after ``chain``, so that what needs it can follow."""
        self._settled = (*chain, order)

    def _settle(
        self, chain: tuple[Order, ...], environment: Callable[[Notebook], Mapping[str, str]]
    ) -> None:
        if chain and self._settled == chain:
            self._settled = ()
            return
        self._settled = ()
        self._last = None
        self._checkout.restore()
        for order in chain:
            run = self._prepare(order, environment, utc_now())
            try:
                verdict = run.execute()
            finally:
                run.close()
            if verdict.outcome != "passed":
                raise SetupProblem(
                    Verdict(
                        "error",
                        "needs_failed",
                        f"{order.name}, which this notebook needs, failed: {verdict.message}",
                        verdict.cure,
                    )
                )

    def _prepare(
        self,
        order: Order,
        environment: Callable[[Notebook], Mapping[str, str]],
        started_at: str,
    ) -> Run:
        project_root = self._snapshot.top / self._prefix
        laid = lay_over(order.data, project_root, self.root, self._checkout.top)
        source = self.root / order.path
        if not source.exists():  # named as an argument, and in no commit
            source = project_root / order.path
        place = Place(
            self._checkout.top, (self.root / order.path).parent, self._snapshot.top, self._prefix
        )
        place.folder.mkdir(parents=True, exist_ok=True)  # it may hold untracked files only
        run = Run(
            order,
            None,
            {},
            started_at,
            (),
            place,
            self.root,
            self._progress,
            self._rules.output_limit_bytes,
            laid=laid,
        )
        try:
            run.notebook = notebooks.load(source, order.name)
        except NotebookError as error:
            run.verdict = Verdict("failed", "bad_notebook", error.message, error.cure)
            return run
        run.parameters = _parameters(run.notebook, order)
        run.before = _states(self.root, order.settings.keep)
        start = self._start_of(run.notebook, order)
        run.kernel_name = start.choice.name
        _check_translatable(run.parameters, start.choice, order)
        own = environment(run.notebook)
        run.secrets = self._rules.secrets_in({**start.environment, **own})
        run.observed = IMPOSSIBLE
        if self._observes:
            run.observed = self._last.observed if self._last is not None else Observed()
            run.observer = observe_checkout(self._checkout.top, self.root, laid)
        self._last = run
        try:
            run.kernel, warning = self._launcher.start(
                start, place.folder, own, run.secrets, order.settings.start_timeout
            )
        except BaseException:
            if run.observer is not None:
                run.observer.finish()
            raise
        if run.observer is not None:
            run.observer.kernel_is_ready()
        run.warnings = tuple(filter(None, (start.choice.note, warning)))
        return run

    def announce(self, order: Order) -> bool:
        """Have the kernel of the notebook that runs next started ahead of time, if it can be."""
        if self._is_editable and not self._checkout.top.exists():
            # An interpreter leaves out of sys.path what does not exist when it starts.
            return False
        source = self._snapshot.top / self._prefix / order.path
        # What is wrong with it is said when it runs.
        with suppress(NotebookError, KernelError):
            self._launcher.announce(self._start_of(notebooks.load(source, order.name), order))
        return True

    def _start_of(self, notebook: Notebook, order: Order) -> Start:
        choice = choose_kernel(order.settings.kernel, notebook.kernel_name, notebook.language)
        environment = kernel_environment(self._import_environment())
        return Start(choice, environment, modules_to_preload(notebook, self._own_names))

    @property
    def _is_editable(self) -> bool:
        """Whether kernels of the present environment would import from the user's tree."""
        environment = kernel_environment({})
        for asked, is_editable in self._known_editable:
            if asked == environment:
                return is_editable
        is_editable = lead_into(self._launcher.import_paths(environment), self._snapshot.top)
        self._known_editable.append((environment, is_editable))
        return is_editable

    @cached_property
    def _own_names(self) -> frozenset[str]:
        """What a module of the repository may be called."""
        names = run_git(self._snapshot.top, ["ls-files", "-z", "--recurse-submodules"])
        parts = set(names.replace(b"\0", b"/").split(b"/"))
        return frozenset(os.fsdecode(part.partition(b".")[0]) for part in parts)

    def _import_environment(self) -> dict[str, str]:
        if not self._is_editable:
            return {}
        return import_environment(self._snapshot.top, self._checkout.top, self._folder / "site")


def _states(root: Path, patterns: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Files below ``root`` that a pattern names, with what changes when one is written."""
    found: dict[str, tuple[int, ...]] = {}
    for parent, folders, names in os.walk(root) if patterns else ():
        folders[:] = [name for name in folders if name != ".git"]
        for path in (Path(parent, name) for name in names):
            name = path.relative_to(root).as_posix()
            if matches(name, patterns) and path.is_file():
                state = path.stat()
                found[name] = (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    return found


def _parameters(notebook: Notebook, order: Order) -> dict[str, Any]:
    """Profile parameters where declared, the notebook's own settings strictly."""
    declared = notebooks.declared_parameters(notebook)
    unknown = [name for name in order.settings.parameters if name not in declared]
    if unknown:
        known = f"known: {', '.join(declared)}" if declared else "it declares none"
        raise SetupProblem(
            Verdict(
                "error",
                "unknown_parameter",
                f"{order.name} has no parameter {unknown[0]!r}; {known}.",
                "Correct the name in the settings, or assign it in the cell tagged parameters.",
            )
        )
    found = {name: value for name, value in order.data.parameters.items() if name in declared}
    return {**found, **order.settings.parameters}


def _check_translatable(parameters: Mapping[str, Any], choice: KernelChoice, order: Order) -> None:
    if not parameters:
        return
    from papermill.exceptions import PapermillException
    from papermill.translators import papermill_translators

    try:
        papermill_translators.find_translator(choice.name, choice.language)
    except PapermillException as error:
        raise SetupProblem(
            Verdict(
                "error",
                "unknown_parameter",
                f"{order.name}: papermill cannot write the parameter {next(iter(parameters))!r} in "
                f"the language {choice.language!r} of the kernel {choice.name}.",
                "Lay a file over the checkout as test data instead, or leave the parameter out.",
            )
        ) from error
