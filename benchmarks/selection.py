"""Selection against a ground truth: a generated repository, random commits, every run observed.

The generator knows what each notebook depends on and says after each commit which notebooks must
run. What selection leaves out although it must run is an omission; what it runs although it need
not is needless. Runs are real processes that are observed as the product observes them; with
``--pytest`` each commit is one real ``pytest --nbci-changed``.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from machine import describe_machine
from selection_world import World

from pytest_nbci import settings
from pytest_nbci.delivery import Destination
from pytest_nbci.execution.observe import observe_checkout
from pytest_nbci.execution.scratch import remove_tree
from pytest_nbci.execution.test_data import LaidOver
from pytest_nbci.records import Record, Session, new_session_name
from pytest_nbci.repository import find_repository
from pytest_nbci.selecting import Ground, Selector, analyse
from pytest_nbci.selection import Choice, Readings, gather
from pytest_nbci.trees import TreePart

NEEDLESS_AT_MOST = 0.02
DRIVER = """
import sys
import colorsys  # lists the working folder, as a kernel does when it starts
print("ready", flush=True)
sys.stdin.readline()
import json, runpy, subprocess
scope = {"__name__": "__main__"}
for cell in json.load(open(sys.argv[1]))["cells"]:
    if cell["cell_type"] == "code":
        lines = []
        for line in cell["source"].splitlines():
            if line.startswith("!"):
                line = f"subprocess.run({line[1:]!r}, shell=True, check=True)"
            elif line.startswith("%run "):
                line = f"runpy.run_path({line[5:]!r})"
            lines.append(line)
        exec("import subprocess, runpy\\n" + "\\n".join(lines), scope)
"""


class Checked:
    """The repository on disk, and what selection made of it so far."""

    def __init__(self, root: Path, world: World) -> None:
        self.root = root
        self.world = world
        self.written: dict[str, bytes] = {}
        self.passed: dict[str, set[str]] = {}
        root.mkdir()
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str) -> None:
        """Run git."""
        who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        subprocess.run(["git", *who, *arguments], cwd=self.root, check=True, capture_output=True)

    def commit(self, message: str) -> dict[str, bytes]:
        """Write and commit what the author has; what that is."""
        contents = self.world.contents()
        for path in set(self.written) - set(contents):
            (self.root / path).unlink()
        for path, content in contents.items():
            if self.written.get(path) != content:
                (self.root / path).parent.mkdir(parents=True, exist_ok=True)
                (self.root / path).write_bytes(content)
        self.written = contents
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return contents


def run_here(checked: Checked) -> tuple[Choice, dict[str, bool]]:
    """Choose and run in processes of our own; the choice, and what passed."""
    root = checked.root
    repository = find_repository(root)
    state = root.parent / "state"
    state.mkdir(exist_ok=True)
    destination = Destination(state / "results", state, None, "", None, "x")
    table = settings.read_table(root)
    ground = Ground(repository, table, settings.DataProfile("test"))
    analysis = analyse(ground, [TreePart(root, "HEAD")], state)
    selector = Selector(ground, destination, "app")
    choice = selector.choose(analysis, repository.notebooks())
    session = new_session_name(datetime.now(UTC), repository.head)
    records, outcomes = [], {}
    for decision in choice.decisions:
        if decision.due:
            good, readings = observed_run(root, decision.notebook)
            opened, listed = checked.world.read_by_fixtures(decision.notebook)
            readings = replace(readings, opened=opened, folders={*readings.folders, *listed})
            outcomes[decision.notebook] = good
            evidence = gather(analysis, decision.notebook, readings)
            records.append(
                Record(
                    session=session,
                    project="app",
                    notebook=decision.notebook,
                    outcome="passed" if good else "failed",
                    started_at=datetime.now(UTC).isoformat(),
                    fingerprint=evidence.basis.fingerprint,
                    depends_on=evidence.to_plain(),
                )
            )
    selector.write(analysis, session, records)
    analysis.sources.close()
    return choice, outcomes


def observed_run(root: Path, name: str) -> tuple[bool, Readings]:
    observer = observe_checkout(root, root, LaidOver())
    environment = {**os.environ, "PYTHONPATH": str(root / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(Path(name).name)],
        cwd=(root / name).parent,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    process.stdout.readline()
    observer.kernel_is_ready()
    process.communicate(b"\n")
    seen = observer.finish()
    # The driver reads the notebook itself; the product reads it before it observes.
    files = seen.files - {name}
    readings = Readings(
        files,
        seen.folders,
        seen.outside,
        seen.outside_folders,
        seen.is_complete,
        seen.is_possible,
    )
    return process.returncode == 0, readings


def run_pytest(checked: Checked) -> tuple[Choice, dict[str, bool]]:
    """One real session."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-n", "2", "--nbci-changed"],
        cwd=checked.root,
        env={**os.environ, "PYTHONPATH": f"{checked.root}/src:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout.decode() + done.stderr.decode()
    found = sorted(checked.root.glob(".nbci/results/**/_session.json"), key=os.path.getmtime)
    session = Session.from_json(found[-1].read_bytes())
    note = "everything" if "everything is due" in done.stdout.decode() else ""
    outcomes = {one.notebook: one.outcome == "passed" for one in session.results}
    decisions = tuple(one for one in session.plan)
    return Choice(decisions, note), outcomes  # type: ignore[arg-type]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--notebooks", type=int, default=200)
    parser.add_argument("--modules", type=int, default=60)
    parser.add_argument("--commits", type=int, default=150)
    parser.add_argument("--pytest", action="store_true", help="one real session for each commit")
    options = parser.parse_args()
    print(describe_machine("pyarrow"))
    print(f"seed {options.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="nbci-bench-"))
    begun = time.monotonic()
    try:
        world = World(random.Random(options.seed))
        world.build(options.notebooks, options.modules)
        checked = Checked(folder / "repository", world)
        counts: Counter[str] = Counter()
        for number in range(options.commits + 1):
            what = world.change() if number else "first commit"
            contents = checked.commit(what)
            choice, outcomes = (run_pytest if options.pytest else run_here)(checked)
            judge(checked, Step(what, contents, choice, outcomes), counts)
        return report(counts, time.monotonic() - begun)
    finally:
        remove_tree(folder)


@dataclass(frozen=True)
class Step:
    """One commit: what it changed, what selection said of it, and what passed."""

    what: str
    contents: dict[str, bytes]
    choice: Choice
    outcomes: dict[str, bool]


def judge(checked: Checked, step: Step, counts: Counter[str]) -> None:
    what, choice, outcomes = step.what, step.choice, step.outcomes
    everything = bool(choice.note) or all(one.due for one in choice.decisions)
    counts["commits that made everything due"] += everything
    if everything:
        print(f"everything is due after {what}: {choice.note or choice.decisions[0].why}")
    for decision in choice.decisions:
        name = decision.notebook
        truth = checked.world.truth(name, step.contents)
        must = truth not in checked.passed.setdefault(name, set())
        counts["decisions"] += 1
        counts["runs"] += decision.due
        counts["must run"] += must
        if must and not decision.due:
            counts["omissions"] += 1
            print(f"OMISSION {name} after {what}: {decision.why}", flush=True)
        if decision.due and not must and not everything:
            counts["needless"] += 1
            print(f"needless {name} after {what}: {decision.why}", flush=True)
        counts["runs of other commits"] += decision.due and not everything
        if outcomes.get(name):
            checked.passed[name].add(truth)
        elif name in outcomes:
            checked.passed[name].discard(truth)


def report(counts: Counter[str], took_s: float) -> int:
    for name, count in counts.items():
        print(f"{name}: {count}")
    share = counts["needless"] / max(1, counts["runs of other commits"])
    print(f"needless: {share:.1%} of the runs of commits that did not make everything due")
    print(f"took {took_s:.0f} s")
    return 1 if counts["omissions"] or share > NEEDLESS_AT_MOST else 0


if __name__ == "__main__":
    sys.exit(main())
