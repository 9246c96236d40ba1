"""Imports of heavy modules, made as short as they can be: a third of a session of one notebook."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Generator
from threading import Thread

from pytest_nbci.ending import uninterrupted


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


@contextlib.contextmanager
def imports_beside(*functions: Callable[[], None]) -> Generator[None]:
    """For imports while functions that mostly wait for other programs run, each in a thread.

    A Ctrl-C while two threads import would leave the interpreter's import lock locked, and the
    other one waiting for it (importlib._bootstrap, _get_module_lock): it comes afterwards.
    """
    threads = [Thread(target=function, name="nbci-ahead") for function in functions]
    with uncollected(), uninterrupted():
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            for thread in threads:
                thread.join()
