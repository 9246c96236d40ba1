"""How far a worker is: which cell of which notebook, for whoever shows it.

A mapped file, so that an update is a copy in memory and a reader in another process sees it.
"""

from __future__ import annotations

import json
import mmap
import time
from dataclasses import dataclass
from pathlib import Path

_SIZE_BYTES = 4096
_NAME = "progress"


@dataclass(frozen=True)
class Progress:
    """What a worker does now; ``started`` is in seconds of the system's monotonic clock."""

    notebook: str
    cell: int
    cells: int
    started: float
    attempt: int = 1

    def __str__(self) -> str:
        """``train.ipynb: attempt 2, cell 7/23, 12 s``; a first attempt is not named."""
        where = f"attempt {self.attempt}, " if self.attempt > 1 else ""
        where += f"cell {self.cell}/{self.cells}, " if self.cell else ""
        return f"{self.notebook}: {where}{time.monotonic() - self.started:.0f} s"


class ProgressFile:
    """The writing side, one for each worker; ``folder`` belongs to the caller."""

    def __init__(self, folder: Path) -> None:
        with (folder / _NAME).open("wb+", buffering=0) as file:
            # Written, not truncated: a full disk is an error here, a hole one that ends pytest.
            file.write(bytes(_SIZE_BYTES))
            self._map = mmap.mmap(file.fileno(), _SIZE_BYTES)
        self._notebook, self._cells, self._started, self._attempt = "", 0, 0.0, 1

    def begin(self, notebook: str, cells: int, attempt: int) -> None:
        """An attempt at a notebook begins; ``cells`` is its number of code cells."""
        self._notebook, self._cells, self._started = notebook, cells, time.monotonic()
        self._attempt = attempt
        self.cell(0)

    def cell(self, number: int) -> None:
        """The cell of that position among the code cells runs now; 0: none yet."""
        self._put(json.dumps([self._notebook, number, self._cells, self._started, self._attempt]))

    def end(self) -> None:
        """Nothing runs."""
        self._put("")

    def _put(self, text: str) -> None:
        data = text.encode()[: _SIZE_BYTES - 1]
        self._map[: len(data) + 1] = data + b"\0"


def read_progress(scratch: Path) -> list[Progress]:
    """What the workers below ``scratch`` do now, in the order of their folders."""
    found = []
    for path in sorted(scratch.glob(f"*/{_NAME}")):
        try:
            found.append(Progress(*json.loads(path.read_bytes().partition(b"\0")[0])))
        except (OSError, ValueError, TypeError):
            continue  # idle, or in the middle of an update
    return found
