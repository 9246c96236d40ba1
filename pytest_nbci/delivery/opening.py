"""The two destinations, opened and asked once, so that what is wrong is said early."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_nbci.delivery.embedded import prepare_here
from pytest_nbci.delivery.lane import AwayError
from pytest_nbci.delivery.light import importing_mlflow
from pytest_nbci.delivery.tracking import Tracking
from pytest_nbci.delivery.uploads import weighed
from pytest_nbci.errors import DeliveryError, NbciError
from pytest_nbci.s3_errors import denies
from pytest_nbci.store import open_s3_store

if TYPE_CHECKING:
    from pytest_nbci.delivery.destination import Destination
    from pytest_nbci.store import S3Store

_PATIENCE_S = 8.0
_TRIES = 2


def open_store(destination: Destination, connections: int) -> S3Store:
    """The bucket of ``destination``.

    Args:
        destination: With a store.
        connections: How many may be open at once.

    Raises:
        AwayError: It does not exist, does not answer, or refuses this machine or key.
    """
    try:
        store = open_s3_store(
            str(destination.store_url),
            destination.store_origin,
            patience_s=_PATIENCE_S,
            tries=_TRIES,
            connections=connections,
        )
    except NbciError as error:
        raise AwayError(error.message, error.cure, final=True) from error
    try:
        store.check()
    except DeliveryError as error:
        if not denies(error):  # a key may write without being let to look
            raise weighed(error) from error
    return store


def open_tracking(destination: Destination) -> Tracking:
    """The tracking server of ``destination``, and our experiment there, made if need be.

    Raises:
        DeliveryError: It does not answer or refuses us, or MLflow is not installed.
    """
    try:
        with importing_mlflow():
            prepare_here(destination)
            tracking = Tracking(destination)
    except ImportError as error:
        raise AwayError(
            f"MLflow cannot be imported ({error}).",
            "Install mlflow-skinny, or set MLFLOW_TRACKING_URI=off.",
            final=True,
        ) from error
    tracking.experiment_id()
    return tracking
