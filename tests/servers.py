"""Real servers for the tests: MinIO and MLflow, each on 127.0.0.1 and a free port.

Fixtures ``minio`` and ``mlflow_server`` live for the session; ``Server.stop``, ``start``,
``freeze`` break and mend one of a test's own (``own_minio``, ``new_mlflow_server``).
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3.client import S3Client

USER, PASSWORD = "nbci-test", "nbci-test-secret"
_START_S = 90.0


@dataclass
class Server:
    """A server process that can be stopped and started again on the same port and data."""

    command: list[str]
    port: int
    health: str
    log: Path
    env: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start it without waiting until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.env},
                start_new_session=True,
            )

    def wait(self) -> None:
        """Wait until it answers."""
        assert self.process is not None
        end = time.monotonic() + _START_S
        while time.monotonic() < end:
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(self.url + self.health, timeout=2),
            ):
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.stop()
        raise AssertionError(f"{self.command[0]} did not start:\n{self.log.read_text()[-3000:]}")

    def stop(self) -> None:
        """Kill it and its workers."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """Let it accept connections and never answer."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGCONT)


@dataclass
class Minio(Server):
    """A MinIO server; ``environment`` is what boto3 needs to find it."""

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_ACCESS_KEY_ID": USER,
            "AWS_SECRET_ACCESS_KEY": PASSWORD,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def client(self, access_key: str = USER, secret_key: str = PASSWORD) -> S3Client:
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            region_name="us-east-1",
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=20),
        )

    def key_for(self, *rights: str) -> dict[str, str]:
        """The environment of a key that has only these rights, on all buckets."""
        import boto3

        sts = boto3.client(
            "sts",
            endpoint_url=self.url,
            aws_access_key_id=USER,
            aws_secret_access_key=PASSWORD,
            region_name="us-east-1",
        )
        statement = {"Effect": "Allow", "Action": rights, "Resource": "arn:aws:s3:::*"}
        made = sts.assume_role(
            RoleArn="arn:aws:iam::minio:role/test",
            RoleSessionName="test",
            Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
            DurationSeconds=900,
        )["Credentials"]
        return {
            "AWS_ACCESS_KEY_ID": made["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"],
            "AWS_SESSION_TOKEN": made["SessionToken"],
        }

    def objects(self, bucket: str) -> dict[str, str]:
        """Key to content type of everything in ``bucket``."""
        client = self.client()
        found = {}
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for item in page.get("Contents", ()):
                head = client.head_object(Bucket=bucket, Key=item["Key"])
                found[item["Key"]] = head["ContentType"]
        return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def missing(what: str, cure: str) -> NoReturn:
    """Skip; in CI (NBCI_TEST_REQUIRE_ALL=1) fail, so that nothing is left out unseen."""
    if os.environ.get("NBCI_TEST_REQUIRE_ALL") == "1":
        pytest.fail(f"{what} is missing: {cure}", pytrace=False)
    pytest.skip(f"{what} is missing: {cure}")


def new_minio(folder: Path) -> Minio:
    """A MinIO server on data in ``folder``, not started yet."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    program = cache / "pytest-nbci/bin/minio"
    found = str(program) if program.is_file() else shutil.which("minio")
    if found is None:
        missing("MinIO", "run .ci/install-minio")
    port = free_port()
    return Minio(
        command=[
            found,
            "server",
            str(folder / "data"),
            "--address",
            f"127.0.0.1:{port}",
            "--quiet",
        ],
        port=port,
        health="/minio/health/cluster",  # "live" comes before it takes requests
        log=folder / "minio.log",
        env={
            "MINIO_ROOT_USER": USER,
            "MINIO_ROOT_PASSWORD": PASSWORD,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
            "HOME": str(folder),
        },
    )


def new_mlflow_server(folder: Path, *options: str) -> Server:
    """An MLflow server on data in ``folder``, not started yet."""
    if find_spec("flask") is None:  # of the full mlflow package only
        missing("the MLflow server", "pip install mlflow")
    port = free_port()
    return Server(
        command=[
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"),
            *("--port", str(port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{folder}/server.db"),
            *("--artifacts-destination", str(folder / "artifacts")),
            *options,
        ],
        port=port,
        health="/health",
        log=folder / "mlflow.log",
        env={"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
    )


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Minio]:
    """A MinIO server for the whole session; use a bucket of your own, and leave it running."""
    with running(new_minio(tmp_path_factory.mktemp("minio"))) as server:
        yield server


@pytest.fixture(scope="session")
def mlflow_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """An MLflow server for the whole session; use an experiment of your own, leave it running."""
    server = request.config.stash.get(_LAUNCHED, None)
    if server is None:
        server = new_mlflow_server(tmp_path_factory.mktemp("mlflow"))
        server.launch()
    try:
        server.wait()
        yield server
    finally:
        server.stop()


_LAUNCHED = pytest.StashKey[Server]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """The MLflow server takes 10 s and more to start: let other tests run meanwhile."""
    wanted = any("mlflow_server" in getattr(item, "fixturenames", ()) for item in session.items)
    if wanted and not session.config.option.collectonly and find_spec("flask") is not None:
        server = new_mlflow_server(Path(tempfile.mkdtemp(prefix="nbci-mlflow-")))
        server.launch()
        session.config.stash[_LAUNCHED] = server


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what was launched, also when no test came to use it."""
    server = config.stash.get(_LAUNCHED, None)
    if server is not None:
        server.stop()
        shutil.rmtree(server.log.parent, ignore_errors=True)


@pytest.fixture
def own_minio(tmp_path: Path) -> Iterator[Minio]:
    """A MinIO server that a test may stop, freeze and start again."""
    (tmp_path / "minio").mkdir()
    with running(new_minio(tmp_path / "minio")) as server:
        yield server


S = TypeVar("S", bound=Server)


@contextlib.contextmanager
def running(server: S) -> Iterator[S]:
    """Start ``server``, and end it whatever happens."""
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Proxy:
    """A door before a real server that can be shut, jammed, or answer for it.

    ``mode``: ``open`` passes all through, ``shut`` refuses connections, ``jammed`` accepts and
    never answers, a number answers every request with that HTTP status.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.port = free_port()
        self._mode: str | int = "shut"
        self._listener: socket.socket | None = None
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def set(self, mode: str | int) -> None:
        self.close()
        self._mode = mode
        if mode != "shut":
            self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        """Shut the door and break what is going through it."""
        with self._lock:
            doomed, self._open = self._open, []
            if self._listener is not None:
                doomed.append(self._listener)
                self._listener = None
        for one in doomed:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self._keep(client)
            if self._mode == "open":
                threading.Thread(target=self._pass, args=(client,), daemon=True).start()
            elif isinstance(self._mode, int):
                threading.Thread(
                    target=self._answer, args=(client, self._mode), daemon=True
                ).start()

    def _keep(self, one: socket.socket) -> None:
        with self._lock:
            self._open.append(one)

    def _pass(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self.target_port))
        except OSError:
            client.close()
            return
        self._keep(server)
        threading.Thread(target=self._pump, args=(server, client), daemon=True).start()
        self._pump(client, server)

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _answer(client: socket.socket, status: int) -> None:
        patience = "Retry-After: 3600\r\n" if status in (429, 503) else ""
        length = f"Content-Length: 4\r\n{patience}Connection: close"
        head = f"HTTP/1.1 {status} As Told\r\n{length}\r\n\r\nno.\n"
        with contextlib.suppress(OSError):
            client.recv(65536)
            client.sendall(head.encode())
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass
        client.close()


@pytest.fixture
def mlflow_door(mlflow_server: Server) -> Iterator[Proxy]:
    """The session's MLflow server behind a door that a test may shut; open at first."""
    door = Proxy(mlflow_server.port)
    door.set("open")
    yield door
    door.close()


@pytest.fixture
def minio_door(minio: Minio) -> Iterator[Proxy]:
    """The session's MinIO behind a door that a test may shut; open at first."""
    door = Proxy(minio.port)
    door.set("open")
    yield door
    door.close()


class Gate:
    """A reverse proxy before a real server: below a path, and for those who know the password.

    What a team's nginx does with an MLflow server.
    """

    def __init__(self, target: Server, prefix: str) -> None:
        self.prefix = prefix
        gate = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, headers, content = gate._answer(target, self, body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}{self.prefix}"

    @property
    def authorization(self) -> dict[str, str]:
        """The header of who may pass."""
        known = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        return {"Authorization": f"Basic {known}"}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(
        self, target: Server, asked: BaseHTTPRequestHandler, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        if not asked.path.startswith(f"{self.prefix}/"):
            return 404, {}, b"not below this path"
        if asked.headers.get("Authorization") != self.authorization["Authorization"]:
            return 401, {"WWW-Authenticate": 'Basic realm="MLflow"'}, b"who are you?"
        dropped = {"host", "connection", "authorization", "accept-encoding", "origin"}
        headers = {k: v for k, v in asked.headers.items() if k.lower() not in dropped}
        connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=60)
        with contextlib.closing(connection):
            path = asked.path.removeprefix(self.prefix)
            connection.request(asked.command, path, body or None, headers)
            answer = connection.getresponse()
            kept = ("Content-Type", "Location", "Cache-Control")
            found = {name: answer.headers[name] for name in kept if name in answer.headers}
            return answer.status, found, answer.read()


@pytest.fixture(scope="session")
def mlflow_gate(mlflow_server: Server) -> Iterator[Gate]:
    """The session's MLflow server below a path, with basic authentication."""
    gate = Gate(mlflow_server, "/tools/mlflow")
    yield gate
    gate.close()
