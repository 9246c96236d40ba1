"""Private checkout: making it, and restoring it after a notebook that wrote into it."""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from machine import describe_machine

from pytest_nbci.execution.checkout import Checkout, make_snapshot
from pytest_nbci.execution.scratch import remove_tree
from pytest_nbci.repository import find_repository, run_git

FILES, SIZE_BYTES, ROUNDS = 1_000, 50_000_000, 21


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="nbci-bench-"))
    try:
        repository = make_repository(folder / "repository")
        begun = time.perf_counter()
        snapshot = make_snapshot(repository, folder / "snapshot")
        made = time.perf_counter()
        checkout = Checkout(snapshot, folder / "checkout")
        checkout.restore()
        first = time.perf_counter()
        clean = [timed(checkout) for _ in range(ROUNDS)]
        dirty = []
        for number in range(ROUNDS):
            spoil(checkout.top, number)
            dirty.append(timed(checkout))
        print(describe_machine())
        print(f"repository: {FILES} files, {SIZE_BYTES / 1e6:.0f} MB")
        print(f"snapshot:                     {1000 * (made - begun):7.1f} ms")
        print(f"first checkout:               {1000 * (first - made):7.1f} ms")
        print(f"restore, nothing changed:     {1000 * statistics.median(clean):7.1f} ms (median)")
        print(f"restore, 5 files changed:     {1000 * statistics.median(dirty):7.1f} ms (median)")
        print(f"restore against first checkout: 1/{(first - made) / statistics.median(dirty):.0f}")
    finally:
        remove_tree(folder)


def make_repository(root: Path):
    root.mkdir()
    generator = random.Random(1)
    for number in range(FILES):
        path = root / f"folder{number % 40}" / f"file{number}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(generator.randbytes(SIZE_BYTES // FILES))
    run_git(root, ["init", "-q"])
    run_git(root, ["add", "-A"])
    who = ["-c", "user.name=b", "-c", "user.email=b@example.org"]
    run_git(root, [*who, "commit", "-q", "-m", "data"])
    return find_repository(root)


def spoil(top: Path, number: int) -> None:
    """What a careless notebook does: overwrite, delete, add, ignored files too."""
    (top / "folder1" / "file1.csv").write_bytes(os.urandom(50_000))
    (top / "folder2" / "file2.csv").unlink()
    (top / "folder3" / f"new{number}.csv").write_text("1,2")
    (top / "results").mkdir(exist_ok=True)
    (top / "results" / "out.csv").write_text("1,2")
    (top / "folder4" / "__pycache__").mkdir(exist_ok=True)


def timed(checkout: Checkout) -> float:
    begun = time.perf_counter()
    checkout.restore()
    return time.perf_counter() - begun


if __name__ == "__main__":
    sys.exit(main())
