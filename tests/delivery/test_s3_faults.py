"""What can be wrong between this machine and a bucket: a sentence with its cure, nothing lost."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import time
import uuid
from typing import TYPE_CHECKING

import pytest

from pytest_nbci.delivery.opening import open_store
from pytest_nbci.errors import DeliveryError
from tests.servers import Minio, Proxy, missing, new_minio, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.delivery.conftest import Desk

pytestmark = pytest.mark.server


class LateProxy(Proxy):
    """A door behind which it is three hours later: requests come with an old date."""

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        def older(found: re.Match[bytes]) -> bytes:
            return found[1] + b"%02d" % (max(int(found[2]) - 3, 0) if int(found[2]) >= 3 else 23)

        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(re.sub(rb"(?i)(x-amz-date: \d{8}T)(\d\d)", older, data))
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def refused(desk: Desk, environment: dict[str, str], patch: pytest.MonkeyPatch) -> str:
    """Why a delivery that has ``environment`` cannot write one object."""
    with patch.context() as changed:
        for name, value in environment.items():
            changed.setenv(name, value)
        with pytest.raises(DeliveryError) as refusal:
            open_store(desk.destination, 1).put("key", bytes(2_000_000))
    return str(refusal.value).removeprefix(f"{desk.destination.store_url} could not be ")


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        (
            {"AWS_ACCESS_KEY_ID": "nobody"},
            "reached: the access key is unknown there. Check AWS_ACCESS_KEY_ID.",
        ),
        (
            {"AWS_SECRET_ACCESS_KEY": "wrong-secret"},
            "reached: the secret key is wrong. Check AWS_SECRET_ACCESS_KEY.",
        ),
        (
            {"AWS_SESSION_TOKEN": "no token"},
            "reached: the session token is wrong. Check AWS_SESSION_TOKEN.",
        ),
        (
            {"AWS_ENDPOINT_URL_S3": "HTTPS"},
            "reached: the server does not speak TLS. Write http:// in AWS_ENDPOINT_URL_S3.",
        ),
        (
            {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"},
            (
                "reached: nobody answers at http://127.0.0.1:1. "
                "Start the server, or correct AWS_ENDPOINT_URL_S3."
            ),
        ),
    ],
    ids=["key", "secret", "token", "scheme", "address"],
)
def test_what_is_wrong_is_one_sentence_with_its_cure(
    s3_desk: Desk,
    minio: Minio,
    environment: dict[str, str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
):
    given = {
        name: minio.url.replace("http:", "https:") if value == "HTTPS" else value
        for name, value in environment.items()
    }
    assert refused(s3_desk, given, monkeypatch) == sentence


def test_a_key_that_may_only_read_is_noticed_at_the_start(
    s3_desk: Desk, minio: Minio, monkeypatch: pytest.MonkeyPatch
):
    for name, value in minio.key_for("s3:GetObject", "s3:ListBucket").items():
        monkeypatch.setenv(name, value)
    follower = s3_desk.follow(s3_desk.new_session())
    sentence = f"{s3_desk.destination.store_url} could not be written: access is denied."
    notices: list[str] = []
    while not notices:
        notices += follower.notices()
    assert notices == [f"{sentence} Give the access key the right s3:PutObject."]
    assert follower.finish(lambda _: None).waiting == 0


def test_a_key_that_may_only_write_publishes(
    s3_desk: Desk, minio: Minio, monkeypatch: pytest.MonkeyPatch
):
    for name, value in minio.key_for("s3:PutObject").items():
        monkeypatch.setenv(name, value)
    s3_desk.write_result(s3_desk.new_session(), "a.ipynb")
    report = s3_desk.publish()
    assert (report.published, report.waiting, report.reasons) == (1, 0, ())


def test_a_wrong_clock_is_one_sentence(
    s3_desk: Desk, minio: Minio, monkeypatch: pytest.MonkeyPatch
):
    late = LateProxy(minio.port)
    late.set("open")
    try:
        assert refused(s3_desk, {"AWS_ENDPOINT_URL_S3": late.url}, monkeypatch) == (
            "reached: this machine's clock and the server's differ too much. Set the clock."
        )
    finally:
        late.close()


@pytest.mark.parametrize("status", [500, 503, 403, 404, 429])
def test_a_server_that_answers_in_error_is_quoted(
    s3_desk: Desk, minio_door: Proxy, monkeypatch: pytest.MonkeyPatch, status: int
):
    minio_door.set(status)
    said = refused(s3_desk, {"AWS_ENDPOINT_URL_S3": minio_door.url}, monkeypatch)
    assert said.startswith(f"reached: {status}: ")


def test_a_bucket_that_vanishes_keeps_the_rest_waiting(s3_desk: Desk, minio: Minio, bucket: str):
    session = s3_desk.new_session()
    follower = s3_desk.follow(session)
    s3_desk.write_result(session, "a.ipynb")
    follower.result_written("a.ipynb")
    key = f"ci/{s3_desk.key(session, 'a.ipynb.json')}"
    while key not in minio.objects(bucket):
        pass
    client = minio.client()
    for name in minio.objects(bucket):
        client.delete_object(Bucket=bucket, Key=name)
    client.delete_bucket(Bucket=bucket)
    s3_desk.write_result(session, "b.ipynb")
    follower.result_written("b.ipynb")
    report = follower.finish(lambda _: None)
    assert (report.published, report.waiting) == (1, 1)
    assert "the bucket does not exist. Create it, or correct NBCI_STORE" in report.sentence()
    client.create_bucket(Bucket=bucket)
    assert s3_desk.publish().published == 1


@pytest.fixture
def far_minio(tmp_path: Path) -> Iterator[Minio]:
    """A server of another region, and with a certificate that nobody signed."""
    (tmp_path / "far" / "certs").mkdir(parents=True)
    server = new_minio(tmp_path / "far")
    certificate = tmp_path / "far/certs"
    try:
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-days", "2"),
                *("-keyout", certificate / "private.key", "-out", certificate / "public.crt"),
                *("-subj", "/CN=far", "-addext", "subjectAltName=IP:127.0.0.1"),
            ],
            check=True,
            capture_output=True,
        )
    except FileNotFoundError:
        missing("openssl", "apt-get install openssl")
    server.command += ["--certs-dir", str(certificate)]
    server.env["MINIO_SITE_REGION"] = "eu-north-7"
    server.launch()
    try:
        wait_for(server)
        yield server
    finally:
        server.stop()


def wait_for(server: Minio) -> None:
    """Wait until it accepts connections: its health is behind TLS."""
    assert server.process is not None
    while server.process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", server.port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(server.log.read_text())


def test_an_unknown_certificate_is_a_sentence_and_its_cure_cures_in_any_region(
    far_minio: Minio, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import boto3

    certificate = str(tmp_path / "far/certs/public.crt")
    url = far_minio.url.replace("http:", "https:")
    for name, value in {**far_minio.environment, "AWS_ENDPOINT_URL_S3": url}.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3", verify=certificate, region_name="eu-north-7").create_bucket(Bucket="ours")
    desk = desk.to(store_url="s3://ours")
    desk.write_result(desk.new_session(), "a.ipynb")

    assert refused(desk, {}, monkeypatch) == (
        "reached: the server's certificate is not trusted here. "
        "Set AWS_CA_BUNDLE to the certificate of its authority."
    )
    assert refused(desk, {"AWS_CA_BUNDLE": "/nowhere"}, monkeypatch) == (
        "reached: AWS_CA_BUNDLE names no file. Correct it."
    )
    # boto3 asks again in the region that the server names.
    monkeypatch.setenv("AWS_CA_BUNDLE", certificate)
    report = desk.publish()
    assert (report.published, report.waiting, report.reasons) == (1, 0, ())


@pytest.fixture
def small_minio(tmp_path: Path) -> Iterator[Minio]:
    """A server on a disk of 24 MB."""
    data = tmp_path / "small" / "data"
    data.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "none", data]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small disk must be mounted: only root may")
    try:
        with running(new_minio(tmp_path / "small")) as server:
            yield server
    finally:
        subprocess.run(["umount", "--lazy", data], check=True)


@pytest.mark.parametrize("left", ["what MinIO keeps free", "a few bytes"])
def test_a_full_disk_there_is_one_sentence(
    small_minio: Minio, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str
):
    for name, value in small_minio.environment.items():
        monkeypatch.setenv(name, value)
    client = small_minio.client()
    client.create_bucket(Bucket="ours")
    filled = []
    with contextlib.suppress(client.exceptions.ClientError):
        for _ in range(30):
            client.put_object(Bucket="ours", Key=uuid.uuid4().hex, Body=os.urandom(1_000_000))
            filled.append(1)
    assert 5 < len(filled) < 30
    if left == "a few bytes":
        with contextlib.suppress(OSError), (tmp_path / "small/data/filler").open("wb", 0) as file:
            while True:
                file.write(bytes(4096))
    desk = desk.to(store_url="s3://ours")
    assert refused(desk, {}, monkeypatch) == (
        "written: the server's disk is full. Make room there."
    )
