"""Ctrl-C and kill -9 of pytest: nothing is left running, what was done is kept."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_nbci.execution.processes import MARK
from pytest_nbci.records import Record, Session
from tests.project import PLAIN, Project

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")


def kernels(scratch: Path) -> list[int]:
    """Processes of notebooks whose temporary folder is ``scratch``."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = path.read_bytes().split(b"\0")
        except OSError:
            continue
        is_ours = f"TMPDIR={scratch}".encode() in variables
        if is_ours and any(item.startswith(f"{MARK}=".encode()) for item in variables):
            found.append(int(path.parent.name))
    return found


def wait_until(condition, limit_s: float = 30) -> bool:
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def running(project: Project) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """pytest in the middle of the second of three notebooks, and its temporary folder."""
    scratch = Path(tempfile.mkdtemp())  # short: a longer one would not be used
    project.notebook("a.ipynb", "1")
    project.notebook(
        "b.ipynb",
        "import subprocess, sys\nsubprocess.Popen(['sleep', '300'], start_new_session=True)",
        "open('/dev/shm/nothing', 'a').close()\nimport time\ntime.sleep(300)",
    )
    project.notebook("c.ipynb", "1")
    project.commit()
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *PLAIN, "-p", "no:cacheprovider"],
        cwd=project.root,
        env={**os.environ, "TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert wait_until(
        lambda: len(kernels(scratch)) >= 2 and list(project.root.glob("**/a.ipynb.json"))
    )
    time.sleep(0.5)
    yield process, scratch
    process.kill()
    process.wait()
    for pid in kernels(scratch):
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(scratch)


def test_ctrl_c_ends_kernel_and_session(
    running: tuple[subprocess.Popen[bytes], Path], project: Project
):
    process, scratch = running
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)

    assert process.returncode == 2, out.decode()
    assert kernels(scratch) == []
    assert list(scratch.glob("nbci-*")) == []
    session = Session.from_json(next(project.root.glob(".nbci/**/_session.json")).read_text())
    assert session.complete
    found = [(result.notebook, result.outcome) for result in session.results]
    assert found == [("a.ipynb", "passed"), ("b.ipynb", "lost")]
    assert "b.ipynb is lost" in out.decode()


def test_kill_9_keeps_what_was_done_and_names_the_lost(
    running: tuple[subprocess.Popen[bytes], Path], project: Project
):
    process, scratch = running
    process.kill()
    process.communicate()

    # The kernel watches its parent; what it started in a session of its own is found by the next run.
    assert wait_until(lambda: len(kernels(scratch)) <= 1, 5)
    record = next(project.root.glob(".nbci/**/a.ipynb.json"))
    assert Record.from_json(record.read_text()).outcome == "passed"
    listed = project.run(sys.executable, "-m", "pytest_nbci.cli", "runs")
    assert [line.split()[2] for line in listed.out.splitlines()] == ["passed", "lost", "lost"]
    assert "b.ipynb" in listed.out
