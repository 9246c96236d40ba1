"""Runs on a real MLflow server, and in the embedded database.

A delivery process takes seconds to import MLflow, so one delivery serves several tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from pytest_nbci.delivery import Destination, kernel_environment, prepare_tracking, result_id
from pytest_nbci.records import Record
from tests.delivery.conftest import COMMIT, Desk, Runs

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_nbci.delivery import Report
    from tests.servers import Minio, Proxy, Server

pytestmark = pytest.mark.server

DEEP = f"{'folder/' * 40}error.ipynb"
LONG = ("n" * 300 + "a", "n" * 300 + "b")
ODD = 'sub dir/it\'s "訓練" 100%.ipynb'


@pytest.fixture
def tracked(desk: Desk, mlflow_server: Server, experiment: str) -> Desk:
    return desk.to(tracking_uri=mlflow_server.url, experiment=experiment)


@pytest.fixture(scope="module")
def runs(mlflow_server: Server) -> Runs:
    return Runs(mlflow_server.url)


@dataclass
class Delivered:
    """One session that was delivered to the server."""

    desk: Desk
    session: str
    report: Report
    records: dict[str, Record]
    runs: dict[str, dict[str, Any]]
    everything: dict[str, dict[str, Any]]
    made: dict[str, str]

    def told(self, notebook: str) -> dict[str, Any]:
        data = self.desk.folder.get(self.desk.key(self.session, f"{notebook}.mlflow.json"))
        return dict(json.loads(data or b"{}"))


@pytest.fixture(scope="module")
def delivered(
    tmp_path_factory: pytest.TempPathFactory, mlflow_server: Server, runs: Runs
) -> Delivered:
    state = tmp_path_factory.mktemp("delivered") / ".nbci"
    name = f"project-{uuid.uuid4().hex[:12]}"
    desk = Desk(Destination(state / "results", state, None, "", mlflow_server.url, name))
    session = desk.new_session()
    write = desk.write_result
    records = [
        write(
            session,
            ODD,
            outcome="failed",
            cause="cell_error",
            message="Cell 2: ValueError: no data",
            job={"url": "https://gitlab.example.org/job/1", "pipeline": "7"},
            inputs=(
                {"path": "data/train.csv", "sha256": "ab" * 32, "bytes": 10, "origin": "test data"},
            ),
        ),
        write(session, "failed.ipynb", outcome="failed", cause="exit"),
        write(session, DEEP, outcome="error", cause="kernel_start"),
        write(session, "lost.ipynb", outcome="lost", cause="lost"),
        write(session, "skipped.ipynb", outcome="skipped"),
        write(session, "parent.ipynb", outcome="failed", cause="timeout"),
        write(session, "twins.ipynb"),
        write(session, "again.ipynb", attempts=2, parameters={"folder": "/tmp/2"}),
        write(
            session,
            "long.ipynb",
            message="m" * 9000 + "\0",
            parameters={"big": "x" * 7000, "odd/näme?": float("nan"), **dict.fromkeys(LONG, 1)}
            | {f"p{number}": number for number in range(120)},
            inputs=[{"path": f"{number}.csv", "sha256": f"{number}"} for number in range(120)],
        ),
    ]
    tag = {"nbci.result": result_id(session, "parent.ipynb")}
    child = runs.new_run(name, **tag)
    ours = {"nbci.result": result_id(session, "twins.ipynb"), "nbci.role": "notebook"}
    earlier = {"nbci.result": result_id(session, "again.ipynb"), "nbci.role": "notebook"}
    made = {
        "child": child,
        "other": runs.new_run(f"{name}-other", **tag),
        "nested": runs.new_run(name, **tag, **{"mlflow.parentRunId": child}),
        "deleted": runs.new_run(name, **tag),
        "stranger": runs.new_run(name),
        "earlier attempt": runs.new_run(name, **earlier),
        "twin 1": runs.new_run(name, **ours),
        "twin 2": runs.new_run(name, **ours),
    }
    orphan = {"nbci.result": tag["nbci.result"], "mlflow.parentRunId": made["deleted"]}
    made["orphan"] = runs.new_run(name, **orphan)
    runs.call("runs/delete", {"run_id": made["deleted"]})
    changed = {"run_id": made["earlier attempt"], "key": "nbci.param.folder", "value": "/tmp/1"}
    runs.call("runs/log-parameter", changed)
    runs.call("runs/log-metric", {"run_id": child, "key": "acc", "value": 0.9, "timestamp": 1})
    report = desk.publish()
    everything = runs.of(name) + runs.of(f"{name}-other")
    return Delivered(
        desk=desk,
        session=session,
        report=report,
        records={record.notebook: record for record in records},
        runs={
            run["tags"]["nbci.notebook"]: run
            for run in everything
            if "nbci.role" in run["tags"] and "nbci.notebook" in run["tags"]
        },
        everything={run["run_id"]: run for run in everything},
        made=made,
    )


def test_a_run_holds_everything_needed_to_understand_and_repeat_the_result(
    delivered: Delivered, runs: Runs
):
    run = delivered.runs[ODD]
    assert run["run_name"] == ODD
    assert run["status"] == "FAILED"
    assert run["end_time"] - run["start_time"] == 1250
    tags = run["tags"]
    note = tags["mlflow.note.content"]
    assert "**failed**: Cell 2: ValueError: no data" in note
    assert f"    pytest {ODD}" in note
    assert "[job](<https://gitlab.example.org/job/1>)" in note
    desk, session = delivered.desk, delivered.session
    assert (
        tags.items()
        >= {
            "mlflow.user": "Ada Lovelace",
            "mlflow.source.name": ODD,
            "mlflow.source.type": "NOTEBOOK",
            "mlflow.source.git.commit": COMMIT.id,
            "mlflow.source.git.branch": "feature/new-data",
            "nbci.result": result_id(session, ODD),
            "nbci.role": "notebook",
            "nbci.session": session,
            "nbci.project": "group/project",
            "nbci.notebook": ODD,
            "nbci.outcome": "failed",
            "nbci.cause": "cell_error",
            "nbci.message": "Cell 2: ValueError: no data",
            "nbci.commit": COMMIT.id,
            "nbci.commit_author": "Ada Lovelace",
            "nbci.commit_email": "ada@example.org",
            "nbci.commit_message": COMMIT.message,
            "nbci.branch": "feature/new-data",
            "nbci.started_at": delivered.records[ODD].started_at,
            "nbci.duration": "1.250 s",
            "nbci.profile": "test",
            "nbci.result_path": str(desk.folder.path(desk.key(session, ODD))),
            "nbci.reproduce": f"pytest {ODD}",
            "nbci.job_url": "https://gitlab.example.org/job/1",
        }.items()
    )
    assert run["params"] == {
        "nbci.notebook": ODD,
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
    name = ODD.rpartition("/")[2]
    assert [file["path"] for file in files] == [name, f"{name}.html"]


def test_outcomes_become_honest_states_and_a_skipped_notebook_no_run(delivered: Delivered):
    assert delivered.report.sentence() == (
        f"published 9 notebooks to {delivered.desk.destination.results}"
    )
    assert {name: run["status"] for name, run in delivered.runs.items()} == {
        ODD: "FAILED",
        "failed.ipynb": "FAILED",
        DEEP: "FAILED",
        "lost.ipynb": "KILLED",
        "parent.ipynb": "FAILED",
        "twins.ipynb": "FINISHED",
        "again.ipynb": "FINISHED",
        "long.ipynb": "FINISHED",
    }


def test_the_notebooks_own_runs_become_children_and_open_ones_end(delivered: Delivered, runs: Runs):
    made, found = delivered.made, delivered.everything
    ours = delivered.runs["parent.ipynb"]
    assert found[made["child"]]["tags"]["mlflow.parentRunId"] == ours["run_id"]
    assert found[made["other"]]["tags"]["mlflow.parentRunId"] == ours["run_id"]
    assert found[made["nested"]]["tags"]["mlflow.parentRunId"] == made["child"]
    assert found[made["orphan"]]["tags"]["mlflow.parentRunId"] == ours["run_id"]
    assert "mlflow.parentRunId" not in found[made["stranger"]]["tags"]
    assert found[made["stranger"]]["status"] == "RUNNING"
    own_names = ("child", "other", "nested", "orphan")
    for name in own_names:
        assert found[made[name]]["status"] == "KILLED"
        assert found[made[name]]["end_time"] == ours["end_time"]
    told = delivered.told("parent.ipynb")
    assert told["run_id"] == ours["run_id"]
    assert told["url"] == f"{runs.url}/#/experiments/{ours['experiment_id']}/runs/{ours['run_id']}"
    own = {run["run_id"]: run for run in told["runs"]}
    assert set(own) == {made[name] for name in own_names}
    assert own[made["orphan"]]["parent_run_id"] == ours["run_id"]
    assert own[made["child"]]["metrics"] == {"acc": 0.9}


def test_a_delivery_that_was_killed_midway_goes_on_with_the_same_run(delivered: Delivered):
    twins = {delivered.made["twin 1"], delivered.made["twin 2"]}
    (run,) = [delivered.everything[one] for one in twins if one in delivered.everything]
    assert run["run_id"] == min(twins) == delivered.told("twins.ipynb")["run_id"]
    assert (run["status"], run["params"]["nbci.kernel"]) == ("FINISHED", "python3")
    assert run["tags"]["nbci.notebook"] == "twins.ipynb"


def test_an_attempt_with_other_parameters_replaces_the_run_of_the_one_before(
    delivered: Delivered,
):
    run = delivered.runs["again.ipynb"]
    assert run["params"]["nbci.param.folder"] == "/tmp/2"
    assert run["metrics"]["nbci.attempts"] == 2
    assert delivered.made["earlier attempt"] not in delivered.everything


def test_values_beyond_mlflows_limits_are_cut_and_say_so(delivered: Delivered):
    run = delivered.runs["long.ipynb"]
    assert len(run["tags"]["nbci.message"]) == 5000
    assert "[cut by pytest-nbci: " in run["tags"]["nbci.message"]
    assert run["params"]["nbci.param.big"].endswith("7000 characters, MLflow takes 6000]")
    assert run["params"]["nbci.param.odd_näme_"] == "nan"
    assert run["params"]["nbci.param.p119"] == "119"
    cut = [name for name in run["params"] if "nnn" in name]
    assert len(cut) == 2
    assert all(len(name) == 250 and " - cut " in name for name in cut)
    assert len(run["inputs"]) == 100
    assert run["tags"]["nbci.inputs"] == "120 files, 100 of them as datasets"
    deep = delivered.runs[DEEP]
    assert deep["run_name"] == f"…{DEEP[-249:]}"
    assert deep["tags"]["nbci.notebook"] == DEEP


def test_a_result_that_another_machine_logged_is_found_and_not_logged_again(
    delivered: Delivered, runs: Runs, tmp_path: Path
):
    elsewhere = delivered.desk.to(state=tmp_path)  # the results as a CI artifact: no journal
    assert elsewhere.publish().published == 9
    again = runs.of(delivered.desk.destination.experiment)
    assert {run["run_id"] for run in again} <= set(delivered.everything)


def test_the_store_and_mlflow_wait_for_each_other_in_nothing(
    tracked: Desk, runs: Runs, experiment: str, minio: Minio, bucket: str, mlflow_door: Proxy
):
    mlflow_door.set("shut")
    uri = mlflow_door.url.replace("http://", "http://user:pass-word@")
    desk = tracked.to(store_url=f"s3://{bucket}", tracking_uri=uri)
    session = desk.new_session()
    for name in ("a.ipynb", "b.ipynb"):
        desk.write_result(session, name)

    report = desk.publish()
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
    for path in desk.destination.journals.iterdir():
        assert "pass-word" not in path.read_text()


ASK = """
import json, sys
from pytest_nbci.delivery import Destination
from pytest_nbci.delivery.mlflow_errors import told
from pytest_nbci.delivery.tracking import Tracking
destination = Destination.from_dict(json.loads(sys.argv[1]))
for line in sys.stdin:
    try:
        Tracking(destination).experiment_id()
        print("well", flush=True)
    except Exception as error:
        print(type(error).__name__, error, flush=True)
"""


def test_a_server_in_trouble_is_one_sentence_with_a_cure(
    tracked: Desk, mlflow_door: Proxy, runs: Runs, experiment: str
):
    from pytest_nbci.delivery.process import child_environment

    destination = tracked.to(tracking_uri=mlflow_door.url).destination
    with subprocess.Popen(
        [sys.executable, "-c", ASK, json.dumps(destination.to_dict())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=child_environment(os.environ, destination),
        text=True,
    ) as asker:
        said: dict[str | int, str] = {}
        times: dict[str | int, float] = {}
        assert asker.stdin is not None
        assert asker.stdout is not None
        for mode in ("open", "shut", 500, 403, 404, 429, "jammed", "open", "deleted"):
            if mode == "deleted":
                number = runs.experiment(experiment)
                runs.call("experiments/delete", {"experiment_id": number})
            else:
                mlflow_door.set(mode)
            begun = time.monotonic()
            asker.stdin.write("\n")
            asker.stdin.flush()
            said[mode] = asker.stdout.readline().strip()
            times[mode] = time.monotonic() - begun
        asker.stdin.close()
    at = f"AwayError MLflow at {mlflow_door.url}"
    assert said == {
        "open": "well",
        "shut": f"{at} did not answer (connection refused).",
        500: f"{at} answered 500.",
        403: f"{at} answered 403. Check the user's rights, and that the server's "
        "MLFLOW_SERVER_ALLOWED_HOSTS has its name.",
        404: f"{at} answered 404. Check the path in MLFLOW_TRACKING_URI.",
        429: f"{at} answered 429.",
        "jammed": f"{at} did not answer (timeout).",
        "deleted": f"AwayError The MLflow experiment '{experiment}' is deleted. "
        f"Run: mlflow experiments restore -x {number}",
    }
    assert max(time_s for mode, time_s in times.items() if mode not in {"open", "jammed"}) < 4
    assert times["jammed"] < 14


def at_once(count: int, code: str, data: str) -> list[str]:
    """What ``count`` Python processes that run at once print; they all must succeed."""

    def run(_: int) -> str:
        command = [sys.executable, "-c", code, data]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_two_publishers_at_once_log_every_result_once(
    tracked: Desk, runs: Runs, experiment: str, bucket: str
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
    said = [json.loads(line) for line in at_once(2, code, data)]
    assert sum(one[0] for one in said) == 12, said
    # On a busy machine one may have waited long enough for the other.
    held = "A session is being delivered by another process."
    assert all(one[1] == 0 and set(one[2]) <= {held} for one in said), said
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
if os.fork() == 0:
    mlflow.start_run(run_name="third")
    os._exit(0)
os.wait()
"""


def test_own_runs_on_the_embedded_database_are_found_and_their_artifacts_kept(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from pytest_nbci.delivery import embedded_uri

    state = tmp_path / "a b%20?# (ü)"
    uri = embedded_uri(state)
    desk = desk.to(state=state, results=state / "results", tracking_uri=uri)
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
    assert {name: run["status"] for name, run in own.items()} == dict.fromkeys(own, "FINISHED")
    (text,) = (state / "mlartifacts").rglob("hello.txt")
    assert text.read_text() == "hello"
    assert len(list((state / "mlartifacts").rglob("a.ipynb"))) == 1


@pytest.mark.parametrize("theirs", ["{", "[1]", '{"nbci.role": "notebook", "team": "blue"}'])
def test_the_users_own_run_context_is_kept_as_far_as_it_can_be(
    theirs: str, desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MLFLOW_RUN_CONTEXT", theirs)
    desk = desk.to(tracking_uri="http://127.0.0.1:9")
    tags = json.loads(kernel_environment(desk.destination, "s", "a.ipynb", 2)["MLFLOW_RUN_CONTEXT"])
    assert tags == {
        "mlflow.source.name": "a.ipynb",
        "mlflow.source.type": "NOTEBOOK",
        "nbci.result": "s/a.ipynb",
        "nbci.attempt": "2",
        **({"team": "blue"} if "team" in theirs else {}),
    }


def test_processes_that_prepare_at_once_make_one_database(desk: Desk, sqlite_runs: Any):
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
    times = [float(line) for line in at_once(5, code, data)]
    assert min(times) < 0.001
    assert sqlite_runs("select name, artifact_location from experiments order by 1") == [
        ("Default", f"file://{state}/mlartifacts/0"),
        ("project", f"file://{state}/mlartifacts/project"),
    ]


def test_without_tracking_a_kernel_is_told_nothing(desk: Desk):
    prepare_tracking(desk.destination)
    assert kernel_environment(desk.destination, "s", "a.ipynb") == {}
    assert not desk.destination.state.exists()


def test_a_broken_database_is_said_at_once(desk: Desk):
    state = desk.destination.state
    state.mkdir()
    (state / "mlflow.db").write_text("this is no database at all, but text")
    desk = desk.to(tracking_uri=f"sqlite:///{state}/mlflow.db")
    desk.write_result(desk.new_session(), "a.ipynb")
    report = desk.publish()
    assert report.waiting == 1
    assert "could not be opened: file is not a database" in report.sentence()
