"""Switching on: from flags, variables and table to a context, and the hooks that use it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pytest_nbci import fixtures, results, settings
from pytest_nbci.collection import COLLECTION, NotebookCollection, Scope, announced, argument_paths
from pytest_nbci.configuration import Configuration, configure
from pytest_nbci.context import Context, new_session_name
from pytest_nbci.controller import UNSETTLED, Controller
from pytest_nbci.ending import end_with_controller
from pytest_nbci.errors import DeliveryError
from pytest_nbci.execution.checkout import Snapshot
from pytest_nbci.junit import JUnit
from pytest_nbci.repository import Repository, at_top, find_repository
from pytest_nbci.selection import plan_notebooks
from pytest_nbci.session import Session
from pytest_nbci.state import STATE_FOLDER, ensure_home, make_state_folder
from pytest_nbci.worker import Worker

_SUFFIX = ".ipynb"
_QUESTIONS = ("showfixtures", "show_fixtures_per_test", "markers", "cacheshow")


def activate(config: pytest.Config, folder: Path | None, start: Path) -> None:
    """Switch on in a controller or a serial run.

    Args:
        config: pytest's.
        folder: The folder of the table; None: the top of the repository is the project root.
        start: Where the search for both began.

    Raises:
        UsageError: A setting, the repository or the index cannot be worked with.
    """
    ensure_home()
    repository = find_repository(folder or start)
    if folder is None:
        repository = at_top(repository)
    found = _configuration(config, repository)
    session_ = Session(_context(config, repository, found))
    if found.changed and not found.everything and not _only_asks(config):
        _select(session_, _named(config, repository), found.base)
    context = session_.context
    scope = _widen_arguments(config, repository, context.notebooks)
    collection = NotebookCollection(context, scope)
    _register(config, collection)
    if not _only_asks(config):
        controller = Controller(config, session_, collection)
        config.pluginmanager.register(controller, "nbci-controller")
        config.pluginmanager.register(JUnit(config), "nbci-junit")
        if config.getoption("dist", "no") == "no" and _is_sure_to_run(config, collection):
            controller.start_ahead()


def activate_worker(config: pytest.Config, worker_input: dict[str, Any]) -> None:
    """Switch on in an xdist worker, with what the controller decided."""
    plain = worker_input["nbci"]
    root = Path(os.fsdecode(plain["context"]["top"])) / os.fsdecode(plain["context"]["prefix"])
    context = Context.from_plain(plain["context"], settings.read_table(root))
    # xdist hands a worker the command line, not what the controller made of it.
    scope = _widen_arguments(config, context.repository, context.notebooks)
    collection = NotebookCollection(context, scope)
    scratch = Path(os.fsdecode(plain["scratch"]))
    folder = scratch / str(worker_input["workerid"])
    end_with_controller(scratch)
    snapshot = Snapshot.from_plain(plain["snapshot"])
    collection.worker = Worker(context, lambda: snapshot, folder)
    _register(config, collection)
    config.pluginmanager.register(_Announcer(collection.worker), "nbci-announcer")
    if _is_sure_to_run(config, collection):
        collection.worker.start_ahead()


class _Announcer:
    """In an xdist worker: what was collected, before xdist says that it was."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Before xdist tells the controller that the worker is done, its results are."""
        try:
            self._worker.context.store.settle()
        except DeliveryError as error:
            session.config.workeroutput[UNSETTLED] = str(error)  # type: ignore[attr-defined]

    def pytest_unconfigure(self) -> None:
        """End what the worker has open."""
        self._worker.close()

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        found = announced(session.items)
        if found:
            self._worker.start_ahead()
            self._worker.expect_notebooks()
            self._worker.look_ahead()
        self._worker.announce(found)


def _is_sure_to_run(config: pytest.Config, collection: NotebookCollection) -> bool:
    """Whether a notebook will be run, unless pytest finds something wrong before."""
    chooses = ("collectonly", "keyword", "markexpr")
    return collection.is_expected(config) and not any(map(config.getoption, chooses))


def _register(config: pytest.Config, collection: NotebookCollection) -> None:
    config.stash[COLLECTION] = collection
    for name, plugin in (("collection", collection), ("fixtures", fixtures), ("results", results)):
        config.pluginmanager.register(plugin, f"nbci-{name}")


def _select(session_: Session, named: list[str], base: str | None) -> None:
    try:
        session_.select(named, base)
    except BaseException:
        session_.close()
        raise


def _configuration(config: pytest.Config, repository: Repository) -> Configuration:
    table = settings.read_table(repository.root)
    flags = {
        setting.name: _flag(config, setting.flag)
        for setting in settings.SETTINGS
        if setting.scope == "session" and setting.flag
    }
    return configure(repository, table, flags, os.environ)


def _context(config: pytest.Config, repository: Repository, found: Configuration) -> Context:
    table = settings.read_table(repository.root)
    notebooks = plan_notebooks(repository, table, _named(config, repository))
    name, started_at = new_session_name(repository)
    state, note = _state_folder(config, repository)
    return Context(
        repository=repository,
        table=table,
        profile=found.profile,
        project=found.project,
        session=name,
        destination=found.destination(state),
        publishes=bool(config.getoption("nbci")),
        notebooks=notebooks,
        timeout_flag=config.getoption("nbci_timeout"),
        started_at=started_at,
        state_note=note,
        everything=f"every notebook runs: {found.everything}"
        if found.changed and found.everything
        else "",
    )


def _only_asks(config: pytest.Config) -> bool:
    """Whether pytest prints what it knows and ends."""
    return any(config.getoption(name, default=False) for name in _QUESTIONS)


def _state_folder(config: pytest.Config, repository: Repository) -> tuple[Path, str]:
    """``--collect-only`` writes nothing, so it makes nothing either."""
    if config.getoption("collectonly") or _only_asks(config):
        return repository.root / STATE_FOLDER, ""
    return make_state_folder(repository.root, os.environ)


def _flag(config: pytest.Config, flag: str) -> str | None:
    value = config.getoption(flag.removeprefix("--").replace("-", "_"))
    return None if value is None else str(value)


def _named(config: pytest.Config, repository: Repository) -> list[str]:
    """Notebook files among the arguments, relative to the project root."""
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        return []
    return [
        path.relative_to(repository.root).as_posix()
        for path in argument_paths(config)
        if path.suffix == _SUFFIX and path.is_file() and path.is_relative_to(repository.root)
    ]


def _widen_arguments(
    config: pytest.Config, repository: Repository, notebooks: tuple[str, ...]
) -> Scope:
    """Without path arguments all notebooks are collected, wherever pytest would have looked."""
    if config.args_source is pytest.Config.ArgsSource.ARGS or not notebooks:
        return Scope(None)
    arguments = argument_paths(config)
    config.args.append(str(repository.root))
    return Scope(arguments)
