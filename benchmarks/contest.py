"""The tools of contenders.py on their notebooks: environments, repositories, measured runs."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from contenders import HERE, OURS, ROOT, Set, Tool

from pytest_nbci.execution.scratch import remove_tree
from pytest_nbci.repository import run_git

VENVS = HERE / ".venvs"


@dataclass(frozen=True)
class Measured:
    """Medians of one tool's runs of one set, or why it has none."""

    set: str
    options: str
    tool: str
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_mb: float = 0.0
    runs_s: tuple[float, ...] = ()
    problem: str = ""


Found = Mapping[tuple[str, str, str], Measured]


def environment_of(tool: Tool, notebooks: Set) -> Path:
    """Where the programs of the tool's own environment lie; made when it is not as it should be.

    All have the versions of requirements.lock, as far as it knows a package.
    """
    folder, lock = VENVS / (tool.venv + notebooks.suffix), ROOT / "requirements.lock"
    packages = [*tool.packages, *notebooks.requirements]
    stamp = hashlib.sha256(lock.read_bytes() + repr(packages).encode()).hexdigest()
    ready = folder / "ready"
    if not ready.exists() or ready.read_text() != stamp:
        print(f"making {folder.name} below {VENVS.name}", file=sys.stderr)
        venv.create(folder, clear=True)
        if packages[0] == OURS:
            packages[:1] = ["--editable", str(ROOT)]
        pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")]
        install = [*pip, "install", "--quiet", "--disable-pip-version-check", "-c", str(lock)]
        subprocess.run([*install, *packages], check=True)
        ready.write_text(stamp)
    return folder / "bin"


def run_set(
    notebooks: Set, flags: Sequence[str], tools: Sequence[Tool], rounds: int
) -> Iterator[Measured]:
    """All tools on one set, in turns, so that a slow minute of the machine hits all alike.

    A first round fills caches and measures the memory. A run that fails is repeated (kernels that
    start side by side may take each other's ports); who fails twice in a row is out.
    """
    runs: dict[str, list[dict[str, float]]] = {tool.name: [] for tool in tools}
    problems: dict[str, str] = {}
    options = " ".join(flags)
    with tempfile.TemporaryDirectory(prefix="nbci-bench-") as folder:
        for number in range(rounds + 1):
            for tool in [tool for tool in tools if tool.name not in problems]:
                place = Path(folder, tool.name.replace(" ", "-"))
                what = "seconds" if number else "memory"
                for _ in range(2):
                    names = write(place, notebooks, tool)
                    command = tool.command(environment_of(tool, notebooks), names)
                    result, error = measured(what, place, [*command, *flags])
                    if not tool.keeps_folder:
                        remove_tree(place)
                    if not error:
                        break
                if error:
                    print(f"{tool.name} failed on {notebooks.name}:\n{error}", file=sys.stderr)
                    said = [line.strip() for line in error.splitlines() if line.strip()]
                    problems[tool.name] = said[-1] if said else "no output"
                    continue
                runs[tool.name].append(result)
                seconds = f"{result['wall_s']:.2f} s"
                print(f"{notebooks.name} {options} {tool.name}: {seconds}", file=sys.stderr)
    for tool in tools:
        timed = runs[tool.name][1:]
        if tool.name in problems or not timed:
            problem = problems.get(tool.name, "no rounds")
            yield Measured(notebooks.name, options, tool.name, problem=problem)
            continue
        wall, cpu = (statistics.median(run[key] for run in timed) for key in ("wall_s", "cpu_s"))
        walls, peak = tuple(run["wall_s"] for run in timed), runs[tool.name][0]["peak_mb"]
        yield Measured(notebooks.name, options, tool.name, wall, cpu, peak, walls)


def measured(what: str, place: Path, command: Sequence[str]) -> tuple[dict[str, float], str]:
    """What ``measure.py`` found, and what a command that failed said."""
    measure = [sys.executable, str(HERE / "measure.py"), what, str(place), *command]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(measure, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        return {}, done.stderr or "measure.py failed"
    result = json.loads(done.stdout)
    return result, (done.stderr or f"exit code {result['code']}") if result["code"] else ""


def write(place: Path, notebooks: Set, tool: Tool) -> list[str]:
    """A git repository with the notebooks, whose names it returns, and the same as scripts."""
    if place.exists():
        return [path.name for path in sorted(place.glob("*.ipynb"))]
    place.mkdir()
    if notebooks.cells:
        for number in range(notebooks.count):
            name = f"notebook{number:04}"
            (place / f"{name}.ipynb").write_text(notebook(notebooks.cells))
            (place / f"{name}.py").write_text("\n".join(notebooks.cells) + "\n")
    else:
        copy_examples(place)
    (place / "pyproject.toml").write_text(f"[tool.pytest.ini_options]\n{tool.configuration}")
    commit(place)
    return sorted(path.relative_to(place).as_posix() for path in place.rglob("*.ipynb"))


def notebook(cells: Sequence[str]) -> str:
    fresh = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    content = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": kernelspec},
        "cells": [fresh | {"id": f"c{index}", "source": cell} for index, cell in enumerate(cells)],
    }
    return json.dumps(content)


def copy_examples(place: Path) -> None:
    """The examples with their data in place, since only ours lays test data over them."""
    examples = ROOT / "examples"
    for name in ("notebooks", "reports", "src"):
        leave_out = shutil.ignore_patterns("conftest.py", "__pycache__", ".*")
        shutil.copytree(examples / name, place / name, ignore=leave_out)
    shutil.copy(examples / "train.ipynb", place)
    shutil.copytree(examples / "testdata" / "data", place / "data")
    with (place / "data" / "train.csv").open(newline="") as file:
        visits = list(csv.DictReader(file))
    names = ["patient", "visit", "progression", "predicted"]
    with (place / "data" / "predictions.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, names, extrasaction="ignore")
        table.writeheader()
        table.writerows(visit | {"predicted": visit["progression"]} for visit in visits)


def commit(place: Path) -> None:
    run_git(place, ["init", "-q"])
    run_git(place, ["add", "-A"])
    run_git(place, ["-c", "user.name=b", "-c", "user.email=b@example.org", "commit", "-qm", "x"])
