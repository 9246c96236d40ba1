"""What all tests share: real servers, and a project under test in a git repository of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.project import Project

pytest_plugins = ["tests.servers", "tests.browser"]

# The same commit has the same verdict; `make soak` looks for new examples.
settings.register_profile("same", derandomize=True)
settings.register_profile("new", derandomize=False)
settings.load_profile("new" if os.environ.get("NBCI_TEST_EXPLORE") else "same")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine that runs the tests decides what they see."""
    for name in list(os.environ):
        if name.startswith(("NBCI_", "MLFLOW_", "AWS_", "CI_", "GIT_")) and name not in KEPT:
            monkeypatch.delenv(name)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.setenv("COLUMNS", "120")


KEPT = ("NBCI_TEST_REQUIRE_ALL", "AWS_CA_BUNDLE", "GIT_SSL_CAINFO")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project with a ``[tool.nbci]`` table in a new git repository."""
    return Project.create(tmp_path / "project")


@pytest.fixture(scope="module")
def shared_project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """As ``project``, for the whole module; the environment stays plain as long."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("NBCI_", "MLFLOW_", "AWS_", "CI_", "GIT_")) and name not in KEPT:
                patch.delenv(name)
        for name in ("CI", "PYTEST_ADDOPTS"):
            patch.delenv(name, raising=False)
        patch.setenv("COLUMNS", "120")
        yield Project.create(tmp_path_factory.mktemp("shared") / "project")
