"""kill -9 of pytest and of an xdist worker: a short form of tests/soak/test_kills.py."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.faults.kills import Row, check_killed, check_worker_killed, close, start, wait_until
from tests.project import Project

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")


@pytest.mark.parametrize("count", [0, 1, 3])
def test_kill_9_of_pytest_loses_what_ran_and_nothing_else(project: Project, count: int):
    row = Row.make(project, 4)
    running = start(project)
    try:
        assert wait_until(lambda: len(row.begun()) > count)
        time.sleep(0.1 * count)
        running.process.kill()
        running.process.wait()
        check_killed(row, running)
        assert len(row.finished()) >= count
    finally:
        close(running)


def test_a_killed_worker_loses_its_notebook_and_the_others_go_on(project: Project):
    row = Row.make(project, 6)
    running = start(project, "-n", "2")
    try:
        assert wait_until(lambda: len(row.begun()) > 1)
        os.kill(running.workers()[0], signal.SIGKILL)
        assert running.process.wait(60) == 1
        check_worker_killed(row, running, 1)
        session = row.session()
        assert session is not None
        assert [result.outcome for result in session.results].count("lost") == 1
        assert "ended while it ran" in running.said()
        assert "crashed while running" not in running.said()
    finally:
        close(running)


def test_what_needs_a_lost_notebook_runs_it_again(project: Project):
    rule = '[[tool.nbci.notebook]]\npath = "b.ipynb"\nneeds = ["a.ipynb"]'
    project.table(f"warm = false\n{rule}")  # below a server, the grandparent is another
    once = project.root.parent / "killed"
    # Its grandparent is the worker: the guardian stands between.
    kills = (
        f"import os, pathlib\nfirst = not pathlib.Path({str(once)!r}).exists()\n"
        f"pathlib.Path({str(once)!r}).touch()\n"
        "stat = pathlib.Path(f'/proc/{os.getppid()}/stat').read_text()\n"
        "if first:\n    os.kill(int(stat.rpartition(')')[2].split()[1]), 9)"
    )
    project.notebook("a.ipynb", kills, "open('made.txt', 'w').write('1')")
    project.notebook("b.ipynb", "print(open('made.txt').read())")
    project.notebook("c.ipynb", "1")
    project.commit()

    ran = project.pytest("-n", "1")

    outcomes = {result.notebook: result.outcome for result in ran.session.results}
    assert outcomes == {"a.ipynb": "lost", "b.ipynb": "passed", "c.ipynb": "passed"}
    assert ran.code == 1
    assert ran.outcomes == {"failed": 1, "passed": 2}


@pytest.mark.parametrize(
    ("last", "outcome", "said"),
    [
        ("b.ipynb.html", "lost", "b.ipynb is lost: the xdist worker gw0 ended while it ran"),
        ("b.ipynb.json", "passed", "gw0 ended just after the result was written"),
    ],
)
def test_a_worker_killed_while_it_writes_leaves_a_whole_result_or_none(
    project: Project, last: str, outcome: str, said: str
):
    project.write(
        "conftest.py",
        "import os, pathlib\n\nreplace = pathlib.Path.replace\n\n"
        "def kill_after(self, target):\n    replace(self, target)\n"
        f"    if str(target).endswith('/{last}'):\n        os.kill(os.getpid(), 9)\n\n"
        "pathlib.Path.replace = kill_after\n",
    )
    project.notebook("b.ipynb", "1")
    project.notebook("c.ipynb", "1")
    project.commit()

    ran = project.pytest("-n", "1")

    assert ran.code == 1
    outcomes = {result.notebook: result.outcome for result in ran.session.results}
    assert outcomes == {"b.ipynb": outcome, "c.ipynb": "passed"}
    assert ran.record("b.ipynb").outcome == outcome
    assert said in ran.out
    assert (ran.session_folder / "b.ipynb").exists()
    assert (ran.session_folder / "b.ipynb.html").exists() == (outcome == "passed")
