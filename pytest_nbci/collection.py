"""Notebooks as pytest items: which files are collected, and the item with its settings."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from pytest_nbci import notebook, settings
from pytest_nbci.context import Context
from pytest_nbci.errors import NbciError, NotebookError
from pytest_nbci.execution.run import Order, Run, SetupProblem
from pytest_nbci.execution.test_data import NotebookData
from pytest_nbci.execution.verdict import Verdict
from pytest_nbci.loaded import files_of
from pytest_nbci.records import Summary
from pytest_nbci.reports import NotebookFailure, terminal_repr
from pytest_nbci.repository import printable
from pytest_nbci.witness import FixtureUse
from pytest_nbci.worker import Announced, Worker

DATA_FIXTURE = "nbci_test_data"


class NotebookFile(pytest.Module):
    """One .ipynb file; a ``Module``, so that fixtures of module scope work."""

    orders: NotebookCollection

    def _getobj(self) -> ModuleType:
        return ModuleType(self.path.stem)

    def collect(self) -> Iterator[pytest.Item]:
        """The one item, called like the file without its suffix."""
        yield self.orders.make_item(self)


@dataclass
class Attempt:
    """What one attempt at an item came to so far; ``result`` is set when it is over.

    ``stood_in`` says that the notebook's own MLflow runs are in the embedded database, since the
    tracking server did not answer.
    """

    earlier: tuple[Summary, ...] = ()
    result: Summary | None = None
    run: Run | None = None
    verdict: Verdict | None = None
    skip_reason: str | None = None
    stood_in: bool = False
    warnings: tuple[str, ...] = ()
    kept: Mapping[str, Path] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """1 for the first."""
        return len(self.earlier) + 1

    def next(self) -> Attempt:
        """The attempt after this one, or this one anew if it came to nothing."""
        return Attempt(self.earlier if self.result is None else (*self.earlier, self.result))


class NotebookItem(pytest.Function):
    """One notebook as a test."""

    notebook_path: str
    settings: settings.NotebookSettings
    problem: NotebookError | None = None
    attempt: Attempt

    @property
    def notebook_name(self) -> str:
        """The notebook relative to the project root, as records call it."""
        return printable(self.notebook_path)

    @property
    def fixture_use(self) -> FixtureUse:
        """What fixtures of the repository have to do with its test."""
        top = self.config.stash[COLLECTION].context.repository.top
        found = self._fixtureinfo.name2fixturedefs
        own = {name for name, defined in found.items() if _is_of(top, defined[-1].func)}
        plugins = frozenset(files_of(self.config.pluginmanager.get_plugins(), top))
        return FixtureUse(is_any=bool(own), makes_data=DATA_FIXTURE in own, plugins=plugins)

    @property
    def page_place(self) -> str:
        """Path or URL of the page of this session's run."""
        context = self.config.stash[COLLECTION].context
        key = f"{context.prefix}/{self.notebook_name}.html"
        destination = context.destination
        if not context.publishes or (destination.site_url or destination.store_url) is None:
            return settings.describe(context.store.path(key))
        return destination.link(key) or f"{destination.store.rstrip('/')}/{key}"

    def begin(self) -> None:
        """Begin an attempt; refuse what pytest would refuse less clearly.

        Where another plugin runs the item again, what it came to before is kept first.

        Raises:
            SetupProblem: A fixture is parametrised.
        """
        ended, self.attempt = self.attempt, self.attempt.next()
        if ended.result is not None:
            try:
                self.config.stash[COLLECTION].worker.set_aside(self.notebook_name)
            except NbciError as error:
                self.attempt.warnings = (f"Attempt {ended.number} is not kept: {error}",)
        for name, found in self._fixtureinfo.name2fixturedefs.items():
            if found[-1].params is not None:
                raise SetupProblem(
                    Verdict(
                        "error",
                        "test_data_error",
                        f"The fixture {name} for {self.notebook_name} is parametrised.",
                        "A notebook runs once: give it one value; loop inside the fixture instead.",
                    )
                )

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where pytest says the test is: the notebook itself."""
        return self.path, 0, self.name

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Our sentence for a failed notebook, pytest's own words for everything else."""
        del style  # pytest's Function decides it itself
        return self._ours(excinfo) or super().repr_failure(excinfo)

    def _repr_failure_py(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None
    ) -> Any:
        return self._ours(excinfo) or super()._repr_failure_py(excinfo, style)

    def _ours(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:
        if isinstance(excinfo.value, NotebookFailure | SetupProblem):
            run = self.attempt.run
            content = run.content if run else None
            return terminal_repr(self, excinfo.value.verdict, content, self.attempt.earlier)
        return None


@dataclass(frozen=True)
class Scope:
    """Where pytest's own collection goes, so that ours adds notebooks and nothing else.

    ``arguments`` are what pytest would have collected without us; None: everything it visits.
    """

    arguments: tuple[Path, ...] | None


class NotebookCollection:
    """The hooks of collecting; the same in controller and workers.

    ``worker`` is set before the first item runs; a controller with xdist workers has none.
    """

    worker: Worker
    next_item: NotebookItem | None = None
    _has_announced = False
    _is_alone = False

    def __init__(self, context: Context, scope: Scope) -> None:
        self.context = context
        root = context.repository.root
        self._by_path = {root / path: path for path in context.notebooks}
        self._folders = {parent for path in self._by_path for parent in path.parents}
        self.scope = scope
        self._only_notebooks: set[Path] = set()

    def is_expected(self, config: pytest.Config) -> bool:
        """Whether a notebook is below what pytest was asked for."""
        places = argument_paths(config)
        return any(path.is_relative_to(place) for path in self._by_path for place in places)

    @pytest.hookimpl(tryfirst=True)
    def pytest_ignore_collect(self, collection_path: Path, config: pytest.Config) -> bool | None:
        """Visit the folders of planned notebooks, for the notebooks alone where needed."""
        if collection_path.is_dir():
            return self._ignores_folder(collection_path, config)
        if collection_path in self._by_path:
            return None
        return True if self._is_for_notebooks_only(collection_path) else None

    def _ignores_folder(self, folder: Path, config: pytest.Config) -> bool | None:
        if folder not in self._folders:
            is_above = self.scope.arguments is not None and any(
                argument.is_relative_to(folder) for argument in self.scope.arguments
            )
            return True if self._is_for_notebooks_only(folder) and not is_above else None
        if any(_matches_folder(pattern, folder) for pattern in config.getini("norecursedirs")):
            self._only_notebooks.add(folder)
            main: Any = config.pluginmanager.get_plugin("main")
            ignored: bool | None = main.pytest_ignore_collect(
                folder, _without_norecursedirs(config)
            )
            return bool(ignored)  # False ends the search: norecursedirs is not asked again
        return None

    def _is_for_notebooks_only(self, path: Path) -> bool:
        """Whether pytest would not have come here without the planned notebooks."""
        if any(folder in self._only_notebooks for folder in path.parents):
            return True
        arguments = self.scope.arguments
        return arguments is not None and not any(
            path == argument or argument in path.parents for argument in arguments
        )

    def pytest_collect_file(
        self, file_path: Path, parent: pytest.Collector
    ) -> pytest.Collector | None:
        """A collector for a planned notebook."""
        if file_path not in self._by_path:
            return None
        file: Any = NotebookFile.from_parent(parent, path=file_path)
        name, nodeid = printable(file.name), printable(file.nodeid)
        if (name, nodeid) != (file.name, file.nodeid):  # every reporter wants valid UTF-8
            file = NotebookFile.from_parent(parent, path=file_path, name=name, nodeid=nodeid)
        file.orders = self
        collector: pytest.Collector = file
        return collector

    def make_item(self, parent: NotebookFile) -> NotebookItem:
        """The item of a collected notebook, with its own settings, marks and skip."""
        path = self._by_path[parent.path]
        problem = None
        try:
            own = self.settings_of(path)
            marks = _marks(own.marks, printable(path))
        except NotebookError as error:
            own, marks, problem = settings.NotebookSettings(), [], error

        def run_notebook(nbci_run: Any) -> None:
            nbci_run()

        if own.skip is not None:
            marks.append(pytest.mark.skip(reason=own.skip))
        run_notebook.pytestmark = marks  # type: ignore[attr-defined]
        stem = printable(parent.path.stem)
        item: NotebookItem = NotebookItem.from_parent(
            parent, name=stem.replace("[", "(").replace("]", ")"), callobj=run_notebook
        )
        item.notebook_path, item.settings, item.problem = path, own, problem
        item.attempt = Attempt()
        return item

    def settings_of(self, path: str) -> settings.NotebookSettings:
        """The settings of the notebook at ``path``.

        Raises:
            NotebookError: Its metadata hold what is no setting.
        """
        root = self.context.repository.root
        return settings.resolve_notebook(
            self.context.table,
            printable(path),
            notebook.read_metadata(root / path),
            self.context.timeout_flag,
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Before the fixtures, in a hook: a frame of ours would stand in their tracebacks."""
        if isinstance(item, NotebookItem):
            if not item.config.getoption("setuponly", default=False):
                self.worker.note_begun(item.notebook_name)
            item.begin()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        """Fixtures are watched, and what runs next may have its kernel started meanwhile.

        Not sooner: until all workers have collected, they list every folder.
        """
        worker: Worker | None = getattr(self, "worker", None)
        if worker is not None:
            worker.watch_fixtures()
        self.next_item = nextitem if isinstance(nextitem, NotebookItem) else None
        if isinstance(item, NotebookItem) and not self._has_announced:
            self.announce(item)

    def announce(self, item: NotebookItem) -> None:
        """Have the kernel of ``item``, which runs next, started ahead of time."""
        if item.settings.skip is None and item.problem is None:
            order = Order(item.notebook_path, item.settings, NotebookData())
            with suppress(SetupProblem):  # said when it is set up
                self._has_announced = self.worker.bench.announce(order)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note whether anything else than notebooks runs."""
        self._is_alone = all(isinstance(item, NotebookItem) for item in session.items)

    @pytest.hookimpl(tryfirst=True)
    def pytest_unconfigure(self) -> None:
        """Spare a session of notebooks the garbage collections at its end, a tenth of a short one.

        pytest collects so that what finalizers of tests raise is told, and notebooks ran in
        processes of their own. https://docs.python.org/3/library/gc.html#gc.freeze
        """
        self.pytest_sessionfinish()  # no session began where pytest could not be configured
        if self._is_alone:
            gc.freeze()

    def pytest_sessionfinish(self) -> None:
        """End the kernels that wait."""
        worker: Worker | None = getattr(self, "worker", None)
        if worker is not None and worker.has_bench:
            worker.bench.close()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Put a notebook behind those that it needs, so that they run once."""
        found = {item.notebook_path: item for item in items if isinstance(item, NotebookItem)}
        if not any(item.settings.needs for item in found.values()):
            return
        ordered: dict[pytest.Item, None] = {}

        def place(item: pytest.Item, above: tuple[str, ...] = ()) -> None:
            if isinstance(item, NotebookItem) and item.notebook_path not in above:
                for need in item.settings.needs:
                    if need in found and found[need] not in ordered:
                        place(found[need], (*above, item.notebook_path))
            ordered.setdefault(item)

        for item in items:
            place(item)
        items[:] = ordered


def argument_paths(config: pytest.Config) -> tuple[Path, ...]:
    """The files and folders that pytest collects."""
    here = config.invocation_params.dir
    return tuple(
        Path(os.path.abspath(here / argument.split("::")[0]))  # noqa: PTH100 - links stay
        for argument in config.args
    )


def announced(items: Iterable[pytest.Item]) -> list[Announced]:
    """The notebooks among ``items``, and which of them follow each other.

    A notebook joins what it needs last, if it is the first to do so: that has just run then, and
    need not run again. For a second one it would have to.
    """
    notebooks = [item for item in items if isinstance(item, NotebookItem)]
    units: dict[str, str] = {}
    joined: set[str] = set()
    for item in notebooks:
        last = next(reversed(item.settings.needs), "")
        units[item.notebook_path] = item.nodeid
        if last in units and last not in joined:
            joined.add(last)
            units[item.notebook_path] = units[last]
    return [Announced(one.nodeid, one.notebook_path, units[one.notebook_path]) for one in notebooks]


COLLECTION = pytest.StashKey[NotebookCollection]()


def _is_of(top: Path, function: object) -> bool:
    """Whether ``function`` is the repository's: not ours, nor of an environment inside it."""
    code = getattr(function, "__code__", None)
    if code is None:
        return True  # a callable object: nobody knows
    file = Path(code.co_filename)
    others = (Path(sys.prefix), Path(__file__).parent)
    return file.is_relative_to(top) and not any(file.is_relative_to(one) for one in others)


def _marks(names: Iterable[str], notebook_name: str) -> list[pytest.MarkDecorator]:
    """The marks called ``names``; what pytest says of one it does not know fails the notebook.

    Raises:
        NotebookError: ``--strict-markers`` or a warnings filter refuses one.
    """
    found = []
    for name in names:
        try:
            found.append(getattr(pytest.mark, name))
        except (pytest.fail.Exception, pytest.PytestWarning, AttributeError) as error:
            raise NotebookError(
                f"pytest refuses the mark {name!r} of {notebook_name}: {error}",
                "Add it to pytest's setting markers, or correct marks.",
            ) from error
    return found


def _matches_folder(pattern: str, folder: Path) -> bool:
    from _pytest.pathlib import fnmatch_ex

    return fnmatch_ex(pattern, folder)


def _without_norecursedirs(config: pytest.Config) -> Any:
    """``config`` as pytest's own ignore hook reads it, with no norecursedirs."""
    return SimpleNamespace(
        getini=lambda name: [] if name == "norecursedirs" else config.getini(name),
        getoption=config.getoption,
        _getconftest_pathlist=config._getconftest_pathlist,  # noqa: SLF001 - pytest asks it
    )
