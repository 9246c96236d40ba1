"""Both destinations tried end to end: write, read back, delete; log, read back, delete.

It happens in a process of its own, as delivery does, so that what is found here is what delivery
would find, and a server that never answers cannot hold anybody up.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, Self

from pytest_nbci.delivery.fields import ROLE
from pytest_nbci.delivery.mlflow_errors import told
from pytest_nbci.delivery.opening import open_store, open_tracking
from pytest_nbci.delivery.process import child_environment, command
from pytest_nbci.delivery.tracking import Tracking, takes_files
from pytest_nbci.errors import DeliveryError, NbciError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_nbci.delivery.destination import Destination
    from pytest_nbci.store import S3Store

Status = Literal["ok", "note", "bad"]
STORE, TRACKING = "store", "mlflow"
_BOUND_S = 60.0
_TEXT = "written by nbci doctor; it may be deleted\n"


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        status: ``ok``; ``note``: it works, but something is worth knowing; ``bad``: it does not.
        subject: What was looked at.
        said: What was found, in a sentence.
        cure: What to do about it; empty where nothing is to be done.
    """

    status: Status
    subject: str
    said: str
    cure: str = ""

    def to_line(self) -> str:
        """One line of JSON."""
        return json.dumps(dataclasses.asdict(self)) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Self:
        """The finding that ``to_line`` wrote."""
        return cls(**json.loads(line))


def try_out(destination: Destination, bound_s: float = _BOUND_S) -> Iterator[Finding]:
    """Try the store and MLflow; each finding as it comes, one for each that is set.

    Args:
        destination: Where results would go.
        bound_s: How long to wait for both.
    """
    waited = {STORE: destination.store_url, TRACKING: destination.tracking}
    left = {subject: place for subject, place in waited.items() if place is not None}
    if not left:
        return
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            command("try"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=child_environment(os.environ, destination),
            start_new_session=True,
        ) as process,
    ):
        timer = threading.Timer(bound_s, process.kill)
        timer.start()
        try:
            assert process.stdin is not None  # noqa: S101 - a pipe, see above
            with contextlib.suppress(OSError), process.stdin:
                header = json.dumps({"destination": destination.to_dict()}) + "\n"
                process.stdin.write(header.encode())
            for line in process.stdout or ():
                finding = Finding.from_line(line.decode())
                left.pop(finding.subject, None)
                yield finding
        finally:
            timer.cancel()
            process.kill()
        log.seek(0)
        last = log.read().decode("utf-8", "replace").strip().splitlines()[-1:]
    why = f"it ended early: {last[0]}" if last else f"nothing came of it in {bound_s:g} s"
    for subject, place in left.items():
        yield Finding("bad", subject, f"{place}: {why}.")


def try_here(destination: Destination, out: IO[str]) -> int:
    """The body of that process: both at once, since one may hang.

    Returns:
        The exit code.
    """
    lock = threading.Lock()

    def report(subject: str, trial: Callable[[Destination], Finding]) -> None:
        try:
            finding = trial(destination)
        except NbciError as error:
            finding = Finding("bad", subject, error.message, error.cure)
        with lock:
            out.write(finding.to_line())
            out.flush()

    trials: dict[str, Callable[[Destination], Finding]] = {}
    if destination.store_url is not None:
        trials[STORE] = _try_store
    if destination.tracking_uri is not None:
        trials[TRACKING] = _try_tracking
    threads = [threading.Thread(target=report, args=item) for item in trials.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 0


def _try_store(destination: Destination) -> Finding:
    begun = time.monotonic()
    store = open_store(destination, 1)
    key = f"_doctor/{uuid.uuid4().hex}.txt"
    store.put(key, _TEXT.encode())
    lacking = []
    for step in (_read_back, _list, _delete):
        try:
            step(store, key)
        except DeliveryError as error:
            lacking.append(error)
    if lacking:
        said = " ".join(error.message for error in lacking)
        cures = dict.fromkeys(error.cure for error in lacking)
        why = "Publishing works; listing, pages and selection read, the doctor deletes."
        return Finding("note", STORE, f"{said} {why}", " ".join(cures))
    client: Any = store.client
    credentials = client._request_signer._credentials  # noqa: SLF001 - the chain's choice
    where = f"{store.url} at {client.meta.endpoint_url}"
    method = getattr(credentials, "method", "none")
    seconds = time.monotonic() - begun
    return Finding(
        "ok",
        STORE,
        f"{where}: written, read back, listed, deleted in {seconds:.1f} s (credentials: {method}).",
    )


def _read_back(store: S3Store, key: str) -> None:
    if store.get(key) != _TEXT.encode():
        raise DeliveryError(f"{store.url}: what was written did not come back.")


def _list(store: S3Store, key: str) -> None:
    if key not in store.keys("_doctor/"):
        raise DeliveryError(f"{store.url}: what was written is not listed.")


def _delete(store: S3Store, key: str) -> None:
    store.delete(key)


def _try_tracking(destination: Destination) -> Finding:
    begun = time.monotonic()
    tracking = open_tracking(destination)
    uri = tracking.uri
    with told(uri):
        run = tracking.client.create_run(
            tracking.experiment_id(), tags={ROLE: "doctor"}, run_name="nbci doctor"
        )
        try:
            return _try_run(tracking, run, begun)
        finally:
            tracking.client.delete_run(run.info.run_id)


def _try_run(tracking: Tracking, run: Any, begun: float) -> Finding:
    client, run_id, place = tracking.client, run.info.run_id, tracking.destination.tracking
    client.log_param(run_id, "nbci.doctor", "1")
    client.log_metric(run_id, "nbci.doctor", 1.0)
    data = client.get_run(run_id).data
    if (data.params.get("nbci.doctor"), data.metrics.get("nbci.doctor")) != ("1", 1.0):
        return Finding("bad", TRACKING, f"MLflow at {place}: what was logged did not come back.")
    experiment = f"experiment {tracking.destination.experiment!r}"
    if not takes_files(tracking.uri, run):
        return Finding(
            "note",
            TRACKING,
            f"MLflow at {place}, {experiment}: logged and read back, but files cannot be stored: "
            f"the server names a folder of its own machine ({run.info.artifact_uri}).",
            "Start the server with --artifacts-destination, or set a bucket as artifact root.",
        )
    with tempfile.TemporaryDirectory() as folder, told(tracking.uri, "files"):
        path = Path(folder, "nbci-doctor.txt")
        path.write_text(_TEXT, encoding="utf-8")
        client.log_artifact(run_id, str(path))
        found = [item.path for item in client.list_artifacts(run_id)]
        _remove_artifact(run, path.name)
    if path.name not in found:
        return Finding("bad", TRACKING, f"MLflow at {place}: a stored file did not come back.")
    seconds = time.monotonic() - begun
    return Finding(
        "ok",
        TRACKING,
        f"MLflow at {place}, {experiment}: logged, a file stored, read back, deleted"
        f" in {seconds:.1f} s.",
    )


def _remove_artifact(run: Any, name: str) -> None:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    # A few bytes may stay where a store knows no deletion.
    with contextlib.suppress(Exception):
        get_artifact_repository(run.info.artifact_uri).delete_artifacts(name)
