"""``pytest --nbci``: every result reaches the bucket and MLflow, whatever the servers do."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.project import PLAIN, Project

if TYPE_CHECKING:
    from tests.servers import Minio, Proxy, Server

pytestmark = pytest.mark.server

LOGS = """
import mlflow
with mlflow.start_run(run_name="mine"):
    mlflow.log_param("depth", 3)
    mlflow.log_metric("score", 0.5)
"""


def fill(project: Project) -> str:
    project.table(
        "[tool.nbci.data.test]\nparameters = {rows = 3}\n"
        '[[tool.nbci.notebook]]\npath = "writes.ipynb"\nkeep = ["out/*.csv"]'
    )
    project.notebook("passes.ipynb", "print('fine')")
    project.notebook("sub/fails.ipynb", "x = 1", "x.nothing")
    project.notebook("logs.ipynb", LOGS)
    project.notebook(
        "writes.ipynb",
        "import pathlib\npathlib.Path('out').mkdir()\npathlib.Path('out/a.csv').write_text('1')",
    )
    project.write("with_parameters.ipynb", json.dumps(with_parameters()))
    return project.commit("Train on new data\n\nWith a body.")


def with_parameters() -> dict[str, Any]:
    from tests.project import Cell, notebook_json

    return notebook_json([Cell("rows = 10", tags=["parameters"]), "print(rows)"])


NOTEBOOKS = (
    "logs.ipynb",
    "passes.ipynb",
    "sub/fails.ipynb",
    "with_parameters.ipynb",
    "writes.ipynb",
)
TYPES = {
    ".ipynb": "application/x-ipynb+json",
    ".json": "application/json",
    ".html": "text/html; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
}


@pytest.fixture
def bucket(minio: Minio) -> str:
    name = f"b{uuid.uuid4().hex}"
    minio.client().create_bucket(Bucket=name)
    return name


def expected_keys(prefix: str) -> set[str]:
    project, _, session = prefix.rsplit("/", 2)
    keys = {f"{prefix}/_session.json", f"{prefix}/writes.files/out/a.csv"}
    keys.add(f"{project}/_passed/main/{session}.json")
    for name in NOTEBOOKS:
        keys |= {f"{prefix}/{name}{suffix}" for suffix in ("", ".html", ".json", ".mlflow.json")}
    return keys


def runs_of(url: str, experiment: str) -> dict[str, Any]:
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=url)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    runs = client.search_runs([found.experiment_id])
    names = [run.info.run_name for run in runs]
    assert len(names) == len(set(names)), names
    return {run.info.run_name: run for run in runs}


def test_bucket_and_mlflow_hold_every_result(
    project: Project, minio: Minio, mlflow_server: Server, bucket: str
):
    commit = fill(project)
    experiment = f"e{uuid.uuid4().hex}"
    ran = project.pytest(
        "--nbci",
        "--nbci-store",
        f"s3://{bucket}/team/a",
        "--nbci-mlflow",
        mlflow_server.url,
        **minio.environment,
        MLFLOW_EXPERIMENT_NAME=experiment,
        CI_PROJECT_PATH="group/project",
    )

    assert ran.code == 1
    assert ran.outcomes == {"passed": 4, "failed": 1}
    assert f"published 5 notebooks to s3://{bucket}/team/a" in ran.out
    session = ran.session.session
    day = f"{session[:4]}-{session[4:6]}-{session[6:8]}"
    prefix = f"team/a/group/project/{day}/{session}"
    objects = minio.objects(bucket)
    assert set(objects) == expected_keys(prefix)
    assert {kind for key, kind in objects.items() if kind != TYPES[Path(key).suffix]} == set()
    stored = minio.client().get_object(Bucket=bucket, Key=f"{prefix}/_session.json")["Body"].read()
    assert json.loads(stored)["complete"] is True

    runs = runs_of(mlflow_server.url, experiment)
    assert set(runs) == {*NOTEBOOKS, "mine"}
    assert runs["passes.ipynb"].info.status == "FINISHED"
    assert runs["sub/fails.ipynb"].info.status == "FAILED"
    run = runs["with_parameters.ipynb"]
    tags = run.data.tags
    assert tags["nbci.commit"] == commit
    assert tags["nbci.commit_author"] == "Ada Lovelace"
    assert tags["nbci.commit_email"] == "ada@example.org"
    assert tags["nbci.commit_message"].startswith("Train on new data\n\nWith a body.")
    assert tags["nbci.branch"] == "main"
    assert tags["mlflow.user"] == "Ada Lovelace"
    assert tags["nbci.result_path"] == f"s3://{bucket}/{prefix}/with_parameters.ipynb"
    assert tags["nbci.reproduce"] == "pytest --nbci with_parameters.ipynb"
    assert tags["nbci.outcome"] == "passed"
    assert re.match(r"\d{4}-\d\d-\d\dT", tags["nbci.started_at"])
    assert run.data.params["nbci.notebook"] == "with_parameters.ipynb"
    assert run.data.params["nbci.profile"] == "test"
    assert run.data.params["nbci.param.rows"] == "3"
    assert run.data.metrics["nbci.duration_s"] >= 0
    mine = runs["mine"]
    assert mine.data.tags["mlflow.parentRunId"] == runs["logs.ipynb"].info.run_id
    assert mine.data.metrics == {"score": 0.5}


def test_servers_away_cost_a_sentence_and_publish_delivers_later(
    project: Project,
    minio: Minio,
    minio_door: Proxy,
    mlflow_door: Proxy,
    mlflow_server: Server,
    bucket: str,
):
    fill(project)
    experiment = f"e{uuid.uuid4().hex}"
    environment = {
        **minio.environment,
        "AWS_ENDPOINT_URL_S3": minio_door.url,
        "NBCI_STORE": f"s3://{bucket}",
        "MLFLOW_TRACKING_URI": mlflow_door.url,
        "MLFLOW_EXPERIMENT_NAME": experiment,
    }
    minio_door.set("shut")
    mlflow_door.set("shut")

    ran = project.pytest("--nbci", **environment)

    assert ran.code == 1
    assert ran.outcomes == {"passed": 4, "failed": 1}
    assert "5 wait" in ran.out
    assert 'run "nbci publish"' in ran.out
    assert minio.objects(bucket) == {}

    minio_door.set("open")
    mlflow_door.set("open")
    later = project.run(sys.executable, "-m", "pytest_nbci.cli", "publish", **environment)

    assert (later.code, later.err) == (0, "")
    assert f"published 5 notebooks to s3://{bucket}" in later.out
    folder = ran.session_folder.relative_to(project.root / ".nbci/results").as_posix()
    assert set(minio.objects(bucket)) == expected_keys(folder)
    runs = runs_of(mlflow_server.url, experiment)
    assert set(runs) == {*NOTEBOOKS, "mine"}
    mine = runs["mine"]
    assert mine.info.status == "FINISHED"
    assert mine.data.params == {"depth": "3"}
    assert mine.data.metrics == {"score": 0.5}
    assert mine.data.tags["mlflow.parentRunId"] == runs["logs.ipynb"].info.run_id

    again = project.run(sys.executable, "-m", "pytest_nbci.cli", "publish", **environment)
    assert again.code == 0
    assert "published 0 notebooks" in again.out
    assert set(runs_of(mlflow_server.url, experiment)) == {*NOTEBOOKS, "mine"}


WAITS = """
import pathlib, time
end = time.monotonic() + 60
while not pathlib.Path({path!r}).exists() and time.monotonic() < end:
    time.sleep(0.05)
"""


def test_a_missing_bucket_is_said_while_notebooks_run_and_the_run_goes_on(
    project: Project, minio: Minio, tmp_path: Path
):
    """Once at the start, when somebody can still do something, and once in the summary."""
    project.notebook("good.ipynb", WAITS.format(path=str(tmp_path / "go")))
    project.commit()
    environment = {**os.environ, **minio.environment, "NBCI_STORE": "s3://nosuchbucket"}
    command = [sys.executable, "-m", "pytest", *PLAIN, "--nbci", "--nbci-mlflow", "off"]
    sentence = (
        "s3://nosuchbucket could not be reached: the bucket does not exist. "
        "Create it, or correct NBCI_STORE"
    )
    with subprocess.Popen(
        command, cwd=project.root, env=environment, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        before = list(iter(running.stdout.readline, f"nbci: {sentence}. The run goes on.\n"))
        (tmp_path / "go").touch()
        after = running.stdout.read()

    assert running.returncode == 0
    assert "good.ipynb" in "".join(before)
    assert after.count(sentence) == 1
    assert f"published 0 notebooks to s3://nosuchbucket (1 waits: {sentence}" in after
    assert "1 passed" in after
    assert "Traceback" not in after


def test_links_go_to_the_site_where_there_is_one(project: Project, minio: Minio, bucket: str):
    project.notebook("sub dir/bad.ipynb", "1 / 0")
    project.notebook("good.ipynb", "1")
    project.commit()
    environment = {
        **minio.environment,
        "NBCI_STORE": f"s3://{bucket}",
        "NBCI_SITE_URL": "https://results.example.org/nb/",
    }
    ran = project.pytest("--nbci", **environment)

    folder = ran.session_folder.relative_to(project.root / ".nbci/results").as_posix()
    link = f"https://results.example.org/nb/{folder}/sub%20dir/bad.ipynb.html"
    assert f"page: {link}\n" in ran.out
    run = runs_of(f"sqlite:///{project.root}/.nbci/mlflow.db", "project")["sub dir/bad.ipynb"]
    assert link in run.data.tags["mlflow.note.content"]
    listed = project.run(sys.executable, "-m", "pytest_nbci.cli", "runs", "bad", **environment)
    assert listed.out.rstrip().endswith(link)
    shown = project.run(sys.executable, "-m", "pytest_nbci.cli", "show", "bad", **environment)
    assert f"page: {link}" in shown.out


def test_a_private_bucket_is_read_with_the_readers_own_key(
    project: Project, minio: Minio, bucket: str
):
    project.notebook("good.ipynb", "1")
    project.commit()
    environment = {**minio.environment, "NBCI_STORE": f"s3://{bucket}"}
    project.pytest("--nbci", "--nbci-mlflow", "off", **environment)

    nbci = (sys.executable, "-m", "pytest_nbci.cli")
    assert f"s3://{bucket}/" in project.run(*nbci, "runs", **environment).out
    stranger = {**environment, "AWS_ACCESS_KEY_ID": "nobody"}
    refused = project.run(*nbci, "runs", **stranger)
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == (
        f"nbci: s3://{bucket} could not be listed: the access key is unknown there. "
        "Check AWS_ACCESS_KEY_ID.\n"
    )


def test_the_embedded_default_needs_no_server(project: Project):
    fill(project)

    ran = project.pytest("--nbci")

    assert ran.code == 1
    assert "published 5 notebooks" in ran.out
    runs = runs_of(f"sqlite:///{project.root}/.nbci/mlflow.db", "project")
    assert set(runs) == {*NOTEBOOKS, "mine"}
    assert runs["mine"].data.tags["mlflow.parentRunId"] == runs["logs.ipynb"].info.run_id
    assert not (project.root / "mlruns").exists()
    assert project.git("status", "--porcelain") == ""
