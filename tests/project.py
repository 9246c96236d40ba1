"""A project under test: files, notebooks, commits, and the real pytest run in it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_nbci.records import Record, Session

# Neighbours are switched on by the tests that are about them.
PLAIN = ("-p", "no:randomly", "-p", "no:asyncio", "-p", "no:rerunfailures", "-p", "no:cov")


@dataclass(frozen=True)
class Cell:
    """A cell of a notebook under test: code unless ``kind`` says otherwise."""

    source: str
    tags: Sequence[str] = ()
    kind: str = "code"


def notebook_json(
    cells: Sequence[str | Cell],
    metadata: Mapping[str, Any] | None = None,
    kernel: str | None = "python3",
    language: str = "python",
) -> dict[str, Any]:
    """An nbformat 4.5 notebook as a fresh Jupyter would save it."""
    kernelspec = {"name": kernel, "language": language, "display_name": str(kernel)}
    found = []
    for number, given in enumerate(cells, 1):
        cell = Cell(given) if isinstance(given, str) else given
        built: dict[str, Any] = {
            "id": f"c{number}",
            "cell_type": cell.kind,
            "source": cell.source,
            "metadata": {"tags": list(cell.tags)} if cell.tags else {},
        }
        if cell.kind == "code":
            built |= {"outputs": [], "execution_count": None}
        found.append(built)
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {**({"kernelspec": kernelspec} if kernel else {}), **(metadata or {})},
        "cells": found,
    }


@dataclass(frozen=True)
class Ran:
    """What a run of pytest (or another command) left for its user to see."""

    code: int
    out: str
    err: str
    root: Path

    @property
    def outcomes(self) -> dict[str, int]:
        """``{"passed": 2, "failed": 1}`` from pytest's last line."""
        last = next(
            line for line in reversed(self.out.splitlines()) if re.search(r" in [\d.:]+", line)
        )
        found = re.findall(r"(\d+) (passed|failed|error|skipped|deselected|xfailed|warning)", last)
        return {word: int(number) for number, word in found}

    @property
    def session_folder(self) -> Path:
        """The newest session's folder."""
        found = sorted(self.root.glob(".nbci/results/**/_session.json"), key=os.path.getmtime)
        return found[-1].parent

    @property
    def session(self) -> Session:
        """The newest session's record."""
        return Session.from_json((self.session_folder / "_session.json").read_text())

    def record(self, notebook: str) -> Record:
        """The newest record of ``notebook``."""
        return Record.from_json((self.session_folder / f"{notebook}.json").read_text())

    def executed(self, notebook: str) -> dict[str, Any]:
        """The newest executed notebook."""
        data: dict[str, Any] = json.loads((self.session_folder / notebook).read_text())
        return data

    def text_of(self, notebook: str) -> str:
        """All stream text of the executed notebook."""
        outputs = [
            out for cell in self.executed(notebook)["cells"] for out in cell.get("outputs", ())
        ]
        return "".join("".join(out["text"]) for out in outputs if out["output_type"] == "stream")


@dataclass(frozen=True)
class Project:
    """A git repository with one project in its top folder."""

    root: Path

    @classmethod
    def create(cls, root: Path) -> Project:
        """A new repository with an empty table."""
        root.mkdir(parents=True)
        project = cls(root)
        project.git("init", "-q", "-b", "main")
        project.git("config", "user.name", "Ada Lovelace")
        project.git("config", "user.email", "ada@example.org")
        project.table("")
        return project

    def git(self, *arguments: str) -> str:
        """Run git; its standard output."""
        done = subprocess.run(
            ["git", *arguments], cwd=self.root, check=True, capture_output=True, text=True
        )
        return done.stdout

    def write(self, name: str, text: str | bytes) -> Path:
        """Write a file, not yet added to git."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def table(self, text: str) -> None:
        """Replace pyproject.toml by one with this ``[tool.nbci]`` table."""
        self.write("pyproject.toml", f"[tool.pytest.ini_options]\n\n[tool.nbci]\n{text}\n")

    def notebook(self, name: str, *cells: str | Cell, **kwargs: Any) -> Path:
        """Write a notebook, not yet added to git."""
        return self.write(name, json.dumps(notebook_json(cells, **kwargs), indent=1))

    def commit(self, message: str = "Change something") -> str:
        """Add and commit everything; the commit's id."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD").strip()

    def pytest(
        self, *arguments: str, cwd: Path | None = None, plugins: Sequence[str] = PLAIN, **env: str
    ) -> Ran:
        """Run the real pytest in the project, in a process of its own."""
        return self.run(sys.executable, "-m", "pytest", *plugins, *arguments, cwd=cwd, **env)

    def run(
        self, *command: str, cwd: Path | None = None, timeout_s: float = 300, **env: str
    ) -> Ran:
        """Run any command in the project."""
        done = subprocess.run(
            command,
            cwd=cwd or self.root,
            env={**os.environ, **env},
            check=False,
            capture_output=True,
            timeout=timeout_s,
        )
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        return Ran(done.returncode, out, err, self.root)

    def state(self) -> dict[str, bytes]:
        """Every file's bytes, ``.git`` included, ``.nbci`` and caches left out."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            name = path.relative_to(self.root).as_posix()
            if path.is_file() and not re.search(r"(^|/)(\.nbci|__pycache__|\.pytest_cache)/", name):
                found[name] = path.read_bytes()
        return found


def without_coverage() -> dict[str, str]:
    """Variables for a run that is not measured.

    Coverage has a handler for SIGTERM, which interrupts what a test is about, and hangs now and
    then where a notebook forks workers.
    """
    return dict.fromkeys((name for name in os.environ if name.startswith("COVERAGE_")), "")
