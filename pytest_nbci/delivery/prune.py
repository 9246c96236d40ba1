"""Old results leave the results folder, once the store and MLflow have all of them.

Without an S3 store the results folder is the only copy, and nothing is removed. What a killed
process was in the middle of writing is removed in either case.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_nbci.delivery.journal import Journal, journal_path
from pytest_nbci.delivery.outbox import session_files, sessions, stale, undelivered
from pytest_nbci.errors import NbciError
from pytest_nbci.host import is_dead
from pytest_nbci.records import Session
from pytest_nbci.store import PART_SUFFIX

if TYPE_CHECKING:
    from pytest_nbci.delivery.destination import Destination
    from pytest_nbci.delivery.outbox import Folder

# A file is written within seconds; what is older than this nobody is writing any more.
_LONGEST_WRITE_S = 3600.0


def prune(destination: Destination, now: datetime | None = None) -> list[str]:
    """Remove what was delivered ``keep_days`` ago or earlier; the sessions removed.

    Safe beside other processes, which the lock of a session's journal keeps off. Never raises.
    """
    first = (now or datetime.now(UTC)) - timedelta(days=destination.keep_days)
    removed = []
    _remove_parts(destination.results)
    for folder in sessions(destination.results):
        with contextlib.suppress(NbciError, OSError):
            if _begun(folder) < first and _remove(folder, destination):
                removed.append(folder.session)
    return removed


def _begun(folder: Folder) -> datetime:
    return datetime.strptime(folder.session[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def _remove(folder: Folder, destination: Destination) -> bool:
    """Remove a session if all of it was delivered; whether it was."""
    mark = destination.store_mark
    if mark is None or not journal_path(destination.journals, folder.session).exists():
        return False
    journal = Journal.open(destination.journals, folder.session)
    if journal is None:
        return False
    with journal:
        marks = journal.marks()
        waits = any(undelivered(folder, destination, marks))
        own = session_files(folder)
        if waits or not own or stale(own, mark, marks) or not _is_over(folder):
            return False
        # Under a name that nobody reads: one who is killed in the middle leaves no half session.
        place = folder.path("")
        doomed = place.with_name(f"{place.name}{PART_SUFFIX}")
        place.rename(doomed)
        shutil.rmtree(doomed)
        for path in own.values():
            path.unlink(missing_ok=True)
        journal_path(destination.journals, folder.session).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        place.parent.rmdir()  # the day's folder, when it is empty
    return True


def _is_over(folder: Folder) -> bool:
    session = Session.from_json(folder.path("_session.json").read_bytes())
    return session.complete or is_dead(session)


def _remove_parts(results: Path) -> None:
    before = time.time() - _LONGEST_WRITE_S
    for parent, folders, files in os.walk(results):
        for name in (*folders, *files):
            if not name.endswith(PART_SUFFIX):
                continue
            path = Path(parent, name)
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < before:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        folders[:] = [name for name in folders if not name.endswith(PART_SUFFIX)]
