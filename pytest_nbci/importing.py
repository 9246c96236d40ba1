"""Imports of heavy modules without garbage collections, which would take a tenth of their time."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Generator


@contextlib.contextmanager
def uncollected() -> Generator[None]:
    """Without garbage collection: imports make many objects, none of which is garbage.

    Afterwards these count as old, as if collections had found them alive
    (https://docs.python.org/3/library/gc.html#gc.freeze).
    """
    is_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_on:
            if not gc.get_freeze_count():  # else they would thaw what somebody froze
                gc.freeze()
                gc.unfreeze()
            gc.enable()
