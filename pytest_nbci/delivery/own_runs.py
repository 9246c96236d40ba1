"""The runs that a notebook made itself: children of ours, ended where they were left open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_nbci.delivery.fields import PARENT

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from pytest_nbci.delivery.fields import Fields


@dataclass(frozen=True)
class OwnRun:
    """A notebook's own run as it is after the delivery."""

    run: Run
    status: str
    parent_id: str


def adopt(client: MlflowClient, ours: Run, own: list[Run], fields: Fields) -> list[OwnRun]:
    """Make ``own`` children of ``ours``, or of each other where they are nested; end open ones.

    Raises:
        MlflowException: The server refuses.
    """
    ids = {run.info.run_id for run in own}
    return [OwnRun(run, _end(client, run, fields), _attach(client, run, ids, ours)) for run in own]


def _attach(client: MlflowClient, run: Run, own: set[str], ours: Run) -> str:
    """The id of the run's parent, which is ours unless there is another."""
    parent = str(run.data.tags.get(PARENT, ""))
    if parent in own or parent == ours.info.run_id or (parent and _is_there(client, parent)):
        return parent
    client.set_tag(run.info.run_id, PARENT, ours.info.run_id)
    return str(ours.info.run_id)


def _is_there(client: MlflowClient, run_id: str) -> bool:
    """Not where the notebook deleted it, or another publisher a second one of ours."""
    from mlflow.exceptions import MlflowException  # on use

    try:
        return bool(client.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException as error:
        if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return False
        raise


def _end(client: MlflowClient, run: Run, fields: Fields) -> str:
    """The run's status, after one that was left open was ended with the notebook."""
    if run.info.status != "RUNNING":
        return str(run.info.status)
    status = fields.status_of_open(run.data.tags)
    client.set_terminated(run.info.run_id, status, max(fields.end_ms, run.info.start_time))
    return status
