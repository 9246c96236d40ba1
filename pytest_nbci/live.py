"""What runs at this moment: behind the cursor of a terminal, or a line a minute in a CI log.

What stands in the way of publishing is said there too, at once and once.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_nbci.execution.progress import Progress, read_progress

_TERMINAL_S = 0.2
_LOG_S = 60.0
_NOTICE_S = 1.0
_MARGIN = 8  # pytest's own " [100%]" and a blank

# DECSC, DECRC and EL: https://invisible-island.net/xterm/ctlseqs/ctlseqs.html
_SAVE, _RESTORE, _CLEAR = "\x1b7", "\x1b8", "\x1b[K"
_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"


class Live:
    """Owns a thread and a copy of the terminal's descriptor, from ``start`` to ``stop``.

    The copy is taken while pytest captures nothing, so what is written there is never captured.
    """

    def __init__(
        self,
        reporter: Any,
        scratch: Callable[[], Path | None],
        notices: Callable[[], list[str]],
    ) -> None:
        self._reporter = reporter
        self._scratch = scratch
        self._notices = notices
        self._is_terminal = bool(reporter.isatty)
        self._lock = threading.Lock()
        self._is_shown = False
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._descriptor: int | None = None

    def start(self) -> None:
        """Begin to show; nothing happens where the terminal is no file."""
        try:
            self._descriptor = os.dup(self._reporter._tw._file.fileno())  # noqa: SLF001
        except (OSError, AttributeError, ValueError):
            return
        self._thread = threading.Thread(target=self._run, name="nbci-live", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Erase what is shown and end the thread."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.erase()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self) -> None:
        """Pytest writes at the cursor next."""
        self.erase()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self) -> None:
        """Pytest writes at the cursor next."""
        self.erase()

    def erase(self) -> None:
        """Clear from the cursor to the end of the line."""
        with self._lock:
            if self._is_shown:
                self._write(_CLEAR)
                self._is_shown = False

    def _run(self) -> None:
        told_at = time.monotonic()
        while not self._ended.wait(_TERMINAL_S if self._is_terminal else _NOTICE_S):
            for notice in self._notices():
                self.erase()
                self._write(f"\nnbci: {notice} The run goes on.\n")
            if not self._is_terminal and time.monotonic() - told_at < _LOG_S:
                continue
            told_at = time.monotonic()
            folder = self._scratch()
            running = read_progress(folder) if folder is not None else []
            if running and self._is_terminal:
                self._show(running)
            elif running:
                self._write("".join(f"\nnbci: {one}" for one in running) + "\n")

    def _show(self, running: list[Progress]) -> None:
        writer = self._reporter._tw  # noqa: SLF001 - the only place that knows the column
        with self._lock:
            room = writer.fullwidth - writer.width_of_current_line - _MARGIN
            text = " | ".join(str(one) for one in running)
            text = "".join(char if char.isprintable() else "?" for char in text)[: max(room, 0)]
            self._write(f"{_SAVE}{_DIM} {text}{_PLAIN}{_CLEAR}{_RESTORE}")
            self._is_shown = True

    def _write(self, text: str) -> None:
        if self._descriptor is not None:
            try:
                os.write(self._descriptor, text.encode("utf-8", "replace"))
            except OSError:
                self._ended.set()  # the terminal is gone
