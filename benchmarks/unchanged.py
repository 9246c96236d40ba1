"""An unchanged repository of 1,000 notebooks: a whole ``pytest --nbci --nbci-changed``.

With NBCI_STORE and the AWS variables set (a MinIO, say), a run against that store is measured too.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from machine import describe_machine

from pytest_nbci import settings
from pytest_nbci.delivery import Destination
from pytest_nbci.execution.scratch import remove_tree
from pytest_nbci.records import Record, new_session_name, utc_now
from pytest_nbci.repository import find_repository
from pytest_nbci.selecting import Ground, Selector, analyse
from pytest_nbci.selection import Readings, gather
from pytest_nbci.store import open_s3_store
from pytest_nbci.trees import TreePart

NOTEBOOKS, FOLDERS, MODULES, ROUNDS = 1_000, 50, 60, 5
PLUGINS = ["-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:asyncio"]
PROJECT = "unchanged"


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="nbci-bench-"))
    try:
        repository = make_repository(folder / "repository")
        passed = let_pass(repository)
        empty = folder / "empty"
        empty.mkdir()
        (empty / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
        stores = {"folder": "", **({"S3": url} if (url := os.environ.get("NBCI_STORE")) else {})}
        print(describe_machine("boto3"))
        for name, url in stores.items():
            if url:
                open_s3_store(url, "NBCI_STORE").put(
                    passed.relative_to(repository / ".nbci/results").as_posix(), passed
                )
            timed(repository, url, "--nbci", "--nbci-changed")  # the first one fills caches
            ratios = []
            for _ in range(ROUNDS):
                without = timed(empty, "", "-p", "no:nbci")
                ratios.append(timed(repository, url, "--nbci", "--nbci-changed") / without)
            print(
                f"{NOTEBOOKS} unchanged notebooks, {name}: {statistics.median(ratios):.1f} x empty"
            )
    finally:
        remove_tree(folder)


def make_repository(root: Path) -> Path:
    for number in range(MODULES):
        path = root / "src" / "pkg" / f"m{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        below = "".join(f"from pkg import m{one}\n" for one in range(max(0, number - 2), number))
        path.write_text(f"{below}def f():\n    return {number}\n")
    (root / "src/pkg/__init__.py").write_text("")
    for number in range(NOTEBOOKS):
        source = f"from pkg.m{number % MODULES} import f\nprint(open('data.csv').read())"
        cell = {"cell_type": "code", "id": "a", "source": source, "metadata": {}, "outputs": []}
        content = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}
        path = root / f"folder{number % FOLDERS}" / f"notebook{number}.ipynb"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
        (path.parent / "data.csv").write_text("1\n")
    (root / "pyproject.toml").write_text("[tool.pytest.ini_options]\n\n[tool.nbci]\n")
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "First"]):
        subprocess.run(["git", *who, *command], cwd=root, check=True)
    return root


def let_pass(root: Path) -> Path:
    """What a session in which all notebooks pass remembers, without the session."""
    state = root / ".nbci"
    state.mkdir()
    (state / ".gitignore").write_text("*\n")
    repository = find_repository(root)
    ground = Ground(repository, settings.read_table(root), settings.DataProfile("test"))
    analysis = analyse(ground, [TreePart(root, "HEAD")], state)
    selector = Selector(ground, Destination(state / "results", state, None, "", None, "x"), PROJECT)
    records = []
    for name in repository.notebooks():
        read = Readings({f"{Path(name).parent}/data.csv", "src/pkg/__init__.py"}, {"src/pkg"})
        evidence = gather(analysis, name, read)
        records.append(
            Record(
                session="s",
                project=PROJECT,
                notebook=name,
                outcome="passed",
                started_at=utc_now(),
                fingerprint=evidence.basis.fingerprint,
                depends_on=evidence.to_plain(),
            )
        )
    selector.write(analysis, new_session_name(datetime.now(UTC), repository.head), records)
    analysis.sources.close()
    return next((state / "results").rglob("*.json"))


def timed(folder: Path, store: str, *arguments: str) -> float:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CI_")}
    variables = {"NBCI_STORE": store, "MLFLOW_TRACKING_URI": "off", "CI_PROJECT_PATH": PROJECT}
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *PLUGINS, *arguments],
        cwd=folder,
        env={**kept, **variables},
        capture_output=True,
        check=False,
    )
    took = time.perf_counter() - begun
    said = done.stdout.decode() + done.stderr.decode()
    assert done.returncode in (0, 5), said
    assert "--nbci" not in arguments or f"0 of {NOTEBOOKS} notebooks due" in said, said
    return took


if __name__ == "__main__":
    sys.exit(main())
