"""A kernel that the system kills for lack of memory, apart from one that somebody killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.project import PLAIN, Project, Ran

LIMIT_BYTES = 700_000_000
GROUPS = Path("/sys/fs/cgroup")


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A control group of this machine that may use little memory; version 1 or 2."""
    version_1 = GROUPS / "memory"
    group = (version_1 if version_1.is_dir() else GROUPS) / f"nbci-test-{os.getpid()}"
    name = "memory.limit_in_bytes" if version_1.is_dir() else "memory.max"
    try:
        group.mkdir()
        (group / name).write_text(str(LIMIT_BYTES))
    except OSError as error:
        with suppress(OSError):
            group.rmdir()
        pytest.skip(f"needs root and a memory control group that can be made: {error}")
    yield group
    group.rmdir()


def run_in(group: Path, project: Project) -> Ran:
    """pytest in the project, as a member of the group."""
    join = f"import os, sys; open({str(group / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))"
    command = f"{join}; os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    done = subprocess.run(
        [sys.executable, "-c", command, "-m", "pytest", *PLAIN],
        cwd=project.root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr, project.root)


def test_out_of_memory_is_told_apart_from_a_plain_kill(project: Project, small_group: Path):
    project.notebook("eats.ipynb", "kept = []", "while True:\n    kept.append(bytearray(10**7))")
    project.notebook("killed.ipynb", f"import os\nos.kill(os.getpid(), {int(signal.SIGKILL)})")
    project.notebook("modest.ipynb", "1")
    project.commit()
    ran = run_in(small_group, project)
    assert ran.outcomes == {"failed": 2, "passed": 1}
    eats, killed = ran.record("eats.ipynb"), ran.record("killed.ipynb")
    assert (eats.cause, eats.failed_cell.number) == ("out_of_memory", 2)
    assert "memory ran out; its memory reached" in eats.message
    assert 200e6 < eats.peak_memory_bytes < LIMIT_BYTES
    assert (killed.cause, killed.failed_cell.number) == ("kernel_died", 1)
    assert "SIGKILL" in killed.message
