"""The MLflow database that needs no server: made once, before anything imports MLflow.

MLflow migrates a fresh sqlite file on first use, and two first uses at once crash one of them.
So the file, its schema and our experiment are made under a lock, and a marker says they are.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from pytest_nbci.delivery.destination import artifact_root, database
from pytest_nbci.delivery.journal import lock
from pytest_nbci.delivery.lane import AwayError
from pytest_nbci.delivery.process import child_environment, command
from pytest_nbci.errors import DeliveryError
from pytest_nbci.store import write_atomically

if TYPE_CHECKING:
    from pytest_nbci.delivery.destination import Destination

# A fresh schema takes 2 s on an idle machine; 120 covers a loaded one and a queue of others.
_PATIENCE_S = 120


def prepare_tracking(destination: Destination) -> None:
    """Make the embedded database and the experiment, once, whoever comes first.

    Safe in any number of processes; under a millisecond when it was done before. MLflow is
    imported in a process of its own. Does nothing for a server and without tracking.

    Raises:
        DeliveryError: It cannot be made.
    """
    if _is_made(destination):
        return
    with _Turn(destination):
        if _is_made(destination):
            return
        _try_file(destination)
        _make_elsewhere(destination)
        _mark_made(destination)


def prepare_here(destination: Destination) -> None:
    """The same in this process, which is going to import MLflow anyway.

    Raises:
        DeliveryError: It cannot be made.
    """
    _try_file(destination)
    if _is_made(destination) or _is_elsewhere(destination):
        return
    with _Turn(destination):
        if not (_is_made(destination) or _is_elsewhere(destination)):
            make(destination)
            _mark_made(destination)


def _try_file(destination: Destination) -> None:
    """Open the database once, if there is one: MLflow tries for 100 s where that fails."""
    import sqlite3

    file = database(destination.tracking_uri)
    if file is None:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(file if file.exists() else file.parent, os.W_OK):
            raise PermissionError(errno.EACCES, "it may not be written")
        if file.exists():
            with contextlib.closing(sqlite3.connect(file)) as connection:
                connection.execute("PRAGMA schema_version")
    except (OSError, sqlite3.Error) as error:
        said = getattr(error, "strerror", None) or error
        raise AwayError(
            f"{destination.tracking} could not be opened: {said}.",
            "Set MLFLOW_TRACKING_URI to a file on a local disk, or remove it if it is broken.",
            final=True,
        ) from error


def make(destination: Destination) -> None:
    """Make schema and experiment in this process. Call it under the lock.

    A new database is made under another name and put in place whole, so that one who is killed
    meanwhile, or looks, leaves and sees no half of it.

    Raises:
        DeliveryError: MLflow fails.
    """
    from pytest_nbci.delivery.mlflow_errors import told  # with MLflow only

    uri = str(destination.tracking_uri)
    file = database(uri)
    with told(uri):
        if file is None or (file.exists() and file.stat().st_size):
            if destination.has_own_database:
                _upgrade(uri)
            _make_experiment(uri, destination)
            return
        new = file.with_name(f"{file.name}.new")
        for left in (new, new.with_name(f"{new.name}-journal")):
            left.unlink(missing_ok=True)
        _make_experiment(uri.removesuffix(quote(file.name)) + quote(new.name), destination)
        new.replace(file)


def _upgrade(uri: str) -> None:
    """Bring our own database to the schema of the installed MLflow."""
    from mlflow.store.db.utils import _upgrade_db, create_sqlalchemy_engine_with_retry

    engine = create_sqlalchemy_engine_with_retry(uri)
    _upgrade_db(engine)
    engine.dispose()


def _make_experiment(uri: str, destination: Destination) -> None:
    from mlflow import MlflowClient  # 1.7 s, on use

    from pytest_nbci.delivery.tracking import make_experiment  # with MLflow only

    make_experiment(MlflowClient(uri), destination.experiment, artifact_root(uri))


def _make_elsewhere(destination: Destination) -> None:
    try:
        done = subprocess.run(
            command("make"),
            input=json.dumps({"destination": destination.to_dict()}) + "\n",
            env=child_environment(os.environ, destination),
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeliveryError(f"{destination.tracking} could not be made: {error}.") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
        raise DeliveryError(f"{destination.tracking} could not be made: {lines[-1]}")


class _Turn:
    """The lock under which one process at a time makes a database."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        file = database(destination.tracking_uri) or _marker(destination)
        # Beside the database, which may serve several checkouts.
        self._path = file.with_name(f"{file.name}.lock")

    def __enter__(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab")
        except OSError as error:
            raise DeliveryError(f"{self._path} could not be written: {error.strerror}.") from error
        try:
            free = lock(self._file.fileno(), _PATIENCE_S)
        except OSError as error:
            self._file.close()
            raise DeliveryError(
                f"{self._path} could not be locked: {error.strerror}.",
                "Set NBCI_DIR to a folder on a local disk.",
            ) from error
        if not free:
            self._file.close()
            raise DeliveryError(
                f"{self._destination.tracking} has been locked for {_PATIENCE_S} s.",
                f"End it (fuser {self._path}).",
            )

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _is_made(destination: Destination) -> bool:
    file = database(destination.tracking_uri)
    if file is None:
        return True
    try:
        return file.stat().st_size > 0 and _marker(destination).read_text("utf-8") == _mark()
    except OSError:
        return False


def _is_elsewhere(destination: Destination) -> bool:
    """Whether this is a database of the user's, with its schema: only an experiment is to be made.

    Many may do that at once.
    """
    file = database(destination.tracking_uri)
    if file is None or destination.has_own_database:
        return False
    return file.exists() and file.stat().st_size > 0


def _mark_made(destination: Destination) -> None:
    path = _marker(destination)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, _mark().encode())
    except OSError as error:
        raise DeliveryError(f"{path} could not be written: {error.strerror}.") from error


def _marker(destination: Destination) -> Path:
    name = hashlib.sha256(str(destination.tracking_mark).encode()).hexdigest()[:16]
    return destination.journals / f"tracking-{name}"


def _mark() -> str:
    """Changes with the installed MLflow, whose schema may be newer; found without importing it."""
    spec = find_spec("mlflow")
    origin = spec.origin if spec is not None else None
    if origin is None:
        return f"no mlflow in {sys.prefix}"
    status = Path(origin).with_name("version.py").stat()
    return f"{origin} {status.st_size} {status.st_mtime_ns}"
