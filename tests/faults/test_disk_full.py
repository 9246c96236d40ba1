"""A full disk: what was written stays whole, what was not is named, and pytest says why."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_nbci.records import Record, Session
from tests.faults.mounts import need_mounts, run_with
from tests.project import Project, Ran

# Leaves nothing for what comes after it.
FILL = """
with open(r'{path}', 'wb', buffering=0) as file:
    try:
        while True:
            file.write(bytes(4096))
    except OSError:
        pass
"""


@dataclass(frozen=True)
class Left:
    """A session whose results folder lay on a disk of 3 MB, and a copy of that disk."""

    ran: Ran
    results: Path
    project: Project

    def record(self, notebook: str) -> Record:
        return Record.from_json(next(self.results.rglob(f"{notebook}.json")).read_bytes())


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Left:
    need_mounts()
    folder = tmp_path_factory.mktemp("full")
    project, disk, copy = Project.create(folder / "project"), folder / "disk", folder / "copy"
    disk.mkdir()
    project.notebook("a.ipynb", "print('first')")
    project.notebook("b_big.ipynb", "print('x' * 4_000_000)")
    project.notebook("c.ipynb", "print('third')")
    project.notebook("d_fills.ipynb", FILL.format(path=disk / "filler"))
    project.notebook("e.ipynb", "print('last')")
    project.commit()
    ran = run_with(
        project,
        f"mount -t tmpfs -o size=3m none {disk}",
        after=f"rm {disk}/filler\ncp -a {disk}/results {copy}",
        NBCI_DIR=str(disk),
    )
    return Left(ran, copy, project)


def test_one_sentence_names_each_result_that_could_not_be_written(full: Left):
    assert full.ran.code == 1
    for name in ("b_big.ipynb", "d_fills.ipynb", "e.ipynb"):
        assert len(re.findall(rf"^The result of {name} is lost: ", full.ran.out, re.MULTILINE)) == 1
    assert "No space left on device. Make room or permission there, or set NBCI_DIR" in full.ran.out
    assert "Traceback" not in full.ran.out + full.ran.err
    assert "INTERNALERROR" not in full.ran.out + full.ran.err


def test_what_was_written_is_whole_and_nothing_is_torn(full: Left):
    for name in ("a.ipynb", "c.ipynb"):
        assert full.record(name).outcome == "passed"
        assert json.loads(next(full.results.rglob(name)).read_bytes())["cells"]
        assert next(full.results.rglob(f"{name}.html")).read_text().rstrip().endswith("</html>")
    files = [path for path in full.results.rglob("*") if path.is_file()]
    assert all(path.stat().st_size for path in files)
    assert not [path.name for path in files if path.name.endswith(".nbci-part")]


def test_the_session_keeps_its_plan_and_the_lost_are_listed_later(full: Left):
    session = Session.from_json(next(full.results.rglob("_session.json")).read_bytes())
    assert not session.complete
    assert "_session.json could not be written: No space left on device" in full.ran.out
    state = full.results.parent / "state"
    state.mkdir()
    full.results.rename(state / "results")
    command = (sys.executable, "-m", "pytest_nbci.cli", "runs", "--json")
    listed = full.project.run(*command, NBCI_DIR=str(state))
    outcomes = {
        line["notebook"]: line["outcome"] for line in map(json.loads, listed.out.splitlines())
    }
    assert outcomes == {
        "a.ipynb": "passed",
        "b_big.ipynb": "lost",
        "c.ipynb": "passed",
        "d_fills.ipynb": "lost",
        "e.ipynb": "lost",
    }


def test_a_result_too_big_for_the_disk_is_lost_alone_and_says_why(project: Project):
    need_mounts()
    disk, copy = project.root.parent / "disk", project.root.parent / "copy"
    disk.mkdir()
    project.notebook("a.ipynb", "print('x' * 4_000_000)")
    project.commit()

    ran = run_with(
        project,
        f"mount -t tmpfs -o size=3m none {disk}",
        after=f"cp -a {disk}/results {copy}",
        NBCI_DIR=str(disk),
    )

    assert ran.code == 1
    session = Session.from_json(next(copy.rglob("_session.json")).read_bytes())
    assert (session.complete, session.exit_status) == (True, 1)
    record = Record.from_json(next(copy.rglob("a.ipynb.json")).read_bytes())
    assert (record.outcome, record.cause) == ("lost", "lost")
    assert "its result could not be written" in record.message
    assert "No space left on device" in record.message


def run_in_temporary_folder_of(size: str, project: Project) -> Ran:
    need_mounts()
    disk = tempfile.mkdtemp()  # short: a longer one would not be used
    project.notebook("a.ipynb", "1")
    project.commit()
    ran = run_with(project, f"mount -t tmpfs -o size={size} none {disk}", TMPDIR=disk)
    Path(disk).rmdir()
    return ran


@pytest.mark.parametrize("size", ["4k", "8k"])
def test_no_room_for_the_snapshot_ends_the_session(project: Project, size: str):
    ran = run_in_temporary_folder_of(size, project)

    assert ran.code == pytest.ExitCode.USAGE_ERROR
    assert len(re.findall("^ERROR: ", ran.out + ran.err, re.MULTILINE)) == 1
    assert "set TMPDIR to another disk" in ran.out + ran.err
    assert "Traceback" not in ran.out + ran.err


@pytest.mark.parametrize("size", ["12k", "60k"])
def test_a_full_temporary_folder_is_a_checkout_error(project: Project, size: str):
    ran = run_in_temporary_folder_of(size, project)

    assert ran.outcomes == {"error": 1}
    record = ran.record("a.ipynb")
    assert (record.outcome, record.cause) == ("error", "checkout_error")
    assert "set TMPDIR to another disk" in record.cure
    assert "Traceback" not in ran.out


def test_a_full_disk_of_mlflow_changes_no_verdict(project: Project):
    need_mounts()
    disk = project.root.parent / "disk"
    disk.mkdir()
    project.notebook("a.ipynb", "1")
    project.commit()

    ran = run_with(
        project,
        f"mount -t tmpfs -o size=64k none {disk}",
        "--nbci",
        MLFLOW_TRACKING_URI=f"sqlite:///{disk}/mlflow.db",
    )

    assert ran.code == 0
    assert ran.outcomes == {"passed": 1}
    assert ran.record("a.ipynb").outcome == "passed"
    assert "1 waits" in ran.out
    assert f"{disk}/mlflow.db" in ran.out
    assert 'run "nbci publish"' in ran.out
    assert "Traceback" not in ran.out
