"""What MLflow raises, as one sentence with a cure."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from pytest_nbci.delivery.destination import EMBEDDED, without_password
from pytest_nbci.delivery.lane import AwayError
from pytest_nbci.errors import DeliveryError, NbciError

if TYPE_CHECKING:
    from collections.abc import Iterator

# The texts are those of mlflow/utils/rest_utils.py (3.17) and of urllib3.
_STATUS = re.compile(r"error code (\d{3})|too many (\d{3}) error|(\d{3}) (?:Client|Server) Error")
_NO_ANSWER = re.compile(r"failed with (?:timeout )?exception|Max retries exceeded|timed out")
_WHY = (
    (re.compile(r"Connection refused"), "connection refused"),
    (re.compile(r"NameResolution|Name or service not known|resolve"), "its name is unknown here"),
    (re.compile(r"SSL|CERTIFICATE", re.IGNORECASE), "its certificate is not trusted here"),
    (re.compile(r"timed? ?out", re.IGNORECASE), "timeout"),
    (re.compile(r"Connection aborted|reset by peer|RemoteDisconnected"), "connection lost"),
)
_CODES = {"UNAUTHENTICATED": 401, "CUSTOMER_UNAUTHORIZED": 401, "PERMISSION_DENIED": 403}
_PASSING = frozenset({"TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR", "REQUEST_LIMIT_EXCEEDED"})
_CURES = {
    401: "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN.",
    403: "Check the user's rights, and that the server's MLFLOW_SERVER_ALLOWED_HOSTS has its name.",
    404: "Check the path in MLFLOW_TRACKING_URI.",
}
_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500


@contextlib.contextmanager
def told(uri: str, what: str = "") -> Iterator[None]:
    """Turn what MLflow raises into ``AwayError`` (the server) or ``DeliveryError`` (this result).

    Args:
        uri: The tracking URI.
        what: What was brought, when a failure of it concerns only that.

    Raises:
        AwayError: The server takes nothing.
        DeliveryError: It does not take this.
    """
    try:
        yield
    except NbciError as error:
        raise error if isinstance(error, DeliveryError) else DeliveryError(str(error)) from error
    except Exception as error:  # MLflow lets through what requests, SQLAlchemy and boto3 raise
        weighed = _weighed(f"MLflow at {without_password(uri)}", uri, error)
        if what:
            raise DeliveryError(f"{weighed.message.rstrip('.')}, asked to take {what}.") from error
        raise weighed from error


def _weighed(name: str, uri: str, error: Exception) -> DeliveryError:
    text = _first_line(error)
    code = str(getattr(error, "error_code", ""))
    found = _STATUS.search(str(error))
    status = int(next(filter(None, found.groups()))) if found else _CODES.get(code)
    if status is not None and (status in _CURES or status == _TOO_MANY_REQUESTS):
        return AwayError(
            f"{name} answered {status}.", _CURES.get(status, ""), final=status in _CURES
        )
    if status is not None and status >= _SERVER_ERROR:
        return AwayError(f"{name} answered {status}.")
    if _NO_ANSWER.search(str(error)):
        why = next((why for pattern, why in _WHY if pattern.search(str(error))), "")
        cure = "Set MLFLOW_TRACKING_SERVER_CERT_PATH." if "certificate" in why else ""
        return AwayError(f"{name} did not answer{f' ({why})' if why else ''}.", cure)
    if "out-of-date database schema" in str(error):
        cure = f"Run: mlflow db upgrade {without_password(uri)}"
        return AwayError(f"{name} was made by another version of MLflow.", cure, final=True)
    if code in _PASSING and uri.startswith((EMBEDDED, "http")):
        return AwayError(f"{name} failed: {text}.")
    return DeliveryError(f"{name} refused a result: {text}.")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300].rstrip(".")
