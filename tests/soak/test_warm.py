"""A thousand warm kernels in a row: none lost, nothing left, nothing grows, nothing gets slower."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.project import PLAIN, Project, Ran, without_coverage
from tests.table.session import MARK, left_behind, processes

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc"),
]

KERNELS = int(os.environ.get("NBCI_TEST_KERNELS") or 1_000)
CELLS = 3
# Notebooks at each end that are compared.
WINDOW = max(KERNELS // 10, 5)
MB = 1_000_000
PYTEST_LIMIT = 200 * MB
# One page that is kept for each kernel would be 900 * 4 kB = 3.7 MB.
GROWTH_LIMIT = 3 * MB
SLOWER = 1.5
LONGEST_SESSION_S = 3_600
# What ends on its own after pytest, such as the removal of a folder.
SETTLES_S = 20
SHARED_MEMORY = Path("/dev/shm")

# A line for each notebook, as it ends: the moment, and the memory of the warm server: all that is
# no file's. What is its own alone, and its proportional part, depend on how many kernels share it.
CONFTEST = """
import json, pathlib, re, time
import psutil

def server_bytes():
    return [
        sum(part.anonymous for part in child.memory_maps())
        for child in psutil.Process().children()
        if any(word.endswith("warm_server.py") for word in child.cmdline())
    ]

def pytest_runtest_logfinish(nodeid, location):
    with open("told", "a") as file:
        file.write(json.dumps([time.monotonic(), server_bytes()]) + "\\n")

def pytest_unconfigure():
    status = pathlib.Path("/proc/self/status").read_text()
    pathlib.Path("peak").write_text(re.search(r"VmHWM:\\s+(\\d+)", status)[1])
"""


@dataclass(frozen=True)
class Long:
    """What one session of many notebooks told while it ran, and what was left of it."""

    ran: Ran
    moments: list[float]
    server_bytes: list[list[int]]
    peak_bytes: int
    left: list[str]


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A temporary folder that no other session uses, with a name short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="nb-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def name_of(number: int) -> str:
    return f"n{number:04}.ipynb"


def said(number: int, cell: int) -> str:
    return f"notebook {number}, cell {cell}"


def write(root: Path) -> Project:
    project = Project.create(root)
    project.write("conftest.py", CONFTEST)
    for number in range(KERNELS):
        cells = [f"print({said(number, cell)!r})" for cell in range(CELLS)]
        project.notebook(name_of(number), *cells)
    project.commit()
    return project


def run(project: Project, temporary: Path) -> Long:
    mark, before = uuid.uuid4().hex, set(processes())
    shared = set(SHARED_MEMORY.iterdir())
    environment = {"TMPDIR": str(temporary), MARK: mark, **without_coverage()}
    ran = project.run(
        *(sys.executable, "-m", "pytest", *PLAIN, "-q"), timeout_s=LONGEST_SESSION_S, **environment
    )
    told = [json.loads(line) for line in (project.root / "told").read_text().splitlines()]
    return Long(
        ran,
        [moment for moment, _ in told],
        [sizes for _, sizes in told],
        int((project.root / "peak").read_text()) * 1024,
        left(project.root, temporary, mark, before, shared),
    )


def left(root: Path, temporary: Path, mark: str, before: set[str], shared: set[Path]) -> list[str]:
    """Processes, sockets, files and shared memory of the session, after those had time to end."""
    end = time.monotonic() + SETTLES_S
    while True:
        sockets = [
            line
            for line in Path("/proc/net/unix").read_text().splitlines()
            if f"{temporary}/" in line
        ]
        files = [str(path) for path in temporary.iterdir()]
        memory = [str(path) for path in set(SHARED_MEMORY.iterdir()) - shared]
        found = [*left_behind(root, mark, before), *sockets, *files, *memory]
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.5)


def check(long: Long) -> None:
    ran = long.ran
    assert ran.code == 0, ran.out[-5_000:]
    assert ran.outcomes == {"passed": KERNELS}
    folder = ran.session_folder
    for number in range(KERNELS):
        record = ran.record(name_of(number))
        executed = json.loads((folder / name_of(number)).read_text())
        texts = ["".join(out["text"] for out in cell["outputs"]) for cell in executed["cells"]]
        assert texts == [f"{said(number, cell)}\n" for cell in range(CELLS)], number
        assert record.warnings == (), number  # one would say that a kernel started cold
    assert long.left == []
    assert long.peak_bytes <= PYTEST_LIMIT

    assert [len(sizes) for sizes in long.server_bytes] == [1] * KERNELS  # the same one throughout
    sizes = [size for (size,) in long.server_bytes]
    first, last = (
        statistics.median(some) for some in (sizes[WINDOW : 2 * WINDOW], sizes[-WINDOW:])
    )
    took = [later - sooner for sooner, later in zip(long.moments, long.moments[1:], strict=False)]
    first_s, last_s = sum(took[: WINDOW - 1]), sum(took[-WINDOW + 1 :])
    told = (
        f"server {first / MB:.1f} MB, then {last / MB:.1f} MB; "
        f"pytest's peak {long.peak_bytes / MB:.0f} MB; "
        f"{WINDOW - 1} notebooks in {first_s:.1f} s, then in {last_s:.1f} s; "
        f"{KERNELS} in {long.moments[-1] - long.moments[0]:.0f} s"
    )
    os.write(2, f"{told}\n".encode())
    assert last - first <= GROWTH_LIMIT, told
    assert last_s <= SLOWER * first_s, told


def test_a_thousand_warm_kernels_in_a_row(tmp_path: Path, temporary: Path):
    check(run(write(tmp_path / "p"), temporary))


def test_two_sessions_side_by_side(tmp_path: Path, temporary: Path):
    projects = [write(tmp_path / name) for name in ("p1", "p2")]
    folders = [temporary / name for name in ("1", "2")]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor() as pool:
        both = list(pool.map(run, projects, folders))
    for long in both:
        check(long)
