"""Kills a session at some moment, and looks at what is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_nbci.records import Record, Session
from pytest_nbci.selection.state import State
from pytest_nbci.store import PART_SUFFIX
from tests.project import PLAIN, Project, Ran

ALIVE_S = 5.0  # from a kill until every process of the session is gone


def wait_until(condition: Callable[[], object], limit_s: float = 30) -> bool:
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def processes(scratch: Path) -> dict[int, str]:
    """Living processes with ``scratch`` as temporary folder: a session and all it started."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = path.read_bytes().split(b"\0")
            line = path.with_name("cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if f"TMPDIR={scratch}".encode() in variables:
            found[int(path.parent.name)] = line
    return found


@dataclass
class Running:
    """A pytest session that runs in the background."""

    process: subprocess.Popen[bytes]
    scratch: Path
    output: Path

    def workers(self) -> list[int]:
        """The xdist workers, by their command line."""
        return [
            pid for pid, line in processes(self.scratch).items() if "sys.stdin.readline" in line
        ]

    def all_gone(self, limit_s: float = ALIVE_S) -> bool:
        """Whether every process of the session ends before ``limit_s``."""
        return wait_until(lambda: not processes(self.scratch), limit_s)

    def said(self) -> str:
        return self.output.read_text(errors="replace")


def start(project: Project, *arguments: str, **env: str) -> Running:
    """Start pytest in the project, in a process group of its own; ``close`` ends it."""
    scratch = Path(tempfile.mkdtemp())  # short: a longer one would not be used
    output = scratch / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *PLAIN, "-p", "no:cacheprovider", *arguments],
            cwd=project.root,
            env={**os.environ, **env, "TMPDIR": str(scratch)},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Running(process, scratch, output)


def close(running: Running) -> None:
    """End what is left of it."""
    running.process.kill()
    running.process.wait()
    for pid in processes(running.scratch):
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(running.scratch)


@dataclass(frozen=True)
class Row:
    """A project of ``count`` notebooks, each of which notes that it begins."""

    project: Project
    count: int

    @classmethod
    def make(cls, project: Project, count: int) -> Row:
        row = cls(project, count)
        for name in row.names:
            note = f"with open({str(row.begun_file)!r}, 'a') as file:\n    file.write('{name}\\n')"
            project.notebook(name, note, "import time; time.sleep(0.1); print('done')")
        project.commit()
        return row

    @property
    def names(self) -> list[str]:
        return [f"n{number:02d}.ipynb" for number in range(self.count)]

    @property
    def begun_file(self) -> Path:
        return self.project.root.parent / "begun"

    def forget(self) -> None:
        """As before the first session."""
        shutil.rmtree(self.project.root / ".nbci", ignore_errors=True)
        self.begun_file.unlink(missing_ok=True)

    def begun(self) -> list[str]:
        """Notebooks whose first cell ran, in order."""
        return self.begun_file.read_text().split() if self.begun_file.exists() else []

    def session(self) -> Session | None:
        """The only session's record; None where its plan was not written yet."""
        found = list(self.project.root.glob(".nbci/results/**/_session.json"))
        assert len(found) <= 1
        return Session.from_json(found[0].read_bytes()) if found else None

    def finished(self) -> list[str]:
        """Notebooks with a result, each of which must be whole."""
        found = []
        for path in self.project.root.glob(".nbci/results/**/*.ipynb.json"):
            record = Record.from_json(path.read_bytes())
            if record.outcome == "lost":
                continue
            assert record.outcome == "passed", record.message
            executed = json.loads(path.with_suffix("").read_bytes())
            assert executed["cells"][-1]["outputs"][0]["text"] in ("done\n", ["done\n"])
            page = path.with_suffix(".html").read_text()
            assert page.rstrip().endswith("</html>")
            found.append(record.notebook)
        return sorted(found)

    def strange_files(self) -> list[str]:
        """Files in the results folder that are neither of a result nor temporary ones.

        What passed is kept for the next session; a file of that is whole, or it is not there.
        """
        known = (".ipynb", ".ipynb.html", ".ipynb.json", "_session.json", "index.html", PART_SUFFIX)
        found = self.project.root.glob(".nbci/results/**/*")
        files = [path for path in found if path.is_file() and not path.name.endswith(known)]
        passed = [path for path in files if "_passed" in path.parts]
        assert all(State.from_json(path.read_bytes()).entries for path in passed)
        return [str(path) for path in files if path not in passed]

    def listed(self) -> dict[str, str]:
        """What ``nbci runs`` says of each notebook."""
        command = (sys.executable, "-m", "pytest_nbci.cli", "runs", "--json", "-n", "1000")
        ran: Ran = self.project.run(*command)
        assert ran.code == 0, ran.err
        lines = [json.loads(line) for line in ran.out.splitlines()]
        return {line["notebook"]: line["outcome"] for line in lines}


def check_killed(row: Row, running: Running) -> None:
    """Assert that a serial session whose pytest was killed lost what ran, and nothing else."""
    assert running.all_gone(), processes(running.scratch)
    session, finished, begun = row.session(), row.finished(), row.begun()
    assert row.strange_files() == []
    if session is None:
        assert (finished, begun, row.listed()) == ([], [], {})
        return
    assert [one.notebook for one in session.plan if one.due] == row.names
    missing = [name for name in begun if name not in finished]
    assert missing in ([], begun[-1:])
    if not session.complete:
        expected = {name: "passed" if name in finished else "lost" for name in row.names}
        assert row.listed() == expected


def check_worker_killed(row: Row, running: Running, kills: int) -> None:
    """Assert that an xdist session went on after a worker was killed, and lost what it ran."""
    assert running.all_gone(), processes(running.scratch)
    session, finished = row.session(), row.finished()
    assert session is not None
    assert session.complete, running.said()
    outcomes = {result.notebook: result.outcome for result in session.results}
    lost = [name for name, outcome in outcomes.items() if outcome == "lost"]
    assert sorted(outcomes) == row.names
    assert sorted([*finished, *lost]) == row.names
    assert len(lost) <= kills
    assert session.exit_status == running.process.returncode
    assert not lost or running.process.returncode == 1
    assert all(f"{name} is lost" in running.said() for name in lost)
    assert row.listed() == outcomes
    assert row.strange_files() == []


def moments(length_s: float, rounds: int, random: Callable[[], float]) -> Sequence[float]:
    """Random moments of a session, one in each of ``rounds`` equal parts."""
    return [(number + random()) / rounds * length_s for number in range(rounds)]
