"""MLflow imported in half the time, as that is most of what a small delivery takes."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Import MLflow herein.

    The garbage collector is off meanwhile, and passes over all that was imported afterwards: it
    would go through two thousand modules again and again, and finds nothing
    (https://docs.python.org/3/library/gc.html#gc.freeze).
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
