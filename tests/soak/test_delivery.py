"""Deliveries under kills, beside each other, and whole sessions whose servers fail."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
import uuid
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from pytest_nbci.delivery import Destination
from pytest_nbci.records import Session
from tests.delivery.conftest import Desk, Runs
from tests.delivery.kills import check_exactly_once, kill_followers

if TYPE_CHECKING:
    from pathlib import Path

    from tests.project import Project
    from tests.servers import Minio, Proxy, Server

pytestmark = [pytest.mark.soak, pytest.mark.server]

SEED = int(os.environ.get("NBCI_TEST_SEED") or random.randrange(10**6))
KILLS, LONGEST_S = 20, 6.0
PROCESSES, SESSIONS, RESULTS = 4, 10, 3
# A session may wait so long for servers that take nothing, and its end takes a little.
BOUND_S = 30.0 + 10.0

PUBLISH = (
    "import sys, json; from pytest_nbci.delivery import Destination, publish\n"
    "report = publish(Destination.from_dict(json.loads(sys.argv[1])), lambda line: None)\n"
    "print(json.dumps([report.published, report.waiting, report.reasons]))"
)


def say(text: str) -> None:
    """A line of progress, whatever pytest captures."""
    os.write(2, f"{text}\n".encode())


@pytest.fixture
def bucket(minio: Minio, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in minio.environment.items():
        monkeypatch.setenv(name, value)
    name = f"soak-{uuid.uuid4().hex[:12]}"
    minio.client().create_bucket(Bucket=name)
    return name


def desk_in(state: Path, bucket: str, tracking_uri: str) -> Desk:
    store, experiment = f"s3://{bucket}/ci", f"soak-{bucket}"
    return Desk(
        Destination(state / "results", state, store, "NBCI_STORE", tracking_uri, experiment)
    )


def test_20_kills_of_the_delivery_process(
    tmp_path: Path, minio: Minio, mlflow_server: Server, bucket: str
):
    rng = random.Random(SEED)
    moments = [rng.uniform(0.2, LONGEST_S) for _ in range(KILLS)]
    say(f"seed {SEED} (NBCI_TEST_SEED): {', '.join(f'{moment:.2f}' for moment in moments)} s")
    desk = desk_in(tmp_path / ".nbci", bucket, mlflow_server.url)
    kill_followers(desk, moments)
    check_exactly_once(desk, minio, bucket, Runs(mlflow_server.url), KILLS)


def test_40_sessions_from_4_processes_into_one_bucket_and_one_new_sqlite(
    tmp_path: Path, minio: Minio, bucket: str
):
    database = tmp_path / "shared.db"
    desks = []
    for number in range(PROCESSES):
        desk = desk_in(tmp_path / f"machine{number}", bucket, f"sqlite:///{database}")
        for _ in range(SESSIONS):
            session = desk.new_session()
            records = [desk.write_result(session, f"{count}.ipynb") for count in range(RESULTS)]
            desk.write_session(session, records, complete=True)
        desks.append(desk)
    publishers = [
        subprocess.Popen(
            [sys.executable, "-c", PUBLISH, json.dumps(desk.destination.to_dict())],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for desk in desks
    ]
    heard = [publisher.communicate(timeout=300) for publisher in publishers]

    count = SESSIONS * RESULTS
    assert [json.loads(out) for out, _ in heard] == [[count, 0, []]] * PROCESSES
    assert [err for _, err in heard] == [b""] * PROCESSES
    assert [list(desk.destination.journals.glob("*.log")) for desk in desks] == [[]] * PROCESSES
    assert len(minio.objects(bucket)) == PROCESSES * SESSIONS * (RESULTS * 4 + 1)
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(
            "select value, count(*) from tags join runs using (run_uuid) where key = 'nbci.result'"
            " and status = 'FINISHED' and lifecycle_stage = 'active' group by value"
        ).fetchall()
    assert len(rows) == PROCESSES * count
    assert {times for _, times in rows} == {1}


LOGS = """
import mlflow
with mlflow.start_run(run_name="mine"):
    mlflow.log_metric("score", 0.5)
"""
DOOR = """
import pathlib, time
pathlib.Path({reached!r}).touch()
end = time.monotonic() + 60
while not pathlib.Path({go!r}).exists() and time.monotonic() < end:
    time.sleep(0.05)
"""
OUTCOMES = {"a_fine.ipynb", "b_bad.ipynb", "c_logs.ipynb", "d_door.ipynb", "e_after.ipynb"}


@pytest.mark.parametrize("when", ["whole", "middle"])
@pytest.mark.parametrize("mode", ["shut", "jammed", 500, 403, 404, 429])
def test_a_session_whose_servers_fail(
    project: Project,
    minio: Minio,
    mlflow_server: Server,
    minio_door: Proxy,
    mlflow_door: Proxy,
    bucket: str,
    tmp_path: Path,
    mode: str | int,
    when: str,
):
    """Verdicts and exit code as ever, the end within its bound, each result once after publish."""
    reached, go = tmp_path / "reached", tmp_path / "go"
    project.notebook("a_fine.ipynb", "1")
    project.notebook("b_bad.ipynb", "1 / 0")
    project.notebook("c_logs.ipynb", LOGS if when == "middle" or mode == "shut" else "1")
    project.notebook("d_door.ipynb", DOOR.format(reached=str(reached), go=str(go)))
    project.notebook("e_after.ipynb", "1")
    project.commit()
    experiment = f"soak-{bucket}"
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL_S3": minio_door.url,
        "NBCI_STORE": f"s3://{bucket}",
        "MLFLOW_TRACKING_URI": mlflow_door.url,
        "MLFLOW_EXPERIMENT_NAME": experiment,
    }
    if when == "whole":
        minio_door.set(mode)
        mlflow_door.set(mode)
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:randomly", "--nbci"],
        cwd=project.root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as session:
        wait_for(reached, session)
        if when == "middle":
            minio_door.set(mode)
            mlflow_door.set(mode)
        go.touch()
        out, _ = session.communicate(timeout=300)
    took_s = time.time() - ended_at(project)

    say(f"{mode}, {when}: the end took {took_s:.1f} s: {published_line(out)}")
    assert session.returncode == 1, out
    assert "4 passed" in out
    assert "1 failed" in out
    assert "Traceback" not in out
    assert 'run "nbci publish"' in published_line(out)
    assert took_s < BOUND_S

    minio_door.set("open")
    mlflow_door.set("open")
    nbci = (sys.executable, "-m", "pytest_nbci.cli", "publish")
    later, again = (project.run(*nbci, **environment) for _ in range(2))
    assert (later.code, later.err) == (0, ""), later.out
    assert f"published 0 notebooks to s3://{bucket}\n" == again.out
    names = [run["run_name"] for run in Runs(mlflow_server.url).of(experiment)]
    assert sorted(name for name in names if name != "mine") == sorted(OUTCOMES)
    assert names.count("mine") == (1 if when == "middle" or mode == "shut" else 0)
    passed = [key for key in minio.objects(bucket) if "/_passed/" in key]
    assert len(passed) == 1
    keys = [key.rpartition("/")[2] for key in minio.objects(bucket) if key not in passed]
    assert sorted(keys) == sorted(
        ["_session.json"]
        + [f"{name}{end}" for name in OUTCOMES for end in ("", ".html", ".json", ".mlflow.json")]
    )


def wait_for(path: Path, session: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 180
    while not path.exists():
        if session.poll() is not None or time.monotonic() > end:
            session.kill()
            pytest.fail(session.communicate()[0])
        time.sleep(0.05)


def ended_at(project: Project) -> float:
    """Unix time at which the last notebook was done, and publishing all that was left."""
    (path,) = project.root.glob(".nbci/results/**/_session.json")
    return datetime.fromisoformat(Session.from_json(path.read_text()).ended_at or "").timestamp()


def published_line(out: str) -> str:
    return next(line for line in out.splitlines() if line.startswith("published "))
