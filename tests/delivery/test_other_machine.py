"""``nbci publish`` where only the results folder came along, as from a pipeline of a fork."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.delivery.conftest import Desk, Runs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import Minio, Server

pytestmark = pytest.mark.server

PUBLISH = (
    "import sys, json; from pytest_nbci.delivery import Destination, publish\n"
    "report = publish(Destination.from_dict(json.loads(sys.argv[1])), lambda line: None)\n"
    "print(json.dumps([report.published, report.waiting, report.reasons]))"
)


@pytest.fixture
def first(s3_desk: Desk, mlflow_server: Server, experiment: str) -> Desk:
    return s3_desk.to(tracking_uri=mlflow_server.url, experiment=experiment)


def handed_over(desk: Desk, place: Path) -> Desk:
    """The same project on another machine that was given the results as an artifact."""
    shutil.copytree(desk.destination.results, place / "results", copy_function=shutil.copyfile)
    return desk.to(state=place, results=place / "results")


def check_once(desk: Desk, minio: Minio, bucket: str, mlflow: Server, names: list[str]) -> None:
    runs = Runs(mlflow.url).of(desk.destination.experiment)
    assert sorted(run["tags"]["nbci.notebook"] for run in runs) == names
    assert {run["status"] for run in runs} == {"FINISHED"}
    keys = [key.rpartition("/")[2] for key in minio.objects(bucket)]
    suffixes = ("", ".html", ".json", ".mlflow.json")
    assert sorted(keys) == sorted(
        ["_session.json", *(f"{name}{suffix}" for name in names for suffix in suffixes)]
    )


def test_a_machine_without_our_journal_brings_what_the_first_did_not(
    first: Desk, minio: Minio, bucket: str, mlflow_server: Server, tmp_path: Path
):
    session = first.new_session()
    records = [first.write_result(session, "a.ipynb")]
    assert first.publish().published == 1
    records.append(first.write_result(session, "b.ipynb"))
    first.write_session(session, records, complete=True)

    other = handed_over(first, tmp_path / "other")
    assert other.publish().sentence() == f"published 2 notebooks to s3://{bucket}/ci"
    check_once(first, minio, bucket, mlflow_server, ["a.ipynb", "b.ipynb"])
    assert first.publish().waiting == 0
    check_once(first, minio, bucket, mlflow_server, ["a.ipynb", "b.ipynb"])
    assert (other.publish().published, first.publish().published) == (0, 0)


def test_three_machines_at_once_bring_every_result_once(
    first: Desk, minio: Minio, bucket: str, mlflow_server: Server, tmp_path: Path
):
    names = [f"{number}.ipynb" for number in range(6)]
    session = first.new_session()
    first.write_session(
        session, [first.write_result(session, name) for name in names], complete=True
    )
    machines = [first, *(handed_over(first, tmp_path / f"m{number}") for number in range(2))]
    publishers = [
        subprocess.Popen(
            [sys.executable, "-c", PUBLISH, json.dumps(machine.destination.to_dict())],
            stdout=subprocess.PIPE,
        )
        for machine in machines
    ]
    said = [json.loads(publisher.communicate(timeout=120)[0]) for publisher in publishers]
    again = [machine.publish() for machine in machines]
    assert [report.waiting for report in again] == [0, 0, 0], (said, again)
    check_once(first, minio, bucket, mlflow_server, names)
    assert said == [[6, 0, []]] * 3
