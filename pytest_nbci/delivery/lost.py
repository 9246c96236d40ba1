"""Results of notebooks that were due in a session that was killed: they are told, not left out."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from pytest_nbci.delivery.outbox import RECORD, Folder
from pytest_nbci.errors import DeliveryError, NbciError
from pytest_nbci.host import is_dead
from pytest_nbci.records import Record, Session, lost_record
from pytest_nbci.store import PART_SUFFIX, FolderStore

_POLL_S = 0.1


def write_lost(folder: Folder, wait_s: float = 0.0) -> list[str]:
    """Write the record of every notebook that was planned and left no result when pytest died.

    What the dead process was in the middle of writing is removed, and so is what a power failure
    left of a result that had not reached the disk.

    Args:
        folder: The session; nothing is done unless it is incomplete and its process gone.
        wait_s: How long a process that is ending may take to be gone.

    Returns:
        The notebooks, sorted.

    Raises:
        DeliveryError: The results folder cannot be written.
    """
    session = _dead_session(folder, wait_s)
    if session is None:
        return []
    lost = []
    for planned in session.plan:
        if planned.due and not _is_whole(folder, planned.notebook):
            write_lost_record(folder.results, lost_record(session, planned.notebook))
            lost.append(planned.notebook)
    _remove_parts(folder)
    return sorted(lost)


def write_lost_record(results: Path, record: Record) -> None:
    """Write the record of a lost notebook.

    A page that was written just before its record would have been shows a verdict that nobody
    gave: it is removed. The executed notebook stays, as far as it came.

    Raises:
        DeliveryError: The results folder cannot be written.
    """
    folder = Folder(results, record.project, record.session)
    page = folder.path(f"{record.notebook}.html")
    try:
        page.unlink(missing_ok=True)
    except OSError as error:
        raise DeliveryError(f"{page} could not be removed: {error.strerror}.") from error
    data = record.to_json().encode("utf-8", "backslashreplace")
    FolderStore(results).put(folder.key(record.notebook + RECORD), data)


def _is_whole(folder: Folder, notebook: str) -> bool:
    """Whether its result was written, and is not one of the empty files of a power failure."""
    try:
        Record.from_json(folder.path(notebook + RECORD).read_bytes())
        others = [folder.path(name) for name in (notebook, f"{notebook}.html")]
        return all(path.stat().st_size for path in others if path.exists())
    except (OSError, NbciError):
        return False


def _remove_parts(folder: Folder) -> None:
    for path in folder.path("").rglob(f"*{PART_SUFFIX}"):
        with contextlib.suppress(OSError):
            path.unlink()


def _dead_session(folder: Folder, wait_s: float) -> Session | None:
    end = time.monotonic() + wait_s
    while True:
        try:
            session = Session.from_json(folder.path("_session.json").read_bytes())
        except (OSError, NbciError):
            return None
        if session.complete:
            return None
        if is_dead(session):
            return session
        if time.monotonic() >= end:
            return None
        time.sleep(_POLL_S)
