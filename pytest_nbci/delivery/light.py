"""MLflow imported in half the time, and ahead, as that is most of what a small delivery takes."""

from __future__ import annotations

import contextlib
import gc
import importlib
import threading
from collections.abc import Iterator

from pytest_nbci.delivery.destination import EMBEDDED

# Two threads that import modules which import each other may see half of one; and what is changed
# meanwhile is the whole process's.
_TURN = threading.Lock()


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Import MLflow herein, one thread at a time.

    The garbage collector is off meanwhile, and passes over all that was imported afterwards: it
    would go through two thousand modules again and again, and finds nothing
    (https://docs.python.org/3/library/gc.html#gc.freeze).
    """
    with _TURN:
        gc.disable()
        try:
            yield
        finally:
            gc.freeze()
            gc.enable()


def import_ahead(tracking_uri: str | None) -> None:
    """Begin to import what a delivery to ``tracking_uri`` will, in a thread.

    Nothing is sent yet, and what fails is tried again and told where it is used.
    """
    names = [] if tracking_uri is None else ["mlflow"]
    if tracking_uri is not None and tracking_uri.startswith(EMBEDDED):
        names.append("mlflow.store.tracking.sqlalchemy_store")  # half of the time

    def import_all() -> None:
        with contextlib.suppress(Exception), uncollected():
            for name in names:
                importlib.import_module(name)

    threading.Thread(target=import_all, name="nbci-import", daemon=True).start()
