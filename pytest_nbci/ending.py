"""How a session is ended from outside: by a signal, or by the death of its controller."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

# What a CI server sends first to a job that it cancels, and a terminal that closes.
_LIKE_CTRL_C = (signal.SIGTERM, signal.SIGHUP)
_OVER = "over"
_POLL_S = 0.2


class EndSignals:
    """Makes SIGTERM and SIGHUP do what Ctrl-C does, from ``start`` to ``stop``.

    So the kernel ends, the session's record is completed and results are published. A handler of
    somebody else stays, and so does a signal that is ignored (nohup).
    """

    def __init__(self) -> None:
        self._changed: list[signal.Signals] = []

    def start(self) -> None:
        """Set the handlers; only the main thread may (the signal module's rule)."""
        if threading.current_thread() is threading.main_thread():
            self._changed = [n for n in _LIKE_CTRL_C if signal.getsignal(n) is signal.SIG_DFL]
            for number in self._changed:
                signal.signal(number, _interrupt)

    def stop(self) -> None:
        """Set the handlers back."""
        while self._changed:
            signal.signal(self._changed.pop(), signal.SIG_DFL)


def _interrupt(number: int, _: FrameType | None) -> None:
    raise KeyboardInterrupt(f"ended by {signal.Signals(number).name}")


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """What would end the session (a second Ctrl-C) waits until the block is done.

    Raises:
        KeyboardInterrupt: Afterwards, if something came meanwhile.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []
    before = {
        number: handler
        for number in (signal.SIGINT, *_LIKE_CTRL_C)
        if callable(handler := signal.getsignal(number))
    }
    for number in before:
        signal.signal(number, lambda number, _: heard.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if heard:
        raise KeyboardInterrupt


def tell_workers(scratch: Path) -> None:
    """Tell every xdist worker of this session that it was interrupted."""
    with contextlib.suppress(OSError):
        (scratch / _OVER).touch()


def end_with_controller(scratch: Path) -> None:
    """Let this xdist worker end when its controller is interrupted or gone.

    xdist alone lets it run on for 5 to 15 s, and what a notebook does with it.
    """
    threading.Thread(
        target=_watch, args=(os.getppid(), scratch / _OVER), name="nbci-ending", daemon=True
    ).start()


def _watch(controller: int, over: Path) -> None:
    is_told = False
    while os.getppid() == controller:
        if not is_told and over.exists():
            is_told = True
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(_POLL_S)
    os._exit(1)
