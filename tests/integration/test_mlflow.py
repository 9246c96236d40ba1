"""One session's runs in MLflow, as a user finds them: by ``mlflow.search_runs`` and in the UI.

The server is behind a reverse proxy with a path and basic authentication, as teams have it.
"""

from __future__ import annotations

import json
import platform
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.delivery.conftest import Runs
from tests.project import Cell, Project, Ran
from tests.servers import PASSWORD, USER

if TYPE_CHECKING:
    from tests.browser import Browser
    from tests.servers import Gate, Server

pytestmark = pytest.mark.server

WEEKLY = "reports/weekly figures.ipynb"

# Each line is something that notebooks do, and that must not reach the run of the notebook.
TRAINS = """
import mlflow, os, subprocess, sys
mlflow.end_run("FAILED")
with mlflow.start_run(run_name="first") as first:
    mlflow.log_param("depth", 3)
    mlflow.log_metric("score", 0.5)
    with mlflow.start_run(run_name="inner", nested=True):
        mlflow.log_metric("score", 0.25)
os.environ["MLFLOW_RUN_ID"] = first.info.run_id
with mlflow.start_run():
    mlflow.log_metric("again", 1)
subprocess.run([sys.executable, "-c", "import mlflow; mlflow.start_run(run_name='in a process')"])
with mlflow.start_run(run_name="regretted") as regretted:
    with mlflow.start_run(run_name="orphan", nested=True):
        pass
mlflow.delete_run(regretted.info.run_id)
"""
TRAINS_ELSEWHERE = """
import numpy
from sklearn.linear_model import LinearRegression
mlflow.set_experiment("@EXPERIMENT@ by hand")
mlflow.sklearn.autolog(log_models=False, silent=True)
model = LinearRegression().fit(numpy.array([[1.0], [2.0], [3.0]]), [2.0, 4.0, 6.0])
"""
KILLED = """
import mlflow, os, signal
mlflow.start_run(run_name="cut short")
mlflow.log_metric("step", 1)
os.kill(os.getpid(), signal.SIGKILL)
"""
NO_SERVER = """
import mlflow
mlflow.set_tracking_uri("http://127.0.0.1:9")
mlflow.start_run()
"""


@dataclass
class Logged:
    """One session, and what MLflow holds of it."""

    ran: Ran
    commit: str
    experiment: str
    found: list[dict[str, Any]]
    before: str

    def run(self, name: str) -> dict[str, Any]:
        (run,) = [run for run in self.found if run["tags.mlflow.runName"] == name]
        return run

    def children(self, notebook: str) -> dict[str, dict[str, Any]]:
        parent = self.run(notebook)["run_id"]
        return {
            run["tags.mlflow.runName"]: run
            for run in self.found
            if run.get("tags.mlflow.parentRunId") == parent
        }


def fill(project: Project, experiment: str) -> str:
    project.table(
        "[tool.nbci.data.test]\n"
        'parameters = {rows = 3, region = "north"}\nfiles = {"data/sales.csv" = "small.csv"}'
    )
    project.write("requirements.txt", "pandas\n")
    project.write("small.csv", "month,amount\n1,10\n")
    project.notebook(
        WEEKLY,
        Cell("rows = 10\nregion = 'all'", tags=["parameters"]),
        "print(open('../data/sales.csv').read())",
        "fish = [n**2 for n in range(rows)]",
    )
    project.notebook("fails.ipynb", "x = {'a_b*c': 1}", "x['*missing_key*']")
    project.notebook("trains.ipynb", TRAINS, TRAINS_ELSEWHERE.replace("@EXPERIMENT@", experiment))
    project.notebook("killed.ipynb", KILLED)
    project.notebook("no_server.ipynb", NO_SERVER)
    project.git(
        "remote",
        "add",
        "origin",
        "https://gitlab-ci-token:t0ken-t0ken@gitlab.example.org/group/sales.git",
    )
    return project.commit("Count the fish of each region\n\nWith a body.")


@pytest.fixture(scope="module")
def logged(shared_project: Project, mlflow_server: Server, mlflow_gate: Gate) -> Logged:
    experiment = f"sales-{uuid.uuid4().hex[:8]}"
    commit = fill(shared_project, experiment)
    chosen_before = Runs(mlflow_server.url).new_run(experiment)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "MLFLOW_TRACKING_URI": mlflow_gate.url,
            "MLFLOW_TRACKING_USERNAME": USER,
            "MLFLOW_TRACKING_PASSWORD": PASSWORD,
        }.items():
            patch.setenv(name, value)
        ran = shared_project.pytest(
            "--nbci",
            MLFLOW_EXPERIMENT_NAME=experiment,
            MLFLOW_RUN_ID=chosen_before,
            MLFLOW_RUN_CONTEXT=json.dumps({"team": "blue", "nbci.result": "forged"}),
            MLFLOW_HTTP_REQUEST_MAX_RETRIES="1",
            NBCI_SITE_URL="https://results.example.org",
            CI_PIPELINE_ID="77",
            CI_JOB_ID="123",
            CI_JOB_URL="https://gitlab.example.org/group/sales/-/jobs/123",
            CI_JOB_IMAGE="registry.example.org/python:3.11",
        )
        import mlflow

        frame = mlflow.search_runs(experiment_names=[experiment, f"{experiment} by hand"])
    rows = json.loads(frame.to_json(orient="records", date_format="iso"))
    found = [{key: value for key, value in row.items() if value is not None} for row in rows]
    return Logged(ran, commit, experiment, found, chosen_before)


NOTEBOOKS = {
    "fails.ipynb": "FAILED",
    "killed.ipynb": "FAILED",
    "no_server.ipynb": "FAILED",
    "trains.ipynb": "FINISHED",
    WEEKLY: "FINISHED",
}


def test_one_parent_for_each_notebook_with_an_honest_status(logged: Logged):
    assert logged.ran.code == 1
    assert "published 5 notebooks" in logged.ran.out
    ours = [run for run in logged.found if run.get("tags.nbci.role") == "notebook"]
    assert sorted((run["tags.mlflow.runName"], run["status"]) for run in ours) == sorted(
        NOTEBOOKS.items()
    )
    assert not any("tags.mlflow.parentRunId" in run for run in ours)


def test_a_parent_holds_what_is_needed_to_understand_and_repeat_the_run(
    logged: Logged, mlflow_server: Server
):
    session = logged.ran.session.session
    key = f"group/sales/{logged.ran.session_folder.parent.name}/{session}/{WEEKLY}"
    job = "https://gitlab.example.org/group/sales/-/jobs/123"
    run = logged.run(WEEKLY)
    message = "Count the fish of each region"
    expected = {
        "params.nbci.notebook": WEEKLY,
        "params.nbci.profile": "test",
        "params.nbci.param.rows": "3",
        "params.nbci.param.region": "north",
        "params.nbci.kernel": "python3",
        "params.nbci.python": platform.python_version(),
        "params.nbci.lock_sha256": logged.ran.record(WEEKLY).environment["lock_sha256"],
        "params.nbci.image": "registry.example.org/python:3.11",
        "metrics.nbci.cells": 3,
        "metrics.nbci.attempts": 1,
        "tags.mlflow.user": "Ada Lovelace",
        "tags.mlflow.source.name": WEEKLY,
        "tags.mlflow.source.type": "NOTEBOOK",
        "tags.mlflow.source.git.commit": logged.commit,
        "tags.mlflow.source.git.branch": "main",
        "tags.mlflow.source.git.repoURL": "https://gitlab.example.org/group/sales.git",
        "tags.nbci.commit": logged.commit,
        "tags.nbci.commit_author": "Ada Lovelace",
        "tags.nbci.commit_email": "ada@example.org",
        "tags.nbci.commit_message": f"{message}\n\nWith a body.\n",
        "tags.nbci.branch": "main",
        "tags.nbci.job_url": job,
        "tags.nbci.pipeline": "77",
        "tags.nbci.outcome": "passed",
        "tags.nbci.session": session,
        "tags.nbci.result_path": str(logged.ran.session_folder / WEEKLY),
        "tags.nbci.reproduce": f"pytest --nbci '{WEEKLY}'",
        "tags.mlflow.note.content": (
            "**passed**\n\n"
            f"[page](<https://results.example.org/{key.replace(' ', '%20')}.html>) "
            f"· [job](<{job}>)\n\n"
            f"Run it again:\n\n    pytest --nbci '{WEEKLY}'\n\n"
            f"Executed notebook: `{logged.ran.session_folder / WEEKLY}`\n\n"
            f"Commit {logged.commit[:8]}: {message} (Ada Lovelace)"
        ),
    }
    assert {name: run.get(name) for name in expected} == expected
    assert run["metrics.nbci.duration_s"] == logged.ran.record(WEEKLY).duration_s
    assert run["metrics.nbci.peak_memory_bytes"] > 10_000_000
    listed = Runs(mlflow_server.url).call(f"artifacts/list?run_id={run['run_id']}")["files"]
    assert [file["path"] for file in listed] == [
        "weekly figures.ipynb",
        "weekly figures.ipynb.html",
    ]
    assert "t0ken" not in json.dumps(logged.found)


def test_runs_of_the_notebook_become_children_that_cannot_touch_ours(
    logged: Logged, mlflow_server: Server
):
    children = logged.children("trains.ipynb")
    (autologged,) = [name for name in children if "params.fit_intercept" in children[name]]
    assert set(children) == {"first", "in a process", "orphan", autologged}
    inner = logged.run("inner")
    assert inner["tags.mlflow.parentRunId"] == children["first"]["run_id"]
    for run in (inner, *children.values()):
        assert run["status"] == "FINISHED"
        assert run["tags.team"] == "blue"
        assert run["tags.mlflow.source.name"] == "trains.ipynb"
    assert children["first"]["metrics.again"] == 1
    assert children[autologged]["experiment_id"] != inner["experiment_id"]
    assert logged.children("killed.ipynb")["cut short"]["status"] == "KILLED"
    (before,) = [run for run in logged.found if run["run_id"] == logged.before]
    assert before["status"] == "RUNNING"
    assert not any(name.startswith(("metrics.", "params.", "tags.nbci")) for name in before)

    path = logged.ran.session_folder / "trains.ipynb.mlflow.json"
    told = json.loads(path.read_text())
    ours = logged.run("trains.ipynb")
    assert (told["run_id"], told["status"]) == (ours["run_id"], "FINISHED")
    assert told["url"].endswith(
        f"/tools/mlflow/#/experiments/{ours['experiment_id']}/runs/{ours['run_id']}"
    )
    own = {run["name"]: run for run in told["runs"]}
    assert set(own) == {*children, "inner"}
    assert own["first"]["metrics"] == {"score": 0.5, "again": 1}
    assert own["inner"]["parent_run_id"] == own["first"]["run_id"]
    assert own[autologged]["experiment"] == f"{logged.experiment} by hand"


def test_a_notebook_whose_own_server_is_away_is_told_so(logged: Logged):
    record = logged.ran.record("no_server.ipynb")
    assert (record.outcome, record.cause) == ("failed", "service_unavailable")
    assert "(127.0.0.1:9) did not answer" in record.message


@pytest.mark.browser
def test_the_ui_lists_notebooks_by_name_and_shows_the_note(
    logged: Logged, browser: Browser, mlflow_gate: Gate
):
    failed = logged.run("fails.ipynb")
    driver = browser.driver
    driver.execute_cdp_cmd("Network.enable", {})
    driver.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": mlflow_gate.authorization})
    try:
        place = f"{mlflow_gate.url}/#/experiments/{failed['experiment_id']}/runs"
        browser.open(place)
        names = "[...document.querySelectorAll('a')].map(link => link.innerText.trim())"
        for notebook in NOTEBOOKS:
            browser.wait(f"{names}.includes({notebook!r})")

        browser.open(f"{place}/{failed['run_id']}")
        browser.wait("document.body.innerText.includes('Run it again')")
        shown = browser.run("return document.body.innerText")
    finally:
        driver.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {}})
    assert "failed: fails.ipynb, cell 2 (x['*missing_key*']): KeyError: '*missing_key*'." in shown
    assert "\npage · job\n" in shown
    assert "\npytest --nbci fails.ipynb\n" in shown
