"""``nbci doctor`` on real servers: what works, what does not, and from where each setting is."""

from __future__ import annotations

import sys
import time
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.delivery.conftest import Runs

if TYPE_CHECKING:
    from tests.project import Project, Ran
    from tests.servers import Minio, Proxy, Server

pytestmark = pytest.mark.server


def doctor(project: Project, *arguments: str, **environment: str) -> Ran:
    return project.run(sys.executable, "-m", "pytest_nbci.cli", "doctor", *arguments, **environment)


def line(ran: Ran, subject: str) -> str:
    """The finding about ``subject``, with its cure."""
    (found,) = [part for part in ran.out.split("\n") if part[6:].startswith(f"{subject}: ")]
    after = ran.out.partition(f"{found}\n")[2].split("\n")[0]
    return f"{found} {after.strip()}" if "cure: " in after else found


@pytest.fixture
def bucket(minio: Minio) -> str:
    name = f"b{uuid.uuid4().hex}"
    minio.client().create_bucket(Bucket=name)
    return name


def test_all_that_works_is_tried_and_leaves_nothing_behind(
    project: Project, minio: Minio, mlflow_server: Server, bucket: str
):
    experiment = f"e{uuid.uuid4().hex}"
    project.table('keep_days = 7\nstore = "s3://not-this-one"\n[[tool.nbci.notebook]]\npath = "*"')
    project.notebook("train.ipynb", "1")
    project.commit()
    ran = doctor(
        project,
        "--store",
        f"s3://{bucket}/ci",
        **minio.environment,
        MLFLOW_TRACKING_URI=mlflow_server.url,
        MLFLOW_EXPERIMENT_NAME=experiment,
        NBCI_SITE_URL="https://user:secret@results.example.org/x",
    )

    assert (ran.code, ran.err) == (0, ""), ran.out
    values = {
        row.split()[0]: row.split(None, 2)[1:] for row in ran.out.split("\n") if row[:2] == "  "
    }
    assert values["store"] == [f"s3://{bucket}/ci", "--nbci-store"]
    assert values["mlflow"] == [mlflow_server.url, "MLFLOW_TRACKING_URI"]
    assert values["keep_days"] == ["7", "keep_days in [tool.nbci] of pyproject.toml"]
    assert values["site_url"] == ["https://results.example.org/x", "NBCI_SITE_URL"]
    assert values["timeout"] == ["600", "the default"]
    assert "and 1 [[tool.nbci.notebook]] in pyproject.toml" in ran.out
    assert "secret" not in ran.out
    assert "1 notebook below ., commit" in line(ran, "git")
    assert line(ran, "kernel").startswith("ok    kernel: python3 started and answered in ")
    assert line(ran, "store").startswith(f"ok    store: s3://{bucket}/ci at {minio.url}: written")
    assert "(credentials: env)" in line(ran, "store")
    assert line(ran, "mlflow").startswith(f"ok    mlflow: MLflow at {mlflow_server.url}")
    assert minio.objects(bucket) == {}
    assert Runs(mlflow_server.url).of(experiment) == []
    assert not list((project.root / ".nbci/results").iterdir())
    assert project.git("status", "--porcelain") == ""


def test_all_that_does_not_is_named_with_its_cure(
    project: Project, minio: Minio, mlflow_door: Proxy
):
    mlflow_door.set("shut")
    project.notebook("r.ipynb", "1", kernel="ir", language="R")
    project.commit()
    ran = doctor(
        project,
        **minio.environment,
        NBCI_STORE="s3://nosuchbucket",
        MLFLOW_TRACKING_URI=mlflow_door.url,
    )

    assert (ran.code, ran.err) == (1, ""), ran.out
    assert line(ran, "kernel") == (
        "bad   kernel: No kernel for the language 'R' is installed (the notebook names 'ir'). "
        "Needed by r.ipynb. cure: Install IRkernel: "
        "install.packages('IRkernel'); IRkernel::installspec()."
    )
    assert line(ran, "store") == (
        "bad   store: s3://nosuchbucket could not be reached: the bucket does not exist. "
        "cure: Create it, or correct NBCI_STORE."
    )
    assert line(ran, "mlflow") == (
        f"bad   mlflow: MLflow at {mlflow_door.url} did not answer (connection refused)."
    )


def test_a_key_that_may_only_write_is_told_what_it_cannot_do(
    project: Project, minio: Minio, bucket: str
):
    project.notebook("a.ipynb", "1")
    project.commit()
    ran = doctor(
        project,
        **{**minio.environment, **minio.key_for("s3:PutObject")},
        NBCI_STORE=f"s3://{bucket}",
        MLFLOW_TRACKING_URI="off",
    )

    assert (ran.code, ran.err) == (0, ""), ran.out
    assert "mlflow: " not in ran.out
    denied = "access is denied."
    assert line(ran, "store").startswith(
        f"note  store: s3://{bucket} could not be read: {denied} s3://{bucket} could not be listed: "
        f"{denied} s3://{bucket} could not be deleted: {denied} Publishing works; "
    )
    assert "Give the access key the right s3:GetObject." in line(ran, "store")
    assert [key.partition("/")[0] for key in minio.objects(bucket)] == ["_doctor"]


def test_servers_that_accept_and_never_answer_hold_nobody_up(
    project: Project, minio: Minio, minio_door: Proxy, mlflow_door: Proxy
):
    minio_door.set("jammed")
    mlflow_door.set("jammed")
    project.notebook("a.ipynb", "1")
    project.commit()
    begun = time.monotonic()
    ran = doctor(
        project,
        **{**minio.environment, "AWS_ENDPOINT_URL_S3": minio_door.url},
        NBCI_STORE="s3://bucket",
        MLFLOW_TRACKING_URI=mlflow_door.url,
    )

    assert time.monotonic() - begun < 60
    assert (ran.code, ran.err) == (1, ""), ran.out
    assert f"no answer came from {minio_door.url}" in line(ran, "store")
    assert f"MLflow at {mlflow_door.url} did not answer (timeout)" in line(ran, "mlflow")


def test_outside_of_a_repository_is_one_sentence(tmp_path, project: Project):
    ran = project.run(sys.executable, "-m", "pytest_nbci.cli", "doctor", cwd=tmp_path)
    assert ran.code == 4
    assert ran.out == ""
    assert len(ran.err.splitlines()) == 1
