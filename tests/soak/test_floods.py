"""Floods of full size: the memory of pytest and of the kernel stays bounded, nothing else suffers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_nbci.records import Record
from tests.project import Project

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc"),
]

MB = 1_000_000
PYTEST_LIMIT = 300 * MB
# A bare kernel takes 55 MB; what a case holds itself comes on top.
KERNEL_LIMIT = 120 * MB
# wait4's figure would be the highest of pytest and of all that it waited for.
CONFTEST = """
import pathlib, resource

def pytest_unconfigure():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pathlib.Path("peak").write_text(str(peak * 1024))
"""

# 100 MB in each second, as far as the machine can.
STEADY = """
import time
block = ("y" * 99 + "\\n") * 1_000
begun = time.monotonic()
for n in range(10_000):
    print(block, end="")
    time.sleep(max(0, begun + n / 1_000 - time.monotonic()))
    if time.monotonic() > begun + 10:
        break
print("sent", n)
"""
CASES = {
    "steady": (STEADY, "sent", KERNEL_LIMIT),
    "printed": ("for i in range(2_000): print('x' * 99_999)\nprint('end')", "end", KERNEL_LIMIT),
    "one_line": ("print('x' * 200_000_000)\nprint('end')", "end", KERNEL_LIMIT + 400 * MB),
    "displays": ("for i in range(100_000): display(i)\nprint('end')", "end", KERNEL_LIMIT),
    "figure": (
        "display({'image/png': 'iVBO' * 12_500_000}, raw=True)\nprint('end')",
        "end",
        KERNEL_LIMIT + 300 * MB,
    ),
    "subprocess": (
        (
            "import subprocess\nsubprocess.run(['sh', '-c', 'yes 0123456789 | head -c 200000000'])\n"
            "print('end')"
        ),
        "end",
        KERNEL_LIMIT,
    ),
}


@dataclass(frozen=True)
class Flood:
    """What a flood left behind."""

    record: Record
    next_record: Record
    text: str
    pytest_bytes: int


def run(folder: Path, cell: str) -> Flood:
    project = Project.create(folder / "project")
    project.notebook("a.ipynb", cell)
    project.notebook("b.ipynb", "print('unaffected')")
    project.write("conftest.py", CONFTEST)
    project.commit()
    project.pytest("--nbci-timeout", "300")
    (a,) = project.root.glob(".nbci/results/**/a.ipynb.json")
    (b,) = project.root.glob(".nbci/results/**/b.ipynb.json")
    return Flood(
        Record.from_json(a.read_text()),
        Record.from_json(b.read_text()),
        a.with_suffix("").read_text(),
        int((project.root / "peak").read_text()),
    )


@pytest.mark.parametrize("name", CASES)
def test_a_flood_takes_bounded_memory(tmp_path: Path, name: str):
    cell, last, kernel_limit = CASES[name]
    flood = run(tmp_path, cell)
    assert flood.record.outcome == "passed", flood.record.message
    assert len(flood.record.warnings) == 1
    assert "left out by nbci (output_limit = 8 MB)" in flood.text
    assert re.search(rf"{last}[ \d]*\\n", flood.text)
    assert flood.pytest_bytes < PYTEST_LIMIT
    assert flood.record.peak_memory_bytes is not None
    assert flood.record.peak_memory_bytes < kernel_limit
    assert flood.next_record.outcome == "passed"
    assert flood.next_record.duration_s < 5
    assert flood.next_record.warnings == ()
