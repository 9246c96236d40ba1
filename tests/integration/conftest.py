"""A project that several tests of one module look at: built and run once."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.conftest import KEPT
from tests.project import Project


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
