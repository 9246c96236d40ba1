"""The delivery process of a running session, and what becomes of it when processes die."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_nbci.delivery import Follower
from pytest_nbci.host import host_of
from pytest_nbci.records import Planned, Session
from tests.delivery.conftest import PROJECT, Desk, Runs
from tests.delivery.kills import check_exactly_once, kill_followers, pid_of

if TYPE_CHECKING:
    from tests.servers import Minio, Proxy, Server

pytestmark = pytest.mark.server


def nothing(_: str) -> None:
    pass


def wait_for(condition, timeout_s: float = 30.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_results_arrive_while_the_session_runs_and_the_session_at_its_end(
    s3_desk: Desk, minio: Minio, bucket: str
):
    session = s3_desk.new_session()
    follower = s3_desk.follow(session)
    record = s3_desk.write_result(session, "a.ipynb")
    follower.result_written("a.ipynb")
    key = f"ci/{s3_desk.key(session, 'a.ipynb.json')}"
    wait_for(lambda: key in minio.objects(bucket))
    s3_desk.write_session(session, [record], complete=True)
    said: list[str] = []
    report = follower.finish(said.append)
    assert report.sentence() == f"published 1 notebook to s3://{bucket}/ci"
    body = minio.client().get_object(
        Bucket=bucket, Key=f"ci/{s3_desk.key(session, '_session.json')}"
    )["Body"]
    assert json.loads(body.read())["complete"] is True
    assert [path.suffix for path in s3_desk.destination.journals.iterdir()] == [".jsonl"]


def test_a_missing_bucket_is_noticed_at_the_start(s3_desk: Desk, bucket: str):
    desk = s3_desk.to(store_url=f"s3://{bucket}-not")
    follower = desk.follow(desk.new_session())
    notices: list[str] = []
    wait_for(lambda: notices.extend(follower.notices()) or notices)
    (notice,) = notices
    assert notice.startswith(f"s3://{bucket}-not could not be reached: the bucket does not exist.")
    report = follower.finish(nothing)
    assert (report.published, report.waiting) == (0, 0)


def test_a_server_that_comes_back_during_the_session_gets_everything(
    s3_desk: Desk, minio_door: Proxy, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", minio_door.url)
    minio_door.set("shut")
    session = s3_desk.new_session()
    follower = s3_desk.follow(session)
    s3_desk.write_result(session, "a.ipynb")
    follower.result_written("a.ipynb")
    wait_for(follower.notices)
    minio_door.set("open")
    s3_desk.write_result(session, "b.ipynb")
    follower.result_written("b.ipynb")
    report = follower.finish(nothing)
    assert (report.published, report.waiting, report.reasons) == (2, 0, ())


def test_a_session_ends_in_time_when_nothing_moves(
    s3_desk: Desk, bucket: str, minio_door: Proxy, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", minio_door.url)
    minio_door.set("jammed")
    session = s3_desk.new_session()
    follower = s3_desk.follow(session)
    s3_desk.write_result(session, "a.ipynb")
    follower.result_written("a.ipynb")
    begun = time.monotonic()
    report = follower.finish(nothing, idle_s=3)
    assert time.monotonic() - begun < 6
    assert report.sentence() == (
        f"published 0 notebooks to s3://{bucket}/ci (1 waits: nothing was taken for 3 s; "
        'run "nbci publish")'
    )
    minio_door.set("open")
    assert s3_desk.publish().published == 1


def test_a_follower_that_hangs_or_is_dead_never_blocks_the_session(s3_desk: Desk):
    session = s3_desk.new_session()
    follower = s3_desk.follow(session)
    os.kill(pid_of(follower), signal.SIGSTOP)
    begun = time.monotonic()
    for number in range(10_000):  # more than a pipe holds
        follower.result_written(f"notebook {number}.ipynb")
    os.kill(pid_of(follower), signal.SIGKILL)
    wait_for(lambda: follower._child._process.poll() is not None)
    follower.result_written("after.ipynb")
    assert time.monotonic() - begun < 3
    s3_desk.write_result(session, "a.ipynb")
    report = follower.finish(nothing)
    assert (report.published, report.waiting) == (0, 1)
    assert report.reasons[0].startswith("the delivery process ended early (exit -9")


def test_a_follower_that_cannot_start_is_a_sentence(desk: Desk, tmp_path: Path):
    (tmp_path / "file").write_text("")
    follower = desk.to(state=tmp_path / "file").follow(desk.new_session())
    follower.result_written("a.ipynb")
    assert "could not be started" in follower.notices()[0]
    assert follower.notices() == []
    assert "could not be started" in follower.finish(nothing).sentence()


def test_credentials_that_are_set_while_it_gets_ready_count(
    s3_desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    session = s3_desk.new_session()
    key = os.environ["AWS_SECRET_ACCESS_KEY"]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not yet known")
    follower = Follower.prepare(s3_desk.destination, session)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key)
    follower.begin()
    s3_desk.write_result(session, "a.ipynb")
    follower.result_written("a.ipynb")
    report = follower.finish(nothing)
    assert (report.published, report.waiting, report.reasons) == (1, 0, ())


def test_a_session_without_a_plan_is_none_that_was_published(desk: Desk, tmp_path: Path):
    uri = f"sqlite:///{tmp_path}/.nbci/mlflow.db"
    follower = Follower.prepare(desk.to(tracking_uri=uri).destination, "never planned")
    time.sleep(0.5)  # in the middle of its imports
    begun = time.monotonic()
    follower.give_up()
    assert time.monotonic() - begun < 2
    assert [path.name for path in (tmp_path / ".nbci").rglob("*")] == ["delivery"]


SESSION = """
import json, sys, time
from pytest_nbci.delivery import Destination, Follower
follower = Follower.prepare(Destination.from_dict(json.loads(sys.argv[1])), sys.argv[2])
follower.begin()
follower.result_written("done.ipynb")
print(follower._child._process.pid, flush=True)
time.sleep(60)
"""


def test_after_kill_9_of_pytest_the_rest_is_delivered_and_lost_notebooks_are_named(
    s3_desk: Desk, minio: Minio, bucket: str, mlflow_server: Server, experiment: str
):
    desk = s3_desk.to(tracking_uri=mlflow_server.url, experiment=experiment)
    session = desk.new_session()
    desk.write_result(session, "done.ipynb")
    data = json.dumps(desk.destination.to_dict())
    with subprocess.Popen(
        [sys.executable, "-c", SESSION, data, session], stdout=subprocess.PIPE
    ) as pytest_process:
        assert pytest_process.stdout is not None
        follower = int(pytest_process.stdout.readline())
        plan = (
            Planned("done.ipynb", due=True),
            Planned("lost.ipynb", due=True),
            Planned("no.ipynb", due=False),
        )
        host = host_of(pytest_process.pid)
        desk.put(
            session, "_session.json", Session(session, PROJECT, plan=plan, host=host).to_json()
        )
        desk.write_result(session, "late.ipynb")  # never handed over
        pytest_process.kill()
    wait_for(lambda: not alive(follower), 60)

    keys = {key.rpartition(session)[2] for key in minio.objects(bucket)}
    assert keys >= {"/done.ipynb.json", "/late.ipynb.json", "/lost.ipynb.json", "/_session.json"}
    assert "/no.ipynb.json" not in keys
    body = minio.client().get_object(Bucket=bucket, Key=f"ci/{desk.key(session, '_session.json')}")[
        "Body"
    ]
    assert json.loads(body.read())["complete"] is False
    assert {run["run_name"]: run["status"] for run in Runs(mlflow_server.url).of(experiment)} == {
        "done.ipynb": "FINISHED",
        "late.ipynb": "FINISHED",
        "lost.ipynb": "KILLED",
    }


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}


def test_kill_9_of_the_follower_loses_and_doubles_nothing(
    s3_desk: Desk, minio: Minio, bucket: str, mlflow_server: Server, experiment: str
):
    """Twice, in the middle of things; make soak does it more often."""
    desk = s3_desk.to(tracking_uri=mlflow_server.url, experiment=experiment)
    kill_followers(desk, (2.5, 4.0))
    check_exactly_once(desk, minio, bucket, Runs(mlflow_server.url), 2)
