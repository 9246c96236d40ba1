"""The jobs as GitLab would run them: gitlab-ci-local inside the image, without network."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_nbci.records import Record, Session
from tests.pipeline.conftest import ROOT, Job
from tests.project import Project
from tests.servers import Minio

pytestmark = pytest.mark.pipeline

BROKEN = "examples/notebooks/09_broken.ipynb"


def notebooks_of(clone: Project) -> set[str]:
    """Names of the examples that run, relative to their project root."""
    listed = clone.git("ls-files", "examples/*.ipynb", ":!examples/broken").splitlines()
    return {name.removeprefix("examples/") for name in listed}


def keep_only(clone: Project, *names: str) -> None:
    """Drop the other examples, for a quick run."""
    others = notebooks_of(clone) - {name.removeprefix("examples/") for name in names}
    clone.git("rm", "-q", *(f"examples/{name}" for name in others))
    clone.commit("Keep few examples")


def assert_all_artifacts(job: Job, notebooks: set[str]) -> None:
    """JUnit, session, and of each notebook the executed one, its page and its record."""
    assert "junit.xml" in job.files(), job.log
    results = job.session_folder
    for name in notebooks:
        assert json.loads((results / name).read_text())["cells"]
        assert (results / f"{name}.html").read_text().rstrip().endswith("</html>")
        assert Record.from_json((results / f"{name}.json").read_text()).notebook == name


@pytest.mark.parametrize("user", ["0:0", "1000:1000", "54321:54321"])
def test_examples_are_green_for_any_user_without_network(
    run_job: Callable[..., Job], clone: Project, image: str, user: str
) -> None:
    job = run_job("notebooks", clone, image, user, PYTEST_ADDOPTS="-n 2")

    assert job.ran.code == 0, job.log
    notebooks = notebooks_of(clone)
    assert_all_artifacts(job, notebooks)
    session = Session.from_json((job.session_folder / "_session.json").read_text())
    assert {(result.notebook, result.outcome) for result in session.results} == {
        (name, "passed") for name in notebooks
    }
    assert session.exit_status == 0
    assert f"published {len(notebooks)} notebooks" in job.log
    assert "refused" not in job.log


def test_broken_notebook_makes_the_job_red_with_all_artifacts(
    run_job: Callable[..., Job], clone: Project, image: str
) -> None:
    keep_only(clone, "examples/notebooks/06_check_input.ipynb")
    shutil.copy(ROOT / "examples/broken/cell_error.ipynb", clone.root / BROKEN)
    clone.commit("Break a notebook")

    job = run_job("notebooks", clone, image, "54321:54321")

    assert job.ran.code == 1, job.log
    assert "1 failed" in job.log
    assert_all_artifacts(job, notebooks_of(clone))
    session = Session.from_json((job.session_folder / "_session.json").read_text())
    assert {result.outcome for result in session.results} == {"passed", "failed"}
    assert (session.complete, session.exit_status) == (True, 1)
    cases = ET.parse(job.artifacts / "junit.xml").getroot().iter("testcase")
    (failed,) = [case for case in cases if case.find("failure") is not None]
    assert failed.get("name") == "09_broken"


@pytest.mark.server
def test_results_go_to_minio_where_variables_say_so(
    run_job: Callable[..., Job], clone: Project, image: str, minio: Minio
) -> None:
    keep_only(clone, "examples/notebooks/06_check_input.ipynb")
    minio.client().create_bucket(Bucket="pipeline")

    job = run_job(
        "notebooks",
        clone,
        image,
        "54321:54321",
        network="host",
        NBCI_STORE="s3://pipeline/notebooks",
        **minio.environment,
    )

    assert job.ran.code == 0, job.log
    prefix = "notebooks/team/notebooks/"
    keys = {Path(key).name for key in minio.objects("pipeline") if key.startswith(prefix)}
    name = "06_check_input.ipynb"
    assert {name, f"{name}.html", f"{name}.json", "_session.json"} <= keys, job.log


def test_image_job_calls_kaniko(
    run_job: Callable[..., Job], clone: Project, base: str, tmp_path: Path
) -> None:
    """A stand-in for Kaniko notes what it is called with: names, login and pip's settings."""
    kaniko = tmp_path / "kaniko"
    kaniko.mkdir()
    (kaniko / "executor").write_text('#!/bin/sh\nprintf "%s\\n" "$@" > /kaniko/arguments\n')
    (kaniko / "executor").chmod(0o755)
    (clone.root / "pip.conf").write_text("[global]\nindex-url = https://packages.example.com/\n")
    clone.commit("Add pip settings")

    job = run_job(
        "build-image",
        clone,
        base,
        "0:0",
        volumes={kaniko: "/kaniko"},
        CI_REGISTRY="registry.example.com",
        CI_REGISTRY_IMAGE="registry.example.com/team/notebooks",
        CI_REGISTRY_USER="gitlab-ci-token",
        CI_REGISTRY_PASSWORD='pass"word',
        PIP_CONFIG_FILE="pip.conf",
    )

    assert job.ran.code == 0, job.log
    arguments = (kaniko / "arguments").read_text().splitlines()
    values = dict(itertools.pairwise(arguments))
    commit = clone.git("rev-parse", "HEAD").strip()
    assert values["--destination"] == f"registry.example.com/team/notebooks:{commit}"
    assert values["--cache-repo"] == "registry.example.com/team/notebooks/cache"
    assert values["--build-arg"] == "BASE_IMAGE=python:3.12-slim"
    assert "--cache=true" in arguments
    login = json.loads((kaniko / ".docker/config.json").read_text())["auths"]
    assert base64.b64decode(login["registry.example.com"]["auth"]) == b'gitlab-ci-token:pass"word'
    assert (kaniko / "pip.conf").read_text() == (clone.root / "pip.conf").read_text()
