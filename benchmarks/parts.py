"""Where the time of our own sessions goes, and whether it grows with their number."""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from contenders import TRIVIAL, Set, Tool
from contest import environment_of, measured, write

# A conftest.py: what pytest itself held, and seconds for a notebook at the beginning and the end.
GROWTH = """
import json, resource, time
from pathlib import Path

ENDS = []

def pytest_runtest_logfinish():
    ENDS.append(time.time())

def pytest_unconfigure():
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    first, last = (ENDS[99] - ENDS[0]) / 99, (ENDS[-1] - ENDS[-100]) / 99
    found = {"peak_mb": peak_kb / 1e3, "first_s": first, "last_s": last, "count": len(ENDS)}
    Path("growth.json").write_text(json.dumps(found))
"""


def thousand(ours: Tool) -> list[str]:
    """One session of 1,000 trivial notebooks: what pytest itself holds, and whether it slows."""
    with tempfile.TemporaryDirectory(prefix="nbci-bench-") as folder:
        place = Path(folder, "thousand")
        many = Set("trivial x1000", 1_000, TRIVIAL)
        names = write(place, many, ours)
        (place / "conftest.py").write_text(GROWTH)
        result, error = measured("seconds", place, ours.command(environment_of(ours, many), names))
        if error:
            raise SystemExit(error)
        found = json.loads((place / "growth.json").read_text())
    said = (
        f"One run: {result['wall_s']:.1f} s. The pytest process held at most "
        f"{found['peak_mb']:.0f} MB. A notebook took {found['first_s'] * 1e3:.0f} ms among the "
        f"first hundred, {found['last_s'] * 1e3:.0f} ms among the last."
    )
    return ["## 1,000 trivial notebooks in one session", "", said]


START, BEFORE = (
    "start of Python and pytest, collection",
    "fixtures, test data, settings",
)
IMPORTS = "imports of jupyter_client, papermill, nbclient (snapshot and checkout made meanwhile)"
CHECKOUT, KERNEL = "restored checkout", "waiting for the kernel (begun meanwhile)"
CELLS, STOP = "cells", "end of the kernel"
WRITE, END = "executed notebook, page, record", "end of the session"
PARTS = (START, IMPORTS, CHECKOUT, BEFORE, KERNEL, CELLS, STOP, WRITE, END)
# A conftest.py: seconds of the main thread inside each function without those it calls that are
# timed too.
CLOCK = f"""
import functools, json, threading, time
from pathlib import Path

from pytest_nbci.execution.checkout import Checkout
from pytest_nbci.execution.launcher import Launcher
from pytest_nbci.execution.run import Run
from pytest_nbci.worker import Worker

SPENT, OPEN, FOUND = {{}}, [], {{}}

def timed(owner, name, part):
    inner = getattr(owner, name)

    @functools.wraps(inner)
    def outer(*args, **kwargs):
        if threading.current_thread() is not threading.main_thread():
            return inner(*args, **kwargs)
        begun = time.time()
        OPEN.append(0.0)
        try:
            return inner(*args, **kwargs)
        finally:
            took = time.time() - begun
            SPENT[part] = SPENT.get(part, 0.0) + took - OPEN.pop()
            if OPEN:
                OPEN[-1] += took

    setattr(owner, name, outer)

timed(Checkout, "restore", {CHECKOUT!r})
timed(Launcher, "start", {KERNEL!r})
timed(Run, "execute", {CELLS!r})
timed(Run, "close", {STOP!r})
timed(Worker, "import_client", {IMPORTS!r})
timed(Worker, "expect_notebooks", {IMPORTS!r})
timed(Worker, "write", {WRITE!r})

def pytest_runtest_logstart():
    FOUND["begun"], FOUND["before"] = time.time(), sum(SPENT.values())

def pytest_runtest_logfinish():
    FOUND["ended"] = time.time()
    Path("clock.json").write_text(json.dumps({{**FOUND, "spent": SPENT}}))
"""


def breakdown(ours: Tool, rounds: int) -> list[str]:
    """Where a session of one trivial notebook spends its time, as medians."""
    runs = [clocked(ours) for _ in range(rounds + 1)][1:]
    medians = {part: statistics.median(run[part] for run in runs) for part in PARTS}
    return [
        "## Where the time of one trivial notebook goes",
        "",
        f"{len(runs)} sessions of one notebook, medians.",
        "",
        "| part | ms |",
        "|---|---:|",
        *[f"| {part} | {medians[part] * 1e3:.0f} |" for part in PARTS],
        f"| all | {sum(medians.values()) * 1e3:.0f} |",
    ]


def clocked(ours: Tool) -> dict[str, float]:
    """Seconds of each part of one session."""
    with tempfile.TemporaryDirectory(prefix="nbci-bench-") as folder:
        place = Path(folder, "one")
        one = Set("trivial x1", 1, TRIVIAL)
        names = write(place, one, ours)
        (place / "conftest.py").write_text(CLOCK)
        command = ours.command(environment_of(ours, one), names)
        begun = time.time()
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
        ended = time.time()
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        found = json.loads((place / "clock.json").read_text())
    spent: dict[str, float] = found["spent"]
    inside = sum(spent.values()) - found["before"]
    return spent | {
        START: found["begun"] - begun - found["before"],
        BEFORE: found["ended"] - found["begun"] - inside,
        END: ended - found["ended"],
    }
