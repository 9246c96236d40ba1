"""A repository, a results folder or a home folder that cannot be written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_nbci.records import Record, Session
from tests.faults.mounts import need_mounts, run_with
from tests.project import PLAIN, Project, Ran


def read_only(folder: Path) -> str:
    return f"mount --bind {folder} {folder}\nmount -o remount,ro,bind {folder}"


def test_results_of_a_read_only_repository_are_in_a_folder_that_the_summary_names(project: Project):
    need_mounts()
    project.notebook("a.ipynb", "open('written.txt', 'w').write('1')")
    project.commit()

    ran = run_with(project, read_only(project.root))

    assert (ran.code, ran.outcomes) == (0, {"passed": 1})
    said = re.search(
        r"\.nbci cannot be written \(Read-only file system\): the results are in (\S+)", ran.out
    )
    assert said is not None
    record = next(Path(said[1]).rglob("a.ipynb.json"))
    assert Record.from_json(record.read_bytes()).outcome == "passed"
    assert not (project.root / ".nbci").exists()


def test_a_results_folder_that_turns_read_only_costs_only_what_comes_after(project: Project):
    need_mounts()
    state, copy = project.root.parent / "state", project.root.parent / "copy"
    state.mkdir()
    project.notebook("a.ipynb", "1")
    project.notebook(
        "b.ipynb",
        f"import subprocess\nsubprocess.run(['mount', '-o', 'remount,ro', {str(state)!r}], check=True)",
    )
    project.commit()

    ran = run_with(
        project,
        f"{read_only(project.root)}\nmount -t tmpfs none {state}",
        after=f"cp -a {state} {copy}",
        NBCI_DIR=str(state),
    )

    assert ran.code == 1
    assert len(re.findall(r"^The result of b.ipynb is lost: ", ran.out, re.MULTILINE)) == 1
    assert "Read-only file system. Make room or permission there, or set NBCI_DIR" in ran.out
    assert "Traceback" not in ran.out + ran.err
    found = [Record.from_json(path.read_bytes()) for path in copy.rglob("*.ipynb.json")]
    assert [(one.notebook, one.outcome) for one in found] == [("a.ipynb", "passed")]
    assert not Session.from_json(next(copy.rglob("_session.json")).read_bytes()).complete


def run_as_stranger(project: Project, *arguments: str) -> Ran:
    """Run pytest without HOME as a user whom no passwd entry names, not root; the files are his."""
    command = ["unshare", "--user", "--map-user=54321", "--map-group=54321"]
    probe = [*command, sys.executable, "-c", "import os; print(os.getuid())"]
    try:
        answer = subprocess.run(probe, check=False, capture_output=True).stdout
    except OSError:
        answer = b""
    if answer != b"54321\n":
        pytest.skip(
            "needs user namespaces with any user id (util-linux 2.38 and a kernel that may)"
        )
    pytest_ = [sys.executable, "-m", "pytest", *PLAIN, "-p", "no:cacheprovider", *arguments]
    return project.run("env", "--unset=HOME", *command, *pytest_)


def test_a_stranger_without_home_runs_what_he_may_only_read(project: Project):
    project.notebook("a.ipynb", "import os; assert os.getuid() == 54321")
    project.commit()
    project.root.chmod(0o555)
    try:
        ran = run_as_stranger(project, "-W", "error", "--nbci")
    finally:
        project.root.chmod(0o755)

    assert (ran.code, ran.outcomes) == (0, {"passed": 1})
    assert ".nbci cannot be written (Permission denied): the results are in" in ran.out
    assert "published 1 notebook to" in ran.out
    assert "waits" not in ran.out
