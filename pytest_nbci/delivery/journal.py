"""What of one session was delivered where: a file that one process at a time may write.

A journal is ``state/delivery/<session>.jsonl``, one line per thing delivered, appended after
the fact. A line torn by a crash is ignored: the thing is delivered again, which changes nothing.
The lock on the file makes its holder the only deliverer of that session on this machine; the
kernel gives it back when the holder dies.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import threading
import time
from typing import IO, TYPE_CHECKING, Self

from pytest_nbci.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_POLL_S = 0.05


def journal_path(journals: Path, session: str) -> Path:
    """The journal of ``session``."""
    return journals / f"{session}.jsonl"


def read_marks(path: Path) -> dict[tuple[str, str], str]:
    """What was delivered: (destination, thing) to the stamp of the thing at that time."""
    marks: dict[tuple[str, str], str] = {}
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError:
        return marks
    for line in lines:
        with contextlib.suppress(ValueError, TypeError):
            destination, thing, stamp = json.loads(line)
            marks[destination, thing] = stamp
    return marks


class Journal:
    """The open and locked journal of one session; threads may share it."""

    def __init__(self, file: IO[bytes], marks: dict[tuple[str, str], str]) -> None:
        """Use ``Journal.open``."""
        self._file = file
        self._marks = marks
        self._lock = threading.Lock()

    @classmethod
    def open(cls, journals: Path, session: str, wait_s: float = 0.0) -> Self | None:
        """Lock and read the journal of ``session``; None where another process holds it.

        Args:
            journals: The folder of journals, made if need be.
            session: The session's name.
            wait_s: How long to wait for the other process.

        Raises:
            DeliveryError: The file cannot be written or locked.
        """
        path = journal_path(journals, session)
        try:
            journals.mkdir(parents=True, exist_ok=True)
            file = path.open("ab", buffering=0)
        except OSError as error:
            raise DeliveryError(
                f"{path} could not be written: {error.strerror or error}.",
                "Make room or permission there, or set NBCI_DIR to another folder.",
            ) from error
        try:
            if not lock(file.fileno(), wait_s):
                file.close()
                return None
            _end_torn_line(path, file)
            return cls(file, read_marks(path))
        except OSError as error:
            file.close()
            raise DeliveryError(
                f"{path} could not be locked: {error.strerror or error}.",
                "Set NBCI_DIR to a folder on a local disk.",
            ) from error

    def __enter__(self) -> Self:
        """The journal itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give the session back."""
        self._file.close()

    def stamp(self, destination: str, thing: str) -> str | None:
        """The stamp under which ``thing`` was delivered to ``destination``; None if it was not."""
        with self._lock:
            return self._marks.get((destination, thing))

    def marks(self) -> Mapping[tuple[str, str], str]:
        """A copy of all marks."""
        with self._lock:
            return dict(self._marks)

    def mark(self, destination: str, thing: str, stamp: str) -> None:
        """Remember that ``thing`` was delivered.

        Raises:
            DeliveryError: It cannot be written (the thing will be delivered again).
        """
        line = json.dumps([destination, thing, stamp]).encode() + b"\n"
        with self._lock:
            self._marks[destination, thing] = stamp
            try:
                self._file.write(line)
            except OSError as error:
                raise DeliveryError(
                    f"{self._file.name} could not be written: {error.strerror or error}.",
                    "Make room or permission there.",
                ) from error


def lock(descriptor: int, wait_s: float) -> bool:
    """Take the exclusive lock of an open file, waiting up to ``wait_s``; whether it was got.

    Raises:
        OSError: This file system knows no locks.
    """
    end = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
                raise
        else:
            return True
        if time.monotonic() >= end:
            return False
        time.sleep(_POLL_S)


def _end_torn_line(path: Path, file: IO[bytes]) -> None:
    size = os.fstat(file.fileno()).st_size
    if size:
        with path.open("rb") as text:
            text.seek(size - 1)
            if text.read(1) != b"\n":
                file.write(b"\n")
