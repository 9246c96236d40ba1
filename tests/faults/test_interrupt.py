"""Ctrl-C, SIGTERM, a closed terminal, -x and kill -9: nothing runs on, what was done is kept."""

from __future__ import annotations

import os
import pty
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_nbci.records import Record, Session
from tests.faults.kills import Running, close, processes, start, wait_until
from tests.project import PLAIN, Project, without_coverage

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")


@pytest.fixture
def running(project: Project, request: pytest.FixtureRequest) -> Iterator[Running]:
    """pytest in the middle of the second of three notebooks."""
    write_notebooks(project)
    found = start(project, *getattr(request, "param", ()), **without_coverage())
    wait_for_the_second(project, found.scratch)
    yield found
    close(found)


def write_notebooks(project: Project) -> None:
    project.notebook("a.ipynb", "1")
    project.notebook(
        "b.ipynb",
        "import subprocess, sys\nsubprocess.Popen(['sleep', '300'], start_new_session=True)",
        "open('/dev/shm/nothing', 'a').close()\nimport time\ntime.sleep(300)",
    )
    project.notebook("c.ipynb", "1")
    project.commit()


def wait_for_the_second(project: Project, scratch: Path) -> None:
    assert wait_until(lambda: "sleep 300 " in processes(scratch).values())
    assert wait_until(lambda: list(project.root.glob("**/a.ipynb.json")))
    time.sleep(0.2)


def check_interrupted(project: Project) -> None:
    """Assert that the record of the session is complete, and names what was lost."""
    session = Session.from_json(next(project.root.glob(".nbci/**/_session.json")).read_text())
    assert (session.complete, session.exit_status) == (True, 2)
    outcomes = {result.notebook: result.outcome for result in session.results}
    assert (outcomes["a.ipynb"], outcomes["b.ipynb"]) == ("passed", "lost")
    record = next(project.root.glob(".nbci/**/b.ipynb.json"))
    assert Record.from_json(record.read_text()).cause == "lost"


def test_ctrl_c_ends_kernel_and_session(running: Running, project: Project):
    running.process.send_signal(signal.SIGINT)

    assert running.process.wait(30) == 2
    assert running.all_gone(0.5)
    assert list(running.scratch.glob("nbci-*")) == []
    check_interrupted(project)
    assert "b.ipynb is lost" in running.said()
    assert "1 notebook did not run: c.ipynb" in running.said()


def test_a_second_ctrl_c_still_completes_the_session(running: Running, project: Project):
    running.process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    running.process.send_signal(signal.SIGINT)

    running.process.wait(30)
    assert running.all_gone()
    check_interrupted(project)


@pytest.mark.parametrize("running", [("-n", "2")], indirect=True)
def test_sigterm_for_an_xdist_controller_is_like_ctrl_c(running: Running, project: Project):
    running.process.send_signal(signal.SIGTERM)

    assert running.process.wait(30) == 2
    assert running.all_gone(0.5)
    check_interrupted(project)
    assert "ended by SIGTERM" in running.said()


@pytest.mark.parametrize("running", [("-n", "2")], indirect=True)
def test_kill_9_of_an_xdist_controller_ends_workers_and_kernels(running: Running, project: Project):
    running.process.kill()
    running.process.wait()

    assert running.all_gone()
    listed = project.run(sys.executable, "-m", "pytest_nbci.cli", "runs", "-n", "2")
    assert "lost" in listed.out
    assert "b.ipynb" in listed.out


def test_a_closed_terminal_is_like_ctrl_c(project: Project):
    write_notebooks(project)
    scratch = Path(tempfile.mkdtemp())
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(project.root)
        environment = {**os.environ, **without_coverage(), "TMPDIR": str(scratch)}
        command = [sys.executable, "-m", "pytest", *PLAIN]
        os.execve(sys.executable, command, environment)  # noqa: S606 - the child of a fork
    wait_for_the_second(project, scratch)

    os.close(terminal)

    assert wait_until(lambda: not processes(scratch))
    os.waitpid(pid, 0)
    check_interrupted(project)
    scratch.rmdir()  # nothing is left in it


def test_x_names_what_did_not_run(project: Project):
    for name in ("b.ipynb", "c.ipynb", "d.ipynb", "e.ipynb", "f.ipynb"):
        project.notebook(name, "1")
    project.write("a.ipynb", "{")
    project.commit()

    ran = project.pytest("-x")

    assert ran.code == 1
    assert ran.session.complete
    assert [result.notebook for result in ran.session.results] == ["a.ipynb"]
    assert "5 notebooks did not run: b.ipynb, c.ipynb, d.ipynb, …" in ran.out
