"""How fast floods of output go through, and what memory they take in pytest and in the kernel.

    python benchmarks/outputs.py

Each flood is the one cell of a notebook, run by a pytest of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import describe_machine

from pytest_nbci.execution.scratch import remove_tree

FLOODS = {
    "nothing": "",
    "200 MB in lines of 100 bytes": "block = ('x' * 99 + '\\n') * 1_000\n"
    "for i in range(2_000): print(block, end='')",
    "200 MB in one line": "print('x' * 200_000_000)",
    "200 MB by a subprocess": "import subprocess\n"
    "subprocess.run(['sh', '-c', 'yes 0123456789 | head -c 200000000'])",
    "100,000 small prints": "for i in range(100_000): print(i)",
    "10,000 flushed prints": "for i in range(10_000): print(i, flush=True)",
    "10,000 display_data": "for i in range(10_000): display(i)",
    "one figure of 50 MB": "display({'image/png': 'iVBO' * 12_500_000}, raw=True)",
}


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="nbci-bench-"))
    try:
        print(describe_machine("ipykernel", "nbclient", "pyzmq"))
        print(f"{'output of one cell':30} {'cell, s':>9} {'pytest, MB':>11} {'kernel, MB':>11}")
        for number, (name, source) in enumerate(FLOODS.items()):
            seconds, pytest_mb, kernel_mb = run(folder / str(number), source or "1")
            print(f"{name:30} {seconds:9.2f} {pytest_mb:11.0f} {kernel_mb:11.0f}")
    finally:
        remove_tree(folder)


def run(repository: Path, source: str) -> tuple[float, float, float]:
    """Seconds of the notebook; peak memory of pytest and of the kernel, in MB."""
    repository.mkdir()
    cell = {"id": "a", "cell_type": "code", "source": source, "metadata": {}}
    content = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": {"name": "python3", "language": "python"}},
        "cells": [cell | {"outputs": [], "execution_count": None}],
    }
    (repository / "flood.ipynb").write_text(json.dumps(content))
    (repository / "pyproject.toml").write_text("[tool.nbci]\n")
    subprocess.run(["git", "init", "-q"], cwd=repository, check=True)
    subprocess.run(["git", "add", "."], cwd=repository, check=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:asyncio", "flood.ipynb"],
        cwd=repository,
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    (record,) = repository.glob(".nbci/results/**/flood.ipynb.json")
    found = json.loads(record.read_text())
    assert found["outcome"] == "passed", found["message"]
    return found["duration_s"], usage.ru_maxrss / 1000, found["peak_memory_bytes"] / 1_000_000


if __name__ == "__main__":
    main()
