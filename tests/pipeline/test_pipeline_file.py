"""What can be told of the pipeline without running it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.pipeline.conftest import ROOT

pytestmark = pytest.mark.pipeline

PIPELINE = ROOT / ".gitlab-ci.yml"
GUIDE = ROOT / "docs/gitlab.md"
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)


def check_schema(tools: Path, file: Path) -> None:
    done = subprocess.run(
        [tools / "check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", file],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_pipeline_follows_gitlabs_schema(pipeline_tools: Path) -> None:
    check_schema(pipeline_tools, PIPELINE)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_pipelines_in_the_guide_follow_gitlabs_schema(
    pipeline_tools: Path, tmp_path: Path, number: int
) -> None:
    file = tmp_path / ".gitlab-ci.yml"
    file.write_text(EXAMPLES[number])
    check_schema(pipeline_tools, file)


def test_guide_shows_a_pipeline() -> None:
    assert EXAMPLES


def test_jobs_are_written_out() -> None:
    text = PIPELINE.read_text()
    assert "include:" not in text
    assert "extends:" not in text
    assert not re.search(r"(:|-) [&*]\w|<<:|!reference", text)


def test_every_job_can_be_interrupted_and_ends() -> None:
    pipeline = yaml.safe_load(PIPELINE.read_text())
    jobs = {
        name: job for name, job in pipeline.items() if isinstance(job, dict) and "script" in job
    }
    assert set(jobs) == {"build-image", "notebooks", "check"}
    for job in jobs.values():
        assert job["interruptible"] is True
        assert job["timeout"]


def test_every_variable_of_the_guide_is_named_in_the_pipeline() -> None:
    rows = re.findall(r"^\| (`.*?) \|", GUIDE.read_text(), re.MULTILINE)
    names = {name for row in rows for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", row)}
    assert "NBCI_STORE" in names
    assert {name for name in names if name not in PIPELINE.read_text()} == set()


def test_dockerfile_needs_no_buildkit() -> None:
    lines = (ROOT / "Dockerfile").read_text()
    assert not re.search(r"^RUN\s.*--mount|<<[-\w'\"]", lines, re.MULTILINE)
