"""What a notebook's kernel must be told so that its own MLflow runs are found."""

from __future__ import annotations

import getpass
import json
import os
from typing import TYPE_CHECKING, Any

from pytest_nbci.delivery.destination import artifact_root, result_id
from pytest_nbci.delivery.fields import ATTEMPT, PARENT, RESULT, ROLE
from pytest_nbci.delivery.process import artifact_environment

if TYPE_CHECKING:
    from pytest_nbci.delivery.destination import Destination

_OURS = frozenset({RESULT, ATTEMPT, ROLE, PARENT})
# A run that is already chosen would end, or give its id to, the notebook's first run.
_CHOSEN_BEFORE = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID")


def kernel_environment(
    destination: Destination, session: str, notebook: str, attempt: int = 1
) -> dict[str, str]:
    """Variables for the kernel of ``notebook``; empty when tracking is off.

    ``MLFLOW_RUN_CONTEXT`` tags every run that ``mlflow.start_run`` and autologging make in the
    kernel and its subprocesses with ``nbci.result``, beside the user's own tags
    (``MlflowClient.create_run`` does not read it). Experiments that the notebook makes on the
    embedded database keep their artifacts beside it, not in the checkout that is thrown away.

    Args:
        destination: With an absolute tracking URI.
        session: The session's name.
        notebook: Relative to the project root.
        attempt: Which attempt at the notebook; a later one is told apart by a tag.
    """
    uri = destination.tracking_uri
    if uri is None:
        return {}
    tags = {
        # Else MLflow names the program that runs the kernel.
        "mlflow.source.name": notebook,
        "mlflow.source.type": "NOTEBOOK",
        **_users_tags(),
        RESULT: result_id(session, notebook),
    }
    if attempt > 1:
        tags[ATTEMPT] = str(attempt)
    variables = {
        "MLFLOW_TRACKING_URI": uri,
        "MLFLOW_EXPERIMENT_NAME": destination.experiment,
        "MLFLOW_RUN_CONTEXT": json.dumps(tags),
        "MLFLOW_DISABLE_TELEMETRY": os.environ.get("MLFLOW_DISABLE_TELEMETRY", "true"),
        "GIT_PYTHON_REFRESH": os.environ.get("GIT_PYTHON_REFRESH", "quiet"),
        **artifact_environment(artifact_root(uri)),
        **{name: "" for name in _CHOSEN_BEFORE if name in os.environ},
    }
    try:
        getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's uid without a name; MLflow asks too
        variables["LOGNAME"] = str(os.getuid())
    return variables


def _users_tags() -> dict[str, Any]:
    """The tags in the user's own ``MLFLOW_RUN_CONTEXT``, but those that decide whose a run is."""
    try:
        found = json.loads(os.environ.get("MLFLOW_RUN_CONTEXT") or "{}")
    except ValueError:  # MLflow itself leaves it out then
        return {}
    return {key: found[key] for key in found if key not in _OURS} if isinstance(found, dict) else {}
