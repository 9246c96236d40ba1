"""Runs on a real MLflow server, and in the embedded database."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_nbci.delivery import kernel_environment, prepare_tracking, result_id
from pytest_nbci.records import FailedCell
from tests.delivery.conftest import COMMIT, Runs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.delivery.conftest import Desk
    from tests.servers import Minio, Proxy, Server

pytestmark = pytest.mark.server


@pytest.fixture
def runs(mlflow_server: Server) -> Runs:
    return Runs(mlflow_server.url)


@pytest.fixture
def tracked(desk: Desk, mlflow_server: Server, experiment: str) -> Desk:
    return desk.to(tracking_uri=mlflow_server.url, experiment=experiment)


def test_a_run_holds_everything_needed_to_understand_and_repeat_the_result(
    tracked: Desk, runs: Runs, experiment: str
):
    session = tracked.new_session()
    notebook = "sub dir/it's \"訓練\" 100%.ipynb"
    record = tracked.write_result(
        session,
        notebook,
        outcome="failed",
        cause="cell_error",
        message="Cell 2: ValueError: no data",
        failed_cell=FailedCell("b", 2, "train(data)"),
        job={"url": "https://gitlab.example.org/job/1", "pipeline": "7"},
        inputs=(
            {"path": "data/train.csv", "sha256": "ab" * 32, "bytes": 10, "origin": "test data"},
        ),
    )
    assert tracked.publish().waiting == 0

    (run,) = runs.of(experiment)
    assert run["run_name"] == notebook
    assert run["status"] == "FAILED"
    assert run["end_time"] - run["start_time"] == 1250
    assert run["lifecycle_stage"] == "active"
    tags = run["tags"]
    note = tags.pop("mlflow.note.content")
    assert "**failed**: Cell 2: ValueError: no data" in note
    assert "    train(data)" in note
    assert f"    pytest {notebook}" in note
    assert "[https://gitlab.example.org/job/1](https://gitlab.example.org/job/1)" in note
    path = str(tracked.folder.path(tracked.key(session, notebook)))
    assert tags.items() >= {
        "mlflow.user": "Ada Lovelace",
        "mlflow.source.name": notebook,
        "mlflow.source.type": "NOTEBOOK",
        "mlflow.source.git.commit": COMMIT.id,
        "mlflow.source.git.branch": "feature/new-data",
        "nbci.result": result_id(session, notebook),
        "nbci.role": "notebook",
        "nbci.session": session,
        "nbci.project": "group/project",
        "nbci.notebook": notebook,
        "nbci.outcome": "failed",
        "nbci.cause": "cell_error",
        "nbci.message": "Cell 2: ValueError: no data",
        "nbci.commit": COMMIT.id,
        "nbci.commit_author": "Ada Lovelace",
        "nbci.commit_email": "ada@example.org",
        "nbci.commit_message": COMMIT.message,
        "nbci.branch": "feature/new-data",
        "nbci.started_at": record.started_at,
        "nbci.duration": "1.250 s",
        "nbci.profile": "test",
        "nbci.result_path": path,
        "nbci.reproduce": f"pytest {notebook}",
        "nbci.job_url": "https://gitlab.example.org/job/1",
    }.items()
    assert run["params"] == {
        "nbci.notebook": notebook,
        "nbci.profile": "test",
        "nbci.kernel": "python3",
        "nbci.python": "3.11.2",
        "nbci.param.alpha": "0.5",
        "nbci.param.names": '["a", "b"]',
    }
    assert run["metrics"] == {
        "nbci.duration_s": 1.25,
        "nbci.cells": 2,
        "nbci.attempts": 1,
        "nbci.peak_memory_bytes": 1000,
    }
    assert [item["dataset"]["name"] for item in run["inputs"]] == ["data/train.csv"]
    files = runs.call(f"artifacts/list?run_id={run['run_id']}")["files"]
    assert [file["path"] for file in files] == [
        "it's \"訓練\" 100%.ipynb",
        "it's \"訓練\" 100%.ipynb.html",
    ]


def test_outcomes_become_honest_states_and_a_skipped_notebook_no_run(
    tracked: Desk, runs: Runs, experiment: str
):
    session = tracked.new_session()
    for outcome in ("passed", "failed", "error", "lost", "skipped"):
        cause = None if outcome in {"passed", "skipped"} else "exit"
        tracked.write_result(session, f"{outcome}.ipynb", outcome=outcome, cause=cause)
    assert tracked.publish().published == 5
    assert {run["run_name"]: run["status"] for run in runs.of(experiment)} == {
        "passed.ipynb": "FINISHED",
        "failed.ipynb": "FAILED",
        "error.ipynb": "FAILED",
        "lost.ipynb": "KILLED",
    }


def test_the_notebooks_own_runs_become_children(tracked: Desk, runs: Runs, experiment: str):
    session = tracked.new_session()
    tag = {"nbci.result": result_id(session, "a.ipynb")}
    child = runs.new_run(experiment, **tag)
    other = runs.new_run(f"{experiment}-other", **tag)
    nested = runs.new_run(experiment, **tag, **{"mlflow.parentRunId": child})
    stranger = runs.new_run(experiment)
    runs.call("runs/log-metric", {"run_id": child, "key": "acc", "value": 0.9, "timestamp": 1})
    tracked.write_result(session, "a.ipynb", outcome="failed", cause="timeout")
    tracked.publish()

    found = {run["run_id"]: run for run in runs.of(experiment) + runs.of(f"{experiment}-other")}
    (ours,) = [run for run in found.values() if "nbci.role" in run["tags"]]
    assert found[child]["tags"]["mlflow.parentRunId"] == ours["run_id"]
    assert found[other]["tags"]["mlflow.parentRunId"] == ours["run_id"]
    assert found[nested]["tags"]["mlflow.parentRunId"] == child
    assert "mlflow.parentRunId" not in found[stranger]["tags"]
    assert [found[run]["status"] for run in (child, other, nested, stranger)] == [
        *("KILLED", "KILLED", "KILLED", "RUNNING")
    ]
    told = json.loads(tracked.folder.get(tracked.key(session, "a.ipynb.mlflow.json")) or b"")
    assert told["run_id"] == ours["run_id"]
    assert told["url"] == f"{runs.url}/#/experiments/{ours['experiment_id']}/runs/{ours['run_id']}"
    assert {run["run_id"] for run in told["runs"]} == {child, other, nested}
    assert [run["metrics"] for run in told["runs"] if run["run_id"] == child] == [{"acc": 0.9}]


def test_values_beyond_mlflows_limits_are_cut_and_say_so(
    tracked: Desk, runs: Runs, experiment: str
):
    session = tracked.new_session()
    tracked.write_result(
        session,
        "a.ipynb",
        message="m" * 9000 + "\0\ud800",
        parameters={"big": "x" * 7000, "odd näme?": float("nan")} | {f"p{i}": i for i in range(120)},
    )
    assert tracked.publish().reasons == ()
    (run,) = runs.of(experiment)
    assert len(run["tags"]["nbci.message"]) == 5000
    assert "[cut by pytest-nbci: " in run["tags"]["nbci.message"]
    assert run["params"]["nbci.param.big"].endswith("7000 characters, MLflow takes 6000]")
    assert run["params"]["nbci.param.odd näme_"] == "nan"
    assert run["params"]["nbci.param.p119"] == "119"


def test_a_result_that_another_machine_logged_is_found_and_not_logged_again(
    tracked: Desk, runs: Runs, experiment: str, tmp_path: Path
):
    session = tracked.new_session()
    tracked.write_result(session, "a.ipynb")
    tracked.publish()
    elsewhere = tracked.to(state=tmp_path / "other")  # the results as a CI artifact: no journal
    assert elsewhere.publish().published == 1
    assert len(runs.of(experiment)) == 1


def test_a_delivery_that_was_killed_midway_goes_on_with_the_same_run(
    tracked: Desk, runs: Runs, experiment: str
):
    session = tracked.new_session()
    tags = {"nbci.result": result_id(session, "a.ipynb"), "nbci.role": "notebook"}
    begun = runs.new_run(experiment, **tags)
    twin = runs.new_run(experiment, **tags)
    tracked.write_result(session, "a.ipynb")
    tracked.publish()
    (run,) = runs.of(experiment)
    assert run["run_id"] == min(begun, twin)
    assert (run["status"], run["params"]["nbci.kernel"]) == ("FINISHED", "python3")


def test_the_store_and_mlflow_wait_for_each_other_in_nothing(
    tracked: Desk, runs: Runs, experiment: str, minio: Minio, bucket: str, mlflow_door: Proxy
):
    mlflow_door.set("shut")
    desk = tracked.to(store_url=f"s3://{bucket}", tracking_uri=mlflow_door.url)
    session = desk.new_session()
    for name in ("a.ipynb", "b.ipynb"):
        desk.write_result(session, name)

    begun = time.monotonic()
    report = desk.publish()
    assert time.monotonic() - begun < 30
    assert report.sentence() == (
        f"published 2 notebooks to s3://{bucket} (2 wait: MLflow at {mlflow_door.url} did not "
        'answer (connection refused); run "nbci publish")'
    )
    assert len(minio.objects(bucket)) == 7

    mlflow_door.set("open")
    assert desk.publish().waiting == 0
    assert len(runs.of(experiment)) == 2
    assert desk.key(session, "a.ipynb.mlflow.json") in minio.objects(bucket)
    assert desk.publish().published == 0


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        (500, "answered 500"),
        (403, "answered 403. Check the user's rights"),
        (404, "answered 404. Check the path"),
        (429, "answered 429"),
        ("jammed", "did not answer (timeout)"),
    ],
)
def test_a_server_in_trouble_costs_one_sentence(
    tracked: Desk, mlflow_door: Proxy, mode: str | int, said: str
):
    mlflow_door.set(mode)
    desk = tracked.to(tracking_uri=mlflow_door.url)
    session = desk.new_session()
    for number in range(3):
        desk.write_result(session, f"{number}.ipynb")
    begun = time.monotonic()
    report = desk.publish()
    assert time.monotonic() - begun < 45
    assert (report.published, report.waiting, len(report.reasons)) == (0, 3, 1), report
    assert said in report.reasons[0]


def test_a_password_in_the_uri_is_never_shown(tracked: Desk, mlflow_door: Proxy):
    mlflow_door.set("shut")
    uri = mlflow_door.url.replace("http://", "http://user:pass-word@")
    desk = tracked.to(tracking_uri=uri)
    desk.write_result(desk.new_session(), "a.ipynb")
    report = desk.publish()
    assert "pass-word" not in report.sentence() + str(report)
    for path in desk.destination.journals.iterdir():
        assert "pass-word" not in path.read_text()


def test_two_publishers_at_once_log_every_result_once(
    tracked: Desk, runs: Runs, experiment: str, minio: Minio, bucket: str
):
    desk = tracked.to(store_url=f"s3://{bucket}")
    for _ in range(4):
        session = desk.new_session()
        for number in range(3):
            desk.write_result(session, f"{number}.ipynb")
    code = (
        "import sys, json; from pytest_nbci.delivery import Destination, publish\n"
        "report = publish(Destination.from_dict(json.loads(sys.argv[1])), lambda line: None)\n"
        "print(json.dumps([report.published, report.waiting, report.reasons]))"
    )
    data = json.dumps(desk.destination.to_dict())
    both = [
        subprocess.Popen([sys.executable, "-c", code, data], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    said = [json.loads(one.communicate(timeout=90)[0]) for one in both]
    assert sum(one[0] for one in said) == 12, said
    assert all(one[1:] == [0, []] for one in said), said
    found = runs.of(experiment)
    assert len(found) == len({run["tags"]["nbci.result"] for run in found}) == 12


NOTEBOOK = """
import mlflow, os, subprocess, sys
with mlflow.start_run(run_name="first"):
    mlflow.log_metric("acc", 0.5)
    with mlflow.start_run(run_name="inner", nested=True):
        pass
mlflow.set_experiment("other experiment")
with mlflow.start_run(run_name="second"):
    mlflow.log_text("hello", "hello.txt")
subprocess.run([sys.executable, "-c", "import mlflow; mlflow.start_run(run_name='third')"], check=True)
"""


def test_own_runs_on_the_embedded_database_are_found_and_their_artifacts_kept(
    desk: Desk, tmp_path: Path, sqlite_runs, monkeypatch: pytest.MonkeyPatch
):
    odd = tmp_path / "a b%20 (ü)"
    desk = desk.to(state=odd, results=odd / "results", tracking_uri=f"sqlite:///{odd}/mlflow.db")
    prepare_tracking(desk.destination)
    session = desk.new_session()
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "77")
    environment = kernel_environment(desk.destination, session, "a.ipynb")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    subprocess.run([sys.executable, "-c", NOTEBOOK], cwd=checkout, check=True, timeout=90)
    desk.write_result(session, "a.ipynb")
    report = desk.publish()

    assert report.reasons == ()
    assert list(checkout.iterdir()) == []
    told = json.loads(desk.folder.get(desk.key(session, "a.ipynb.mlflow.json")) or b"")
    own = {run["name"]: run for run in told["runs"]}
    assert set(own) == {"first", "inner", "second", "third"}
    for name in ("first", "second", "third"):
        assert own[name]["parent_run_id"] == told["run_id"]
    assert own["inner"]["parent_run_id"] == own["first"]["run_id"]
    assert own["second"]["experiment"] == "other experiment"
    (text,) = (odd / "mlartifacts").rglob("hello.txt")
    assert text.read_text() == "hello"
    assert len(list((odd / "mlartifacts").rglob("a.ipynb"))) == 1


def test_processes_that_prepare_at_once_make_one_database(desk: Desk, sqlite_runs):
    state = desk.destination.state
    desk = desk.to(tracking_uri=f"sqlite:///{state}/mlflow.db")
    code = (
        "import sys, json, time; from pytest_nbci.delivery import Destination, prepare_tracking\n"
        "prepare_tracking(Destination.from_dict(json.loads(sys.argv[1])))\n"
        "begun = time.perf_counter()\n"
        "prepare_tracking(Destination.from_dict(json.loads(sys.argv[1])))\n"
        "print(time.perf_counter() - begun)\n"
        "assert not {'mlflow', 'boto3', 'sqlalchemy'} & set(sys.modules)"
    )
    data = json.dumps(desk.destination.to_dict())
    several = [
        subprocess.Popen([sys.executable, "-c", code, data], stdout=subprocess.PIPE)
        for _ in range(5)
    ]
    times = [float(one.communicate(timeout=90)[0]) for one in several]
    assert min(times) < 0.001
    assert [one.returncode for one in several] == [0] * 5
    assert sqlite_runs("select name, artifact_location from experiments order by 1") == [
        ("Default", f"file://{state}/mlartifacts/0"),
        ("project", f"file://{state}/mlartifacts/project"),
    ]


def test_without_tracking_a_kernel_is_told_nothing(desk: Desk):
    prepare_tracking(desk.destination)
    assert kernel_environment(desk.destination, "s", "a.ipynb") == {}
    assert not desk.destination.state.exists()


def test_a_deleted_experiment_is_said_with_its_cure(tracked: Desk, runs: Runs, experiment: str):
    number = runs.experiment(experiment)
    runs.call("experiments/delete", {"experiment_id": number})
    tracked.write_result(tracked.new_session(), "a.ipynb")
    assert tracked.publish().reasons == (
        f"The MLflow experiment '{experiment}' is deleted. "
        f"Run: mlflow experiments restore -x {number}",
    )
    assert replace(tracked.destination, tracking_uri=None).tracking is None
