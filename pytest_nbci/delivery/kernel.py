"""What a notebook's kernel must be told so that its own MLflow runs are found."""

from __future__ import annotations

import getpass
import json
import os
from typing import TYPE_CHECKING

from pytest_nbci.delivery.destination import artifact_root, result_id
from pytest_nbci.delivery.process import artifact_environment

if TYPE_CHECKING:
    from pytest_nbci.delivery.destination import Destination

# A run that is already chosen would end, or give its id to, the notebook's first run.
_CHOSEN_BEFORE = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID")


def kernel_environment(destination: Destination, session: str, notebook: str) -> dict[str, str]:
    """Variables for the kernel of ``notebook``; empty when tracking is off.

    ``MLFLOW_RUN_CONTEXT`` tags every run that ``mlflow.start_run`` and autologging make in the
    kernel and its subprocesses with ``nbci.result`` (``MlflowClient.create_run`` does not read
    it). Experiments that the notebook makes on the embedded database keep their artifacts
    beside it, not in the checkout that is thrown away.

    Args:
        destination: With an absolute tracking URI.
        session: The session's name.
        notebook: Relative to the project root.
    """
    uri = destination.tracking_uri
    if uri is None:
        return {}
    variables = {
        "MLFLOW_TRACKING_URI": uri,
        "MLFLOW_EXPERIMENT_NAME": destination.experiment,
        "MLFLOW_RUN_CONTEXT": json.dumps({"nbci.result": result_id(session, notebook)}),
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
