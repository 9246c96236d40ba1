"""Results in a bucket of a real MinIO."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.delivery.conftest import Desk
    from tests.servers import Minio, Proxy

pytestmark = pytest.mark.server


def test_the_bucket_holds_exactly_the_results_with_right_content_types(
    s3_desk: Desk, minio: Minio, bucket: str
):
    session = s3_desk.new_session()
    record = s3_desk.write_result(session, "sub dir/訓練.ipynb")
    s3_desk.put(session, "sub dir/訓練.files/plot.png", b"png")
    s3_desk.put(session, "sub dir/訓練.files/inner/other.ipynb.json", b"{}")
    s3_desk.write_session(session, [record], complete=True)
    s3_desk.folder.put(f"group/project/_passed/feature/x/{session}.json", b"{}")

    report = s3_desk.publish()

    assert report.sentence() == f"published 1 notebook to s3://{bucket}/ci"
    assert minio.objects(bucket) == {
        f"ci/{s3_desk.key(session, name)}": kind
        for name, kind in {
            "_session.json": "application/json",
            "sub dir/訓練.ipynb": "application/x-ipynb+json",
            "sub dir/訓練.ipynb.html": "text/html; charset=utf-8",
            "sub dir/訓練.ipynb.json": "application/json",
            "sub dir/訓練.files/plot.png": "image/png",
            "sub dir/訓練.files/inner/other.ipynb.json": "application/json",
        }.items()
    } | {f"ci/group/project/_passed/feature/x/{session}.json": "application/json"}


def test_publishing_again_sends_only_what_changed(s3_desk: Desk, minio: Minio, bucket: str):
    session = s3_desk.new_session()
    s3_desk.write_result(session, "a.ipynb")
    s3_desk.write_result(session, "b.ipynb")
    s3_desk.publish()
    minio.client().delete_object(Bucket=bucket, Key=f"ci/{s3_desk.key(session, 'b.ipynb')}")

    assert s3_desk.publish().published == 0
    s3_desk.put(session, "a.ipynb.html", b"<!doctype html>new")
    assert s3_desk.publish().published == 1

    body = minio.client().get_object(
        Bucket=bucket, Key=f"ci/{s3_desk.key(session, 'a.ipynb.html')}"
    )["Body"]
    assert body.read().endswith(b"new")
    assert f"ci/{s3_desk.key(session, 'b.ipynb')}" not in minio.objects(bucket)


def test_an_incomplete_result_is_not_published(s3_desk: Desk, minio: Minio, bucket: str):
    session = s3_desk.new_session()
    s3_desk.put(session, "running.ipynb", b"{}")
    s3_desk.publish()
    assert list(minio.objects(bucket)) == [f"ci/{s3_desk.key(session, '_session.json')}"]


def test_a_big_file_goes_in_parts(s3_desk: Desk, minio: Minio, bucket: str):
    session = s3_desk.new_session()
    content = os.urandom(20 * 1024 * 1024)
    s3_desk.write_result(session, "big.ipynb")
    s3_desk.put(session, "big.ipynb", content)
    assert s3_desk.publish().waiting == 0
    answer = minio.client().get_object(Bucket=bucket, Key=f"ci/{s3_desk.key(session, 'big.ipynb')}")
    assert answer["ETag"].strip('"').endswith("-3")
    assert answer["Body"].read() == content


def test_a_missing_bucket_is_one_sentence_and_everything_waits(s3_desk: Desk, bucket: str):
    desk = s3_desk.to(store_url=f"s3://{bucket}-not/ci")
    session = desk.new_session()
    for number in range(3):
        desk.write_result(session, f"{number}.ipynb")
    assert desk.publish().sentence() == (
        f"published 0 notebooks to s3://{bucket}-not/ci (3 wait: s3://{bucket}-not/ci could not "
        "be reached: the bucket does not exist. Create it, or correct NBCI_STORE; "
        'run "nbci publish")'
    )


def test_a_stopped_server_costs_seconds_and_nothing_is_lost(
    s3_desk: Desk, own_minio: Minio, monkeypatch
):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", own_minio.url)
    own_minio.client().create_bucket(Bucket="ours")
    desk = s3_desk.to(store_url="s3://ours")
    session = desk.new_session()
    desk.write_result(session, "a.ipynb")
    own_minio.stop()

    begun = time.monotonic()
    report = desk.publish()
    assert time.monotonic() - begun < 15
    assert (report.published, report.waiting, len(report.reasons)) == (0, 1, 1)
    assert "nobody answers at" in report.reasons[0]

    own_minio.start()
    desk.write_session(session, complete=True)
    assert desk.publish().sentence() == "published 1 notebook to s3://ours"
    key = desk.key(session, "_session.json")
    body = own_minio.client().get_object(Bucket="ours", Key=key)["Body"].read()
    assert json.loads(body)["complete"] is True


@pytest.mark.parametrize("status", [503, 403])
def test_a_server_that_refuses_costs_a_sentence(
    s3_desk: Desk, minio_door: Proxy, monkeypatch: pytest.MonkeyPatch, status: int
):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", minio_door.url)
    minio_door.set(status)
    s3_desk.write_result(s3_desk.new_session(), "a.ipynb")
    report = s3_desk.publish()
    assert (report.published, report.waiting, len(report.reasons)) == (0, 1, 1), report
    minio_door.set("open")
    assert s3_desk.publish().published == 1


def test_a_server_that_never_answers_is_given_up(
    s3_desk: Desk, minio_door: Proxy, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", minio_door.url)
    minio_door.set("jammed")
    s3_desk.write_result(s3_desk.new_session(), "a.ipynb")
    begun = time.monotonic()
    report = s3_desk.publish(idle_s=6)
    assert time.monotonic() - begun < 12
    assert (report.published, report.waiting) == (0, 1)
    assert report.reasons
    minio_door.set("open")
    assert s3_desk.publish().published == 1


def test_a_refused_result_keeps_the_session_incomplete_and_the_others_go(
    s3_desk: Desk, minio: Minio, bucket: str
):
    session = s3_desk.new_session()
    s3_desk.publish()
    too_long = "/".join(["x" * 200] * 5 + ["long.ipynb"])  # S3 takes keys of 1024 bytes
    records = [s3_desk.write_result(session, name) for name in (too_long, "good.ipynb")]
    s3_desk.write_session(session, records, complete=True)

    report = s3_desk.publish()

    assert (report.published, report.waiting, len(report.reasons)) == (1, 1, 1), report
    client = minio.client()
    key = f"ci/{s3_desk.key(session, '_session.json')}"
    assert json.loads(client.get_object(Bucket=bucket, Key=key)["Body"].read())["complete"] is False
    assert f"ci/{s3_desk.key(session, 'good.ipynb.json')}" in minio.objects(bucket)
