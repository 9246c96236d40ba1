"""A results tree in a folder and in a bucket of a real MinIO: the same promises."""

from __future__ import annotations

import errno
import os
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_nbci.errors import DeliveryError, UsageError
from pytest_nbci.s3_errors import http_status
from pytest_nbci.store import (
    FolderStore,
    Store,
    content_type,
    open_s3_store,
    parse_s3_url,
)

if TYPE_CHECKING:
    from tests.servers import Minio

KEYS = ("a/b.ipynb", "a/b.ipynb.json", "a/c/d.txt", "a b/ü.html", "top.json")


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.server)])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    if request.param == "folder":
        return FolderStore(tmp_path / "results")
    minio: Minio = request.getfixturevalue("minio")
    return s3_store(minio, monkeypatch)


def s3_store(minio: Minio, monkeypatch: pytest.MonkeyPatch) -> Store:
    for name, value in minio.environment.items():
        monkeypatch.setenv(name, value)
    bucket = f"store-{uuid.uuid4().hex[:12]}"
    minio.client().create_bucket(Bucket=bucket)
    return open_s3_store(f"s3://{bucket}/pre/fix", "a test")


def test_what_was_put_into_a_folder_is_synced_when_it_has_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store, synced = FolderStore(tmp_path), set()

    def sync(descriptor: int) -> None:
        name = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        if name.endswith("bad"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        synced.add(name)

    monkeypatch.setattr(os, "fsync", sync)
    store.settle()
    for number in range(20):
        store.put(f"a/{number}", b"x")
    store.put("gone", b"x")
    store.path("gone").unlink()
    store.settle()
    assert synced >= {str(store.path(f"a/{number}")) for number in range(20)}

    store.put("a/bad", b"x")
    with pytest.raises(DeliveryError, match=r"a/bad could not be written: Input/output error\."):
        store.settle()
    store.settle()


def test_what_was_put_is_got_listed_and_replaced(store: Store, tmp_path: Path):
    assert list(store.keys()) == []
    assert store.folders() == []
    for key in KEYS:
        store.put(key, key.encode())
    file = tmp_path / "file"
    file.write_bytes(b"from a file")
    store.put("top.json", file)
    assert store.get("top.json") == b"from a file"
    assert store.get("a/c/d.txt") == b"a/c/d.txt"
    assert store.get("a/c") is None
    assert store.get("nowhere") is None
    assert sorted(store.keys()) == sorted(KEYS)
    assert list(store.keys("a/")) == ["a/b.ipynb", "a/b.ipynb.json", "a/c/d.txt"]
    assert list(store.keys("a/b.ipynb.")) == ["a/b.ipynb.json"]
    assert store.folders() == ["a", "a b", "top.json"]
    assert store.folders("a/") == ["b.ipynb", "b.ipynb.json", "c"]
    assert store.folders("nowhere/") == []


def test_a_reader_sees_the_old_content_or_the_new(store: Store):
    contents = [bytes([number]) * 300_000 for number in range(8)]
    store.put("key", contents[0])
    writers = [threading.Thread(target=store.put, args=("key", content)) for content in contents]
    for writer in writers:
        writer.start()
    seen = [store.get("key") for _ in range(20)]
    for writer in writers:
        writer.join()
    assert set(seen) <= set(contents)
    assert list(store.keys()) == ["key"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path):
    store = FolderStore(tmp_path)
    store.put("a", b"old")
    with pytest.raises(DeliveryError, match=r"a/b could not be written: File exists\. Make"):
        store.put("a/b", b"new")
    assert store.get("a") == b"old"
    assert os.listdir(tmp_path) == ["a"]  # noqa: PTH208 - names


@pytest.mark.parametrize(
    "url", ["s3:/bucket", "bucket/prefix", "s3://", "https://host/bucket", "s3://b/p?x=1"]
)
def test_a_url_of_another_kind_is_refused_with_its_origin(url: str):
    with pytest.raises(UsageError, match=r"\(NBCI_STORE\) is not an S3 URL"):
        parse_s3_url(url, "NBCI_STORE")
    assert parse_s3_url("s3://bucket//a/b/", "NBCI_STORE") == ("bucket", "a/b")


def test_content_types():
    assert content_type("a/b.ipynb") == "application/x-ipynb+json"
    assert content_type("a/b.ipynb.HTML") == "text/html; charset=utf-8"
    assert content_type("a/b.bin") == "application/octet-stream"


@pytest.mark.server
def test_a_missing_bucket_and_a_stranger_are_sentences(
    minio: Minio, monkeypatch: pytest.MonkeyPatch
):
    s3_store(minio, monkeypatch)
    missing = open_s3_store("s3://not-there", "a test")
    for action in (missing.check, lambda: missing.get("x"), lambda: list(missing.keys())):
        with pytest.raises(
            DeliveryError, match=r"s3://not-there could not be .*does not exist"
        ) as e:
            action()
        assert http_status(e.value) == 404
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    with pytest.raises(DeliveryError, match="the access key is unknown there"):
        open_s3_store("s3://not-there", "a test").get("x")


def test_without_credentials_it_says_which_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    with pytest.raises(DeliveryError, match="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        open_s3_store("s3://bucket", "a test").put("x", b"")


def test_a_server_that_is_away_is_said_with_its_cure(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    store = open_s3_store("s3://bucket", "a test", tries=1)
    with pytest.raises(DeliveryError, match="correct AWS_ENDPOINT_URL_S3") as e:
        store.check()
    assert http_status(e.value) is None


def test_an_endpoint_by_name_is_asked_in_path_style(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://minio.example:9000")
    url = open_s3_store("s3://bucket", "a test").client.generate_presigned_url(
        "get_object", Params={"Bucket": "bucket", "Key": "key"}
    )
    assert url.startswith("http://minio.example:9000/bucket/key?")
