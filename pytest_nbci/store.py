"""A results tree: a folder or an S3 bucket, with the same layout in both (docs/results.md).

Keys are relative, with forward slashes. Writing is atomic in both: a reader sees the old
content or the new, never a part. What is put into a folder reaches the disk for good (fsync) in a
thread, since that takes many milliseconds beside others who write, and only a power failure can
tell; ``FolderStore.settle`` waits for it. boto3 is imported when an S3 store is opened.
"""

from __future__ import annotations

import contextlib
import os
import queue
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from pytest_nbci.errors import DeliveryError, UsageError
from pytest_nbci.s3_errors import told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_s3.client import S3Client

# Jupyter's own MIME type for notebooks: https://jupyter.readthedocs.io/en/latest/reference/mimetype.html
_CONTENT_TYPES = {
    ".ipynb": "application/x-ipynb+json",
    ".json": "application/json",
    ".html": "text/html; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}


def content_type(key: str) -> str:
    """The MIME type under which ``key`` is stored, by its last suffix."""
    return _CONTENT_TYPES.get(Path(key).suffix.lower(), "application/octet-stream")


class Store(Protocol):
    """Where results lie."""

    @property
    def url(self) -> str:
        """What a reader is told: a folder's path or an ``s3://`` URL."""

    def put(
        self, key: str, content: bytes | Path, progress: Callable[[int], None] | None = None
    ) -> None:
        """Write ``content`` (bytes, or a file to be copied) at ``key``, replacing what was there.

        Args:
            key: Where.
            content: What.
            progress: Called with a number of bytes each time some have gone, for big content.

        Raises:
            DeliveryError: The store did not take it.
        """

    def get(self, key: str) -> bytes | None:
        """The content at ``key``; None where there is none.

        Raises:
            DeliveryError: The store cannot be read.
        """

    def keys(self, prefix: str = "") -> Iterator[str]:
        """All keys that start with ``prefix``, sorted.

        Raises:
            DeliveryError: The store cannot be read.
        """

    def folders(self, prefix: str = "") -> list[str]:
        """The names one level below ``prefix`` (which ends in "/" or is empty), sorted.

        Raises:
            DeliveryError: The store cannot be read.
        """


@dataclass(frozen=True)
class FolderStore:
    """A results tree in a local folder (made on the first write)."""

    root: Path

    @property
    def url(self) -> str:
        """The folder's path."""
        return str(self.root)

    def path(self, key: str) -> Path:
        """The file that holds ``key``."""
        return self.root.joinpath(*key.split("/"))

    def put(
        self, key: str, content: bytes | Path, progress: Callable[[int], None] | None = None
    ) -> None:
        """Write atomically: temporary file, rename; ``settle`` makes it last."""
        del progress  # a local copy is quick
        path = self.path(key)
        try:
            data = content.read_bytes() if isinstance(content, Path) else content
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, data)
        except OSError as error:
            raise _unwritten(path, error) from error
        _SYNCING.add(path)

    def settle(self) -> None:
        """Wait until all that this process has put into any folder outlives a power failure.

        Raises:
            DeliveryError: The disk did not take something since the last call.
        """
        failed = _SYNCING.wait()
        if failed:
            path, error = failed[0]
            raise _unwritten(path, error) from error

    def get(self, key: str) -> bytes | None:
        """The file's bytes; None where there is no such file."""
        try:
            return self.path(key).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            raise DeliveryError(f"{self.path(key)} could not be read: {error.strerror}.") from error

    def keys(self, prefix: str = "") -> Iterator[str]:
        """All files, temporary ones of a write under way left out."""
        folder = self.path(prefix.rpartition("/")[0]) if "/" in prefix else self.root
        found = []
        for parent, _, names in os.walk(folder):
            base = Path(parent).relative_to(self.root).as_posix()
            found += [name if base == "." else f"{base}/{name}" for name in names]
        yield from sorted(
            key for key in found if key.startswith(prefix) and not key.endswith(PART_SUFFIX)
        )

    def folders(self, prefix: str = "") -> list[str]:
        """Names of files and folders directly below ``prefix``."""
        folder = self.path(prefix.rstrip("/")) if prefix else self.root
        try:
            names = os.listdir(folder)  # noqa: PTH208 - names, not paths
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(name for name in names if not name.endswith(PART_SUFFIX))


PART_SUFFIX = ".nbci-part"
_PART_BYTES = 8 * 1024 * 1024
_PARTS_AT_ONCE = 4


class _Syncing:
    """Syncs files in a thread, which the first one starts."""

    def __init__(self) -> None:
        self._paths: queue.SimpleQueue[Path | threading.Event] = queue.SimpleQueue()
        self._failed: list[tuple[Path, OSError]] = []
        self._thread: threading.Thread | None = None

    def add(self, path: Path) -> None:
        """``path`` was written."""
        self._paths.put(path)
        if self._thread is None:
            self._thread = threading.Thread(target=self._sync, name="nbci-sync", daemon=True)
            self._thread.start()

    def wait(self) -> list[tuple[Path, OSError]]:
        """Wait for all that was added; what failed since the last call."""
        if self._thread is not None:
            reached = threading.Event()
            self._paths.put(reached)
            reached.wait()
        failed, self._failed = self._failed, []
        return failed

    def _sync(self) -> None:
        while True:
            found = self._paths.get()
            if isinstance(found, threading.Event):
                found.set()
                continue
            try:
                descriptor = os.open(found, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            except FileNotFoundError:
                continue  # removed or moved since: nobody will read it here
            except OSError as error:
                self._failed.append((found, error))


_SYNCING = _Syncing()
# The thread stays with the parent.
os.register_at_fork(after_in_child=_SYNCING.__init__)  # type: ignore[misc]


def _unwritten(path: Path, error: OSError) -> DeliveryError:
    return DeliveryError(
        f"{path} could not be written: {error.strerror or error}.",
        "Make room or permission there, or set NBCI_DIR to another folder.",
    )


def write_atomically(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data`` so that a reader sees all of it or nothing.

    Raises:
        OSError: The folder does not exist, is full or read-only; ``path`` is as it was.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, suffix=PART_SUFFIX)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), 0o644)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


@dataclass(frozen=True)
class S3Store:
    """A results tree in an S3 bucket, below a prefix that may be empty."""

    client: S3Client
    bucket: str
    prefix: str

    @property
    def url(self) -> str:
        """``s3://bucket/prefix``."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def put(
        self, key: str, content: bytes | Path, progress: Callable[[int], None] | None = None
    ) -> None:
        """Upload with the content type of ``key``; a big file in parts, several at a time.

        Raises:
            OSError: The file cannot be read.
            DeliveryError: The store did not take it.
        """
        full, kind = self._full(key), content_type(key)
        if isinstance(content, Path):
            if content.stat().st_size >= _PART_BYTES:
                self._put_in_parts(full, kind, content, progress)
                return
            content = content.read_bytes()
        with told(self.url, "write"):
            self.client.put_object(Bucket=self.bucket, Key=full, Body=content, ContentType=kind)

    def _put_in_parts(
        self, full: str, kind: str, path: Path, progress: Callable[[int], None] | None
    ) -> None:
        from s3transfer.manager import TransferConfig, TransferManager  # on use
        from s3transfer.subscribers import BaseSubscriber

        class Told(BaseSubscriber):
            def on_progress(self, future: Any, bytes_transferred: int, **_: Any) -> None:
                del future
                if progress is not None:
                    progress(bytes_transferred)

        config = TransferConfig(
            multipart_threshold=_PART_BYTES,
            multipart_chunksize=_PART_BYTES,
            max_request_concurrency=_PARTS_AT_ONCE,
        )
        with told(self.url, "write"), TransferManager(self.client, config) as manager:
            manager.upload(str(path), self.bucket, full, {"ContentType": kind}, [Told()]).result()

    def get(self, key: str) -> bytes | None:
        """The object's bytes; None where there is no such object."""
        with told(self.url, "read"):
            try:
                answer = self.client.get_object(Bucket=self.bucket, Key=self._full(key))
                return bytes(answer["Body"].read())
            except self.client.exceptions.NoSuchKey:
                return None

    def keys(self, prefix: str = "") -> Iterator[str]:
        """All objects, in S3's own order (UTF-8 bytes of the key)."""
        cut = len(self._full(""))
        pages = self.client.get_paginator("list_objects_v2")
        with told(self.url, "list"):
            for page in pages.paginate(Bucket=self.bucket, Prefix=self._full(prefix)):
                for item in page.get("Contents", ()):
                    yield item["Key"][cut:]

    def folders(self, prefix: str = "") -> list[str]:
        """Names one level below ``prefix``, objects and common prefixes alike."""
        full = self._full(prefix)
        pages = self.client.get_paginator("list_objects_v2")
        names = set()
        with told(self.url, "list"):
            for page in pages.paginate(Bucket=self.bucket, Prefix=full, Delimiter="/"):
                names |= {
                    item["Prefix"][len(full) :].rstrip("/")
                    for item in page.get("CommonPrefixes", ())
                }
                names |= {item["Key"][len(full) :] for item in page.get("Contents", ())}
        return sorted(names)

    def check(self) -> None:
        """Ask for one key, so that a missing bucket or a wrong key is said early.

        Raises:
            DeliveryError: It does not exist, or may not be listed.
        """
        with told(self.url, "reach"):  # the answer to HEAD would not say why
            self.client.list_objects_v2(Bucket=self.bucket, Prefix=self._full(""), MaxKeys=1)

    def delete(self, key: str) -> None:
        """Delete an object; nothing happens where there is none.

        Raises:
            DeliveryError: It may not be deleted.
        """
        with told(self.url, "delete"):
            self.client.delete_object(Bucket=self.bucket, Key=self._full(key))

    def _full(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key


def parse_s3_url(url: str, origin: str) -> tuple[str, str]:
    """Bucket and prefix of ``s3://bucket/prefix``; ``origin`` says where the URL was set.

    Raises:
        UsageError: It is no such URL.
    """
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment:
        raise UsageError(
            f"The store {url!r} ({origin}) is not an S3 URL.",
            'Write "s3://bucket/prefix"; the server is set by AWS_ENDPOINT_URL_S3.',
        )
    return parts.netloc, parts.path.strip("/")


def open_s3_store(
    url: str, origin: str, *, patience_s: float = 30.0, tries: int = 3, connections: int = 16
) -> S3Store:
    """A store at ``s3://bucket/prefix`` with the credentials and endpoint of boto3's own chain.

    Nothing is sent yet. Path style is left to boto3, which uses it for every endpoint that is
    set by hand. Checksum headers are sent only where S3 requires them, as servers other than
    Amazon's refuse newer ones; AWS_REQUEST_CHECKSUM_CALCULATION has the last word.

    Args:
        url: ``s3://bucket/prefix``.
        origin: Where the URL was set, for the error sentence.
        patience_s: How long to wait for the server's answer to one request.
        tries: How often to send a request that gets no answer or a passing error.
        connections: How many connections may be open at once.

    Raises:
        UsageError: It is no such URL.
        DeliveryError: boto3 finds its configuration unusable.
    """
    bucket, prefix = parse_s3_url(url, origin)
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=5,
        read_timeout=patience_s,
        retries={"total_max_attempts": tries, "mode": "standard"},
        max_pool_connections=connections,
    )
    if "AWS_REQUEST_CHECKSUM_CALCULATION" not in os.environ:
        config = config.merge(Config(request_checksum_calculation="when_required"))
    with told(url, "reach"):
        # A session of its own: boto3's default one keeps the first credentials it found.
        client = boto3.session.Session().client("s3", config=config)
    return S3Store(client, bucket, prefix)
