"""Results reach the store (S3) and MLflow exactly once, from the files in the results folder.

``Follower`` is the pytest side of a delivery process, ``publish`` delivers later what waits.
Nothing here changes a verdict. boto3 and MLflow are imported on use, in the delivery process only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pytest_nbci.delivery.destination import (
    Destination,
    Report,
    embedded_uri,
    result_id,
    without_password,
)
from pytest_nbci.delivery.kernel import kernel_environment
from pytest_nbci.delivery.offline import STOOD_IN, stand_in

if TYPE_CHECKING:
    from pytest_nbci.delivery.embedded import prepare_tracking
    from pytest_nbci.delivery.follower import Follower, publish
    from pytest_nbci.delivery.lost import write_lost_record
    from pytest_nbci.delivery.outbox import count_waiting
    from pytest_nbci.delivery.trial import Finding, try_out

__all__ = [
    "STOOD_IN",
    "Destination",
    "Finding",
    "Follower",
    "Report",
    "count_waiting",
    "embedded_uri",
    "kernel_environment",
    "prepare_tracking",
    "publish",
    "result_id",
    "stand_in",
    "try_out",
    "without_password",
    "write_lost_record",
]

# Most sessions need none of them.
_ON_USE = {
    "Finding": "trial",
    "Follower": "follower",
    "count_waiting": "outbox",
    "prepare_tracking": "embedded",
    "publish": "follower",
    "try_out": "trial",
    "write_lost_record": "lost",
}


def __getattr__(name: str) -> Any:
    if name not in _ON_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ON_USE[name]}"), name)
