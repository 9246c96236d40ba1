"""How the delivery process is called: its command line and its environment."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pytest_nbci.delivery.destination import artifact_root

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_nbci.delivery.destination import Destination

# mlflow/tracking/_tracking_service/utils.py: the root for experiments made without a location
# on a database, else ``./mlruns``. MLflow has no public name for it.
ARTIFACT_ROOT = "_MLFLOW_SERVER_ARTIFACT_ROOT"
# mlflow/store/artifact/host_policy.py: the same variable also stands for "I am a server", which
# must not connect to any host it is told; a notebook is none and may.
_HOSTS = "MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES"
_ALL_HOSTS = "ftp,sftp,hdfs,viewfs,http,https,mlflow-artifacts,r2,b2,abfss"

# Of a notebook or a test, and none of the delivery process's business.
_NOT_OURS = (
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_RUN_CONTEXT",
    "MLFLOW_RUN_ID",
    "PYTEST_CURRENT_TEST",
)
_QUIET_AND_SHORT = {
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": "30",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    # A lane tries again by itself. A busy server that hashes a password for each request (MLflow's
    # basic-auth) needs 4 s for one.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "12",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",  # it may say an hour; a lane has its pauses
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "PYTHONWARNINGS": "ignore",
}


def command(task: Literal["follow", "publish", "make", "try"]) -> list[str]:
    """The command line of a delivery process; the rest goes through its stdin.

    The working directory is kept off ``sys.path`` (the repository under test may hold a folder
    named ``mlflow``), so the place of this package is added at its end.
    """
    place = str(Path(__file__).parents[2])
    code = (
        f"import sys; sys.path.append({place!r}) if {place!r} not in sys.path else None; "
        f"from pytest_nbci.delivery.child import run; run({task!r})"
    )
    return [sys.executable, "-P", "-c", code]


def child_environment(environment: Mapping[str, str], destination: Destination) -> dict[str, str]:
    """``environment`` for a delivery process: silent, short of patience, with no run chosen.

    What the user set himself stays.
    """
    kept = {name: value for name, value in environment.items() if name not in _NOT_OURS}
    return {
        **_QUIET_AND_SHORT,
        **kept,
        **artifact_environment(artifact_root(destination.tracking_uri)),
    }


def artifact_environment(root: str | None) -> dict[str, str]:
    """Variables that make MLflow keep artifacts of an embedded database below ``root``."""
    return {} if root is None else {ARTIFACT_ROOT: root, _HOSTS: _ALL_HOSTS}
