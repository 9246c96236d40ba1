"""kill -9 at random moments, of pytest and of xdist workers: nothing that was done is lost."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.faults.kills import (
    Row,
    check_killed,
    check_worker_killed,
    close,
    moments,
    start,
    wait_until,
)
from tests.project import Project

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc"),
]

NOTEBOOKS = 20
KILLS_OF_PYTEST = 50
KILLS_OF_WORKERS = 20
SEED = int(os.environ.get("NBCI_TEST_SEED") or random.randrange(10**6))


def say(text: str) -> None:
    """A line of progress, whatever pytest captures."""
    os.write(2, f"{text}\n".encode())


def length_s(row: Row, *arguments: str) -> float:
    """How long an undisturbed session takes."""
    row.forget()
    begun = time.monotonic()
    running = start(row.project, *arguments)
    try:
        assert running.process.wait(300) == 0, running.said()
        assert row.finished() == row.names
    finally:
        close(running)
    return time.monotonic() - begun


def test_50_kills_of_pytest(project: Project):
    row = Row.make(project, NOTEBOOKS)
    rng = random.Random(SEED)
    whole_s = length_s(row)
    say(f"seed {SEED} (NBCI_TEST_SEED), a session takes {whole_s:.1f} s")
    for number, after_s in enumerate(moments(whole_s, KILLS_OF_PYTEST, rng.random), 1):
        row.forget()
        running = start(project)
        try:
            time.sleep(after_s)
            running.process.kill()
            running.process.wait()
            check_killed(row, running)
            say(f"kill {number} after {after_s:.2f} s: {len(row.finished())} results, all whole")
        finally:
            close(running)


def test_20_kills_of_xdist_workers(project: Project):
    row = Row.make(project, NOTEBOOKS)
    rng = random.Random(SEED)
    whole_s = length_s(row, "-n", "2")
    say(f"seed {SEED} (NBCI_TEST_SEED), a session takes {whole_s:.1f} s")
    # From the first notebook on: a worker that dies before it has collected is xdist's own matter.
    for number, after_s in enumerate(moments(whole_s / 2, KILLS_OF_WORKERS, rng.random), 1):
        row.forget()
        running = start(project, "-n", "2")
        try:
            assert wait_until(row.begun, 60), running.said()
            time.sleep(after_s)
            workers = running.workers()
            kills = 0
            if workers and running.process.poll() is None:
                os.kill(rng.choice(workers), signal.SIGKILL)
                kills = 1
            running.process.wait(120)
            check_worker_killed(row, running, kills)
            say(f"worker {number} after {after_s:.2f} s: {len(row.finished())} results, all whole")
        finally:
            close(running)
