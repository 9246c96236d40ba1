"""One MLflow run per result, made once, with the notebook's own runs as its children.

Every step can be repeated: the run is looked up by its tag first, params and metrics are the
same each time, a status is set again. So a delivery that was killed anywhere goes on from there.
"""

from __future__ import annotations

import json
import os
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from pytest_nbci.delivery.destination import EMBEDDED, artifact_root, without_password
from pytest_nbci.delivery.fields import MOST_INPUTS, RESULT, ROLE, ROLE_NOTEBOOK, fields_of
from pytest_nbci.delivery.lane import AwayError
from pytest_nbci.delivery.mlflow_errors import told
from pytest_nbci.delivery.offline import STOOD_IN, carry_over
from pytest_nbci.delivery.outbox import RECORD, TRACKED, stamp
from pytest_nbci.delivery.own_runs import OwnRun, adopt
from pytest_nbci.records import SCHEMA, Record, dump_json
from pytest_nbci.scrub import find_secrets, scrub_data, scrub_text
from pytest_nbci.store import FolderStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlflow import MlflowClient
    from mlflow.entities import Run

    from pytest_nbci.delivery.destination import Destination
    from pytest_nbci.delivery.fields import Fields
    from pytest_nbci.delivery.journal import Journal
    from pytest_nbci.delivery.outbox import Folder

_PAGE = 1000
_BATCH = 100  # MLflow's MAX_PARAMS_TAGS_PER_BATCH
_HERE = frozenset({"localhost", "127.0.0.1", "::1"})


class Tracking:
    """An MLflow tracking server (or embedded database) and the experiment of our runs there."""

    def __init__(self, destination: Destination) -> None:
        """Import MLflow; nothing is sent yet."""
        from mlflow import MlflowClient as Client  # 1.7 s, on use

        self.destination = destination
        self.uri = str(destination.tracking_uri)
        self.client: MlflowClient = Client(tracking_uri=self.uri)
        self._lock = threading.Lock()
        self._experiment_id: str | None = None
        self._experiments: tuple[float, dict[str, str]] = (0.0, {})

    def experiment_id(self) -> str:
        """The id of our experiment, which is made if need be.

        Raises:
            AwayError: The server does not answer, or the experiment was deleted.
        """
        with self._lock, told(self.uri):
            if self._experiment_id is None:
                self._experiment_id = make_experiment(
                    self.client, self.destination.experiment, artifact_root(self.uri)
                )
            return self._experiment_id

    def runs_of(self, result: str, known_at: float) -> list[Run]:
        """All runs with the tag ``nbci.result`` = ``result``, in any experiment, oldest first.

        Args:
            result: As ``result_id`` gives it.
            known_at: Unix time; an experiment made later cannot hold such a run.
        """
        asked, experiments = self._experiments
        if asked <= known_at:
            asked, experiments = time.time(), {}
            token = None
            while True:
                page = self.client.search_experiments(max_results=_PAGE, page_token=token)
                experiments |= {item.experiment_id: item.name for item in page}
                token = page.token
                if not token:
                    break
            self._experiments = asked, experiments
        found: list[Run] = []
        token = None
        while True:
            runs = self.client.search_runs(
                list(experiments),
                filter_string=f"tags.`{RESULT}` = '{result}'",
                max_results=_PAGE,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            found += runs
            token = runs.token
            if not token:
                return found

    def experiment_name(self, experiment_id: str) -> str:
        """The name of an experiment that ``runs_of`` met."""
        return self._experiments[1].get(experiment_id, experiment_id)

    def url(self, run: Run) -> str | None:
        """Where MLflow's own pages show ``run``; None without a server."""
        if urlsplit(self.uri).scheme not in {"http", "https"}:
            return None
        base = without_password(self.uri).rstrip("/")
        return f"{base}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"


def make_experiment(client: MlflowClient, name: str, root: str | None) -> str:
    """The id of the experiment ``name``, made if need be, also when others make it at once.

    Args:
        client: Of the tracking server.
        name: The experiment's name.
        root: Folder for its artifacts; None: the server decides.

    Raises:
        MlflowException: The server refuses.
        AwayError: The experiment is there, but deleted.
    """
    from mlflow.exceptions import MlflowException  # on use

    found = client.get_experiment_by_name(name)
    if found is None:
        location = None if root is None else f"{root}/{quote(name, safe='')}"
        try:
            return str(client.create_experiment(name, artifact_location=location))
        except MlflowException:
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise AwayError(
            f"The MLflow experiment {name!r} is deleted.",
            f"Run: mlflow experiments restore -x {found.experiment_id}",
            final=True,
        )
    return str(found.experiment_id)


def track_result(
    tracking: Tracking,
    folder: Folder,
    notebook: str,
    journal: Journal,
    breathe: Callable[[], None],
) -> None:
    """Log one result: our run, its files, its children, ``<notebook>.mlflow.json``; mark it.

    Args:
        tracking: The server.
        folder: The session.
        notebook: Whose result; a skipped one gets no run.
        journal: Of the session.
        breathe: Called whenever the server took something: a slow one is no dead one.

    Raises:
        AwayError: The server takes nothing.
        DeliveryError: It does not take this result.
    """
    destination = tracking.destination
    mark = str(destination.tracking_mark)
    path = folder.path(notebook + RECORD)
    before = stamp(path)
    with told(tracking.uri):
        record = Record.from_json(path.read_bytes())
        if record.outcome == "skipped":
            journal.mark(mark, folder.key(notebook), before)
            return
        result_path = f"{destination.store.rstrip('/')}/{folder.key(notebook)}"
        known = {
            "page": destination.link(f"{folder.key(notebook)}.html"),
            "job": record.job.get("url"),
        }
        links = {title: str(url) for title, url in known.items() if url}
        fields = fields_of(record, result_path, links)
        if record.environment.get(STOOD_IN):
            result = fields.tags[RESULT]
            carry_over(tracking, result, tracking.runs_of(result, path.stat().st_mtime))
        breathe()
        run, found = _run(tracking, fields, path.stat().st_mtime)
        breathe()
        _log(tracking.client, run, fields)
        own = adopt(tracking.client, run, found, fields)
        breathe()
        _log_inputs(tracking.client, run, record)
        tracking.client.set_terminated(run.info.run_id, fields.status, fields.end_ms)
    summary = _summary(tracking, run, own, fields)
    FolderStore(folder.results).put(folder.key(notebook + TRACKED), dump_json(summary).encode())
    with told(tracking.uri, "the files"):
        if takes_files(tracking.uri, run):
            for name in (notebook, f"{notebook}.html"):
                if folder.path(name).is_file():
                    breathe()
                    tracking.client.log_artifact(run.info.run_id, str(folder.path(name)))
    journal.mark(mark, folder.key(notebook), before)


def _run(tracking: Tracking, fields: Fields, ended_at: float) -> tuple[Run, list[Run]]:
    """Our run of a result, found or made, and the notebook's own."""
    result = fields.tags[RESULT]
    ours, surplus, own = _sorted(tracking.runs_of(result, ended_at), fields)
    if not ours:
        made = tracking.client.create_run(
            tracking.experiment_id(),
            start_time=fields.start_ms,
            tags=dict(fields.tags),
            run_name=fields.name,
        )
        ours = [made]
        if not tracking.destination.has_own_database:  # which the journal's lock keeps to us
            # Another machine may have made one since we looked. Both see both now or one does,
            # and both keep the same one.
            ours, surplus, own = _sorted(tracking.runs_of(result, ended_at), fields)
    for run in [*ours[1:], *surplus]:
        tracking.client.delete_run(run.info.run_id)
    return ours[0], own


def _sorted(runs: list[Run], fields: Fields) -> tuple[list[Run], list[Run], list[Run]]:
    """Ours; those of ours that cannot be used; the notebook's own.

    MLflow keeps a param as it was first logged. Where a result was replaced by that of a later
    attempt with other parameters, its run is too.
    """
    ours = [run for run in runs if run.data.tags.get(ROLE) == ROLE_NOTEBOOK]
    ours.sort(key=lambda run: str(run.info.run_id))
    fit = [run for run in ours if _fits(run.data.params, fields.params)]
    return (
        fit,
        [run for run in ours if run not in fit],
        [run for run in runs if run not in ours],
    )


def _fits(logged: Mapping[str, str], params: Mapping[str, str]) -> bool:
    return all(params.get(key) == value for key, value in logged.items() if key.startswith("nbci."))


def _log(client: MlflowClient, run: Run, fields: Fields) -> None:
    from mlflow.entities import Metric, Param, RunTag  # on use

    metrics = [Metric(key, value, fields.end_ms, 0) for key, value in fields.metrics.items()]
    params = [Param(key, value) for key, value in fields.params.items()]
    # Only what another version, or a run that was found half made, does not have yet.
    tags = [RunTag(k, v) for k, v in fields.tags.items() if run.data.tags.get(k) != v]
    client.log_batch(run.info.run_id, metrics, params[:_BATCH], tags)
    for start in range(_BATCH, len(params), _BATCH):
        client.log_batch(run.info.run_id, params=params[start : start + _BATCH])


def _log_inputs(client: MlflowClient, run: Run, record: Record) -> None:
    """The files that the notebook read, as datasets, where the server knows such."""
    from mlflow.entities import Dataset, DatasetInput, InputTag  # on use
    from mlflow.exceptions import MlflowException

    def rank(item: Mapping[str, Any]) -> bool:
        return item.get("origin") == "git"

    datasets = [
        DatasetInput(
            Dataset(
                name=str(item["path"])[-500:],
                digest=str(item["sha256"])[:36],
                source_type="local",
                source=json.dumps({"uri": str(item["path"])}),
                profile=json.dumps({"bytes": item.get("bytes")}),
            ),
            [InputTag("mlflow.data.context", str(item.get("origin", "")))],
        )
        for item in sorted(record.inputs, key=rank)[:MOST_INPUTS]
        if item.get("path") and item.get("sha256")
    ]
    if not datasets:
        return
    try:
        client.log_inputs(run.info.run_id, datasets)
    except MlflowException as error:
        if error.error_code not in {"ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED"}:
            raise


def takes_files(uri: str, run: Run) -> bool:
    """Whether artifacts can be written: not where the server names a folder of its own machine."""
    where = urlsplit(str(run.info.artifact_uri))
    if where.scheme not in {"", "file"} or uri.startswith(EMBEDDED):
        return True
    return urlsplit(uri).hostname in _HERE


def _summary(tracking: Tracking, run: Run, own: list[OwnRun], fields: Fields) -> dict[str, object]:
    """The content of ``<notebook>.mlflow.json``, which goes to the store."""
    secrets = find_secrets(os.environ, tracking.destination.scrub)

    def told_of(one: Run, status: str) -> dict[str, object]:
        return {
            "run_id": one.info.run_id,
            "name": scrub_text(one.info.run_name, secrets),
            "url": tracking.url(one),
            "experiment": tracking.experiment_name(one.info.experiment_id),
            "experiment_id": one.info.experiment_id,
            "status": status,
        }

    return {
        "schema": SCHEMA,
        "result": fields.tags[RESULT],
        "tracking": without_password(tracking.uri),
        **told_of(run, fields.status),
        "runs": [
            {
                **told_of(one.run, one.status),
                "parent_run_id": one.parent_id,
                "params": scrub_data(dict(one.run.data.params), secrets),
                "metrics": scrub_data(dict(one.run.data.metrics), secrets),
            }
            for one in own
        ],
    }
