"""Collecting 1,000 small notebooks, as a ratio to an empty pytest run; the plugin switched off."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import describe_machine

from pytest_nbci.execution.scratch import remove_tree

NOTEBOOKS, FOLDERS, ROUNDS = 1_000, 50, 5
PLUGINS = ["-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:asyncio"]


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="nbci-bench-"))
    try:
        repository = make_repository(folder / "repository")
        empty = folder / "empty"
        empty.mkdir()
        table = "[tool.pytest.ini_options]\n"
        (empty / "pyproject.toml").write_text(table)
        without, off, collected = [], [], []
        for _ in range(ROUNDS):  # in turn, so that a slow moment hits all
            without.append(timed(empty, "-p", "no:nbci"))
            off.append(timed(empty))
            collected.append(timed(repository, "--collect-only"))
        print(describe_machine())
        print(f"pytest without the plugin:  {statistics.median(without):.2f} s")
        print(f"plugin off:                 {statistics.median(off):.2f} s")
        print(f"{NOTEBOOKS} notebooks collected:   {statistics.median(collected):.2f} s")
        ratio = statistics.median(c / w for c, w in zip(collected, without, strict=True))
        print(f"collected against without:  {ratio:.1f}")
    finally:
        remove_tree(folder)


def make_repository(root: Path) -> Path:
    root.mkdir()
    cell = {"cell_type": "code", "id": "a", "source": "x = 1", "metadata": {}, "outputs": []}
    content = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}
    for number in range(NOTEBOOKS):
        path = root / f"folder{number % FOLDERS}" / f"notebook{number}.ipynb"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
    (root / "pyproject.toml").write_text("[tool.pytest.ini_options]\n\n[tool.nbci]\n")
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    return root


def timed(folder: Path, *arguments: str) -> float:
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *PLUGINS, *arguments],
        cwd=folder,
        capture_output=True,
        check=False,
    )
    assert done.returncode in (0, 5), done.stdout.decode() + done.stderr.decode()
    return time.perf_counter() - begun


if __name__ == "__main__":
    sys.exit(main())
