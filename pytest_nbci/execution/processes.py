"""The processes of a notebook that no guardian ended: found by an environment mark, killed.

A kernel's guardian finds them by the family tree; a notebook can kill its guardian, and a kernel
may have come from another provisioner. The mark, inherited by every child, is read from /proc
where the system has it (Linux), the group is killed everywhere.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

MARK = "NBCI_KERNEL"

_WAIT_S = 5.0


def kill_all(mark: str, group: int | None) -> None:
    """Kill the process group and every process that carries ``NBCI_KERNEL=<mark>``, and wait.

    Returns when none is left, or after 5 s (a process in uninterruptible sleep cannot be killed).
    """
    if group is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline:
        found = marked(mark)
        if not found:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def marked(mark: str) -> list[int]:
    """Living processes whose environment at their start held the mark; [] without /proc."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for name in _numbers(Path("/proc")):
        with contextlib.suppress(OSError):
            if wanted in Path("/proc", name, "environ").read_bytes().split(b"\0"):
                found.append(int(name))
    return found


def _numbers(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir() if path.name.isdigit()]
    except OSError:
        return []
