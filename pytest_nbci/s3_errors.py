"""What boto3 raises, as one sentence with a cure."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from pytest_nbci.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Iterator

Verb = Literal["reach", "write", "read", "list", "delete"]

_PAST = {
    "reach": "reached",
    "write": "written",
    "read": "read",
    "list": "listed",
    "delete": "deleted",
}
_RIGHTS = {
    "reach": "s3:ListBucket",
    "write": "s3:PutObject",
    "read": "s3:GetObject",
    "list": "s3:ListBucket",
    "delete": "s3:DeleteObject",
}
_KEYS = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
_BUCKET = "Create it, or correct NBCI_STORE."
_REGION = "Set AWS_DEFAULT_REGION to the bucket's."
_RENEW = "Renew them."

# Codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_REFUSALS = {
    "NoSuchBucket": ("the bucket does not exist", _BUCKET),
    "InvalidBucketName": ("that is no name of a bucket", "Correct NBCI_STORE."),
    "AccessDenied": ("access is denied", ""),
    "AllAccessDisabled": ("access is denied", ""),
    "InvalidAccessKeyId": ("the access key is unknown there", "Check AWS_ACCESS_KEY_ID."),
    "SignatureDoesNotMatch": ("the secret key is wrong", "Check AWS_SECRET_ACCESS_KEY."),
    "RequestTimeTooSkewed": (
        "this machine's clock and the server's differ too much",
        "Set the clock.",
    ),
    "AuthorizationHeaderMalformed": ("the region is wrong", _REGION),
    "PermanentRedirect": ("the region is wrong", _REGION),
    "ExpiredToken": ("the credentials have expired", _RENEW),
    "TokenRefreshRequired": ("the credentials have expired", _RENEW),
    "InvalidToken": ("the session token is wrong", "Check AWS_SESSION_TOKEN."),
    "InvalidTokenId": ("the session token is wrong", "Check AWS_SESSION_TOKEN."),
}
_FAILURES = {
    "XMinioStorageFull": ("the server's disk is full", "Make room there."),
    "SlowDown": ("the server has too many requests", ""),
}
_NO_SPACE = "no space left on device"
_CORE_ERRORS = {
    "NoCredentialsError": _KEYS,
    "PartialCredentialsError": _KEYS,
    "InvalidEndpointURLError": "Correct AWS_ENDPOINT_URL_S3.",
}
_NO_ANSWER = {
    "EndpointConnectionError": "nobody answers at",
    "ConnectTimeoutError": "nobody answers at",
    "ConnectionClosedError": "the connection was closed by",
    "ReadTimeoutError": "no answer came from",
}
# What OpenSSL says: (part of it, what is wrong, cure).
_TLS = (
    (
        "CERTIFICATE_VERIFY_FAILED",
        "the server's certificate is not trusted here",
        "Set AWS_CA_BUNDLE to the certificate of its authority.",
    ),
    (
        "WRONG_VERSION_NUMBER",
        "the server does not speak TLS",
        "Write http:// in AWS_ENDPOINT_URL_S3.",
    ),
    ("No such file", "AWS_CA_BUNDLE names no file", "Correct it."),
)
_REFUSING = frozenset({301, 307, 401, 403, 404})


@contextlib.contextmanager
def told(url: str, verb: Verb) -> Iterator[None]:
    """Turn what boto3 raises into one sentence with a cure.

    Args:
        url: Of the store.
        verb: What was tried.

    Raises:
        DeliveryError: The store did not do it.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # on use

    try:
        yield
    except ClientError as error:
        said, cure = _about_answer(error, verb)
        raise DeliveryError(f"{url} could not be {_PAST[verb]}: {said}.", cure) from error
    except BotoCoreError as error:
        said, cure = _about_failure(error)
        raise DeliveryError(f"{url} could not be {_PAST[verb]}: {said}.", cure) from error


def http_status(error: BaseException | None) -> int | None:
    """The HTTP status with which an S3 server refused; None when it gave no answer."""
    status = _answer(error).get("ResponseMetadata", {}).get("HTTPStatusCode")
    return None if status is None else int(status)


def refuses_us(error: DeliveryError) -> bool:
    """Whether the server refused whoever asks, and not only this object."""
    return _code(error) in _REFUSALS or http_status(error) in _REFUSING


def denies(error: DeliveryError) -> bool:
    """Whether the key is known and valid, and has no right to do this."""
    return _code(error) == "AccessDenied"


def _answer(error: BaseException | None) -> dict[str, Any]:
    return getattr(getattr(error, "__cause__", None), "response", None) or {}


def _code(error: DeliveryError) -> str:
    return str(_answer(error).get("Error", {}).get("Code", ""))


def _about_answer(error: Any, verb: Verb) -> tuple[str, str]:
    found = error.response.get("Error", {})
    code, message = str(found.get("Code", "")), str(found.get("Message", error)).rstrip(".")
    if _NO_SPACE in message:
        # MinIO calls it an internal error when the disk fills up under a write.
        code = "XMinioStorageFull"
    said, cure = {**_REFUSALS, **_FAILURES}.get(code, (f"{code}: {message}", ""))
    if said == "access is denied":
        cure = f"Give the access key the right {_RIGHTS[verb]}."
    return said, cure


def _about_failure(error: Exception) -> tuple[str, str]:
    text, kind = str(error).rstrip("."), type(error).__name__
    address = urlsplit(str(getattr(error, "kwargs", {}).get("endpoint_url", "")))
    place = f"{address.scheme}://{address.netloc}"
    if kind in _NO_ANSWER:
        return f"{_NO_ANSWER[kind]} {place}", "Start the server, or correct AWS_ENDPOINT_URL_S3."
    if kind == "SSLError":
        for part, said, cure in _TLS:
            if part in text:
                return said, cure
    return text, _CORE_ERRORS.get(kind, "")
