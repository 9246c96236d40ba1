"""Results of notebooks that were due in a session that was killed: they are told, not left out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pytest_nbci.delivery.outbox import RECORD
from pytest_nbci.errors import NbciError
from pytest_nbci.records import Session, is_dead, lost_record
from pytest_nbci.store import FolderStore

if TYPE_CHECKING:
    from pytest_nbci.delivery.outbox import Folder

_POLL_S = 0.1


def write_lost(folder: Folder, wait_s: float = 0.0) -> list[str]:
    """Write the record of every notebook that was planned and left nothing when pytest died.

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
        path = folder.path(planned.notebook + RECORD)
        if planned.due and not path.exists():
            record = lost_record(session, planned.notebook)
            data = record.to_json().encode("utf-8", "backslashreplace")
            FolderStore(folder.results).put(folder.key(planned.notebook + RECORD), data)
            lost.append(planned.notebook)
    return sorted(lost)


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
