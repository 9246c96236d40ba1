"""MLflow imported in half the time, and ahead, as that is most of what a small delivery takes."""

from __future__ import annotations

import contextlib
import gc
import importlib
import sys
import threading
from collections.abc import Iterator

from pytest_nbci.delivery.destination import EMBEDDED
from pytest_nbci.importing import uncollected

# mlflow-skinny works without them, but imports them where they are: a quarter of its own time.
_FOR_MODELS_AND_DATA = ("numpy", "pandas", "pyarrow")
# Two threads that import modules which import each other may see half of one; and what is changed
# meanwhile is the whole process's.
_TURN = threading.Lock()


@contextlib.contextmanager
def importing_mlflow() -> Iterator[None]:
    """Import MLflow herein, one thread at a time, without garbage collections.

    They pass over all that was imported afterwards, too: they would go through two thousand
    modules again and again, and find nothing
    (https://docs.python.org/3/library/gc.html#gc.freeze).
    """
    with _TURN, uncollected():
        try:
            yield
        finally:
            gc.freeze()


def import_ahead(tracking_uri: str | None) -> None:
    """Begin to import what a delivery to ``tracking_uri`` will, in a thread.

    Nothing is sent yet, and what fails is tried again and told where it is used.
    """
    names = [] if tracking_uri is None else ["mlflow"]
    if tracking_uri is not None and tracking_uri.startswith(EMBEDDED):
        names.append("mlflow.store.tracking.sqlalchemy_store")  # half of the time

    def import_all() -> None:
        with contextlib.suppress(Exception), importing_mlflow(), _without_models_and_data():
            for name in names:
                importlib.import_module(name)

    threading.Thread(target=import_all, name="nbci-import", daemon=True).start()


@contextlib.contextmanager
def _without_models_and_data() -> Iterator[None]:
    names = () if _has_plugins() else _FOR_MODELS_AND_DATA
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment] # importing it says: none is there
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


def _has_plugins() -> bool:
    """Whether another package adds to MLflow (a store, credentials): it may need all of them.

    They are entry points: https://mlflow.org/docs/latest/ml/plugins/.
    """
    from importlib.metadata import distributions  # MLflow does too, and it takes 30 ms

    points = (point for found in distributions() for point in found.entry_points)
    return any(
        point.group.startswith("mlflow.") and not point.value.startswith("mlflow.")
        for point in points
    )
