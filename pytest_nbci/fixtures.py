"""The fixtures of a notebook's test: its data, and the notebook ready to run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from pytest_nbci import delivery, settings
from pytest_nbci.collection import COLLECTION, DATA_FIXTURE, NotebookCollection, NotebookItem
from pytest_nbci.errors import DataError, NotebookError
from pytest_nbci.execution.run import Order, Run, SetupProblem
from pytest_nbci.execution.test_data import NotebookData, check_data
from pytest_nbci.execution.verdict import Verdict
from pytest_nbci.notebook import Notebook
from pytest_nbci.reports import NotebookFailure
from pytest_nbci.retries import Trial


@pytest.fixture(scope="session")
def nbci_test_data(pytestconfig: pytest.Config) -> NotebookData:
    """Test data for notebooks: files laid over the checkout, and parameters.

    Override it in a conftest.py; it may use other fixtures. This default is the profile in
    [tool.nbci.data].
    """
    return _profile_data(pytestconfig.stash[COLLECTION])


@pytest.fixture
def nbci_run(
    request: pytest.FixtureRequest, nbci_test_data: object
) -> Iterator[Callable[[], None]]:
    """The prepared notebook (checkout restored, data laid over it, kernel started), as a call."""
    item = request.node
    if not isinstance(item, NotebookItem):
        pytest.fail("The fixture nbci_run is for notebooks only.", pytrace=False)
    if item.problem is not None:
        verdict = Verdict("failed", "bad_notebook", item.problem.message, item.problem.cure)
        yield lambda: _conclude(item, verdict)
        return
    collection = request.config.stash[COLLECTION]
    bench = collection.worker.bench
    try:
        data = check_data(nbci_test_data, _origin_of_data(item))
        chain = _chain(collection, item.notebook_path, data)
    except (DataError, NotebookError) as error:
        raise _data_problem(item, error) from error
    order = Order(item.notebook_path, item.settings, data)

    def prepare() -> Run:
        with collection.worker.witness.ignoring():
            return bench.prepare(order, _environment(item), chain)

    trial = Trial(item, prepare)
    trial.prepare()
    if collection.next_item is not None:
        collection.announce(collection.next_item)
    try:
        yield lambda: _conclude(item, trial.execute())
        if item.attempt.verdict is not None and item.attempt.verdict.outcome == "passed":
            bench.passed(order, chain)
    finally:
        run = item.attempt.run
        try:
            if run is not None:
                run.close()
        except DataError as error:
            raise _data_problem(item, error) from error
        finally:
            if run is not None:  # after the kernel: its exit may remove some
                item.attempt.kept = run.kept_files()


def _conclude(item: NotebookItem, verdict: Verdict) -> None:
    item.attempt.verdict = verdict
    if verdict.outcome != "passed":
        raise NotebookFailure(verdict)


def _data_problem(item: NotebookItem, error: DataError | NotebookError) -> SetupProblem:
    message = f"{item.notebook_name}: {error.message}"
    return SetupProblem(Verdict("error", "test_data_error", message, error.cure))


def _profile_data(collection: NotebookCollection) -> NotebookData:
    profile = collection.context.profile
    return NotebookData(parameters=profile.parameters, files=profile.files, root=profile.root)


def _chain(
    collection: NotebookCollection, path: str, data: NotebookData, above: tuple[str, ...] = ()
) -> tuple[Order, ...]:
    """What ``path`` needs, each once, in running order.

    They share its checkout, so they get its data: their own fixtures may not even be collected.
    """
    if path in above:
        raise DataError(
            f"Notebooks need each other: {' → '.join((*above, path))}.",
            "Remove one of these needs.",
        )
    found: dict[str, Order] = {}
    for need in collection.settings_of(path).needs:
        if not (collection.context.repository.root / need).is_file():
            raise DataError(f"{path} needs {need}, which does not exist.", "Correct needs.")
        for order in _chain(collection, need, data, (*above, path)):
            found.setdefault(order.path, order)
        found.setdefault(need, Order(need, collection.settings_of(need), data))
    return tuple(found.values())


def _environment(item: NotebookItem) -> Callable[[Notebook], Mapping[str, str]]:
    collection = item.config.stash[COLLECTION]

    def environment(read: Notebook) -> Mapping[str, str]:
        """Variables that make the notebook's own MLflow runs ours."""
        destination = collection.worker.tracking_for(read)
        session, attempt = collection.context.session, item.attempt
        attempt.stood_in = destination != collection.context.destination
        return delivery.kernel_environment(destination, session, item.notebook_name, attempt.number)

    return environment


def _origin_of_data(item: NotebookItem) -> str:
    found = item._fixtureinfo.name2fixturedefs.get(DATA_FIXTURE, ())  # noqa: SLF001
    code = getattr(found[-1].func, "__code__", None) if found else None
    return f"{settings.describe(Path(code.co_filename))}:{code.co_firstlineno}" if code else "?"
