"""The way of one result, and of a session's own files, into the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_nbci.delivery.lane import AwayError
from pytest_nbci.delivery.outbox import files_of, session_files, stamp
from pytest_nbci.errors import DeliveryError
from pytest_nbci.s3_errors import denies, http_status, refuses_us

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pytest_nbci.delivery.journal import Journal
    from pytest_nbci.delivery.outbox import Folder
    from pytest_nbci.store import S3Store

_TOO_MANY_REQUESTS = 429
_SERVER_ERRORS = 500


def upload_result(
    store: S3Store, folder: Folder, notebook: str, journal: Journal, alive: Callable[[], None]
) -> None:
    """Bring what the store lacks of one result; the record after everything else.

    Args:
        store: The bucket.
        folder: The session.
        notebook: Whose result.
        journal: Of the session; each file is marked as it arrives.
        alive: Called while a big file is under way.

    Raises:
        AwayError: The store takes nothing.
        DeliveryError: A file could not be read, or was refused.
    """
    _upload(store, files_of(folder, notebook), journal, alive)


def upload_session(
    store: S3Store, folder: Folder, journal: Journal, alive: Callable[[], None]
) -> None:
    """Bring ``_session.json`` and the session's file of passed fingerprints.

    The bucket's policy may keep a session from writing ``_passed``; that is no fault.

    Raises:
        AwayError: The store takes nothing.
        DeliveryError: A file could not be read, or was refused.
    """
    for key, path in session_files(folder).items():
        try:
            _upload(store, {key: path}, journal, alive)
        except AwayError as away:
            refusal = away.__cause__
            denied = isinstance(refusal, DeliveryError) and denies(refusal)
            if not denied or "/_passed/" not in f"/{key}":
                raise
            journal.mark(store.url, key, stamp(path))


def weighed(error: DeliveryError) -> DeliveryError:
    """Whether ``error`` concerns the store as a whole (``AwayError``) or this file only."""
    status = http_status(error)
    if status is None or status == _TOO_MANY_REQUESTS or status >= _SERVER_ERRORS:
        return AwayError(error.message, error.cure)
    if refuses_us(error):
        return AwayError(error.message, error.cure, final=True)
    return error


def _upload(
    store: S3Store, files: Mapping[str, Path], journal: Journal, alive: Callable[[], None]
) -> None:
    for key, path in files.items():
        before = stamp(path)
        if journal.stamp(store.url, key) == before:
            continue
        try:
            store.put(key, path, lambda _: alive())
        except DeliveryError as error:
            raise weighed(error) from error
        except OSError as error:
            raise DeliveryError(f"{path} could not be read: {error.strerror}.") from error
        journal.mark(store.url, key, before)
