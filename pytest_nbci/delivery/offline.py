"""Notebooks that log to MLflow themselves, while the tracking server is away.

Their verdict must not depend on that server, so they log to the embedded database instead; when
the result is delivered, the runs are carried over. Everything can be repeated: a carried run is
known by its tag, and its status is set last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pytest_nbci.delivery.destination import artifact_root, database, embedded_uri
from pytest_nbci.delivery.fields import PARENT, RESULT

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from pytest_nbci.delivery.destination import Destination
    from pytest_nbci.delivery.tracking import Tracking

# In a record's environment: the embedded database stood in for the tracking server.
STOOD_IN = "mlflow_stood_in"
CARRIED = "nbci.carried_from"
_PATIENCE_S = 3.0
_BATCH = 1000  # MLflow's MAX_METRICS_PER_BATCH


def stand_in(destination: Destination) -> Destination:
    """``destination``, or the same with the embedded database where its server does not answer.

    Any answer counts, also a refusal: what the server says then is the notebook's to hear.
    """
    uri = destination.tracking_uri
    if uri is None or urlsplit(uri).scheme not in {"http", "https"} or _answers(uri):
        return destination
    return destination.embedded()


def _answers(uri: str) -> bool:
    import http.client  # these three take 10 ms
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=_PATIENCE_S):  # noqa: S310 - http(s), looked at above
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, http.client.HTTPException):
        return False


def carry_over(tracking: Tracking, result: str, known: list[Run]) -> None:
    """Bring the runs that a notebook logged to the embedded database to the server.

    Args:
        tracking: The server.
        result: Value of the tag ``nbci.result``.
        known: The runs with that tag that the server has.

    Raises:
        MlflowException: The server, or the database, refuses.
    """
    destination = tracking.destination
    source_uri = embedded_uri(destination.state)
    file = database(source_uri)
    if source_uri == tracking.uri or file is None or not file.is_file():
        return
    from mlflow import MlflowClient as Client  # on use

    source = Client(tracking_uri=source_uri)
    runs = _logged(source, result)
    names = {item.experiment_id: item.name for item in source.search_experiments()}
    there = {run.data.tags[CARRIED]: run for run in known if CARRIED in run.data.tags}
    for run in runs:
        target = there.get(run.info.run_id)
        if target is None:
            target = _create(tracking, run, names[run.info.experiment_id], there)
            there[run.info.run_id] = target
        if target.info.status == "RUNNING":
            _fill(source, tracking, run, target)


def _logged(source: MlflowClient, result: str) -> list[Run]:
    """The runs with that tag, a parent before its children."""
    runs: list[Run] = []
    token = None
    while True:
        page = source.search_runs(
            [item.experiment_id for item in source.search_experiments()],
            filter_string=f"tags.`{RESULT}` = '{result}'",
            order_by=["attributes.start_time ASC"],
            page_token=token,
        )
        runs += page
        token = page.token
        if not token:
            break
    parents = {run.info.run_id: run.data.tags.get(PARENT) for run in runs}

    def depth(run: Run) -> int:
        found, one = 0, parents[run.info.run_id]
        while one in parents and found < len(parents):  # tags that lead in a circle
            found, one = found + 1, parents[one]
        return found

    return sorted(runs, key=depth)


def _create(tracking: Tracking, run: Run, experiment: str, there: dict[str, Run]) -> Run:
    from pytest_nbci.delivery.tracking import make_experiment  # it imports this module

    tags = {**run.data.tags, CARRIED: run.info.run_id}
    parent = there.get(tags.pop(PARENT, ""))
    if parent is not None:
        tags[PARENT] = parent.info.run_id
    client = tracking.client
    experiment_id = make_experiment(client, experiment, artifact_root(tracking.uri))
    return client.create_run(
        experiment_id, start_time=run.info.start_time, tags=tags, run_name=run.info.run_name
    )


def _fill(source: MlflowClient, tracking: Tracking, run: Run, target: Run) -> None:
    import tempfile

    from mlflow.entities import Param  # on use

    from pytest_nbci.delivery.tracking import takes_files  # it imports this module

    client, run_id, target_id = tracking.client, run.info.run_id, target.info.run_id
    params = [Param(key, value) for key, value in run.data.params.items()]
    for start in range(0, len(params), 100):
        client.log_batch(target_id, params=params[start : start + 100])
    metrics: list[Any] = []
    for key in run.data.metrics:
        metrics += source.get_metric_history(run_id, key)
    for start in range(0, len(metrics), _BATCH):
        client.log_batch(target_id, metrics=metrics[start : start + _BATCH])
    if run.inputs.dataset_inputs:
        client.log_inputs(target_id, run.inputs.dataset_inputs)
    if takes_files(tracking.uri, target) and source.list_artifacts(run_id):
        with tempfile.TemporaryDirectory() as folder:
            client.log_artifacts(target_id, source.download_artifacts(run_id, "", folder))
    if run.info.status != "RUNNING":  # one that was left open, the delivery ends
        client.set_terminated(target_id, run.info.status, run.info.end_time)
