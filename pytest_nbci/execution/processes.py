"""Every process that a notebook started: found by an environment mark, killed, awaited.

A process group misses what called ``setsid`` or forked twice; the mark, inherited by every child,
is read from /proc where the system has it (Linux), the group is killed everywhere.
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
    children = _descendants(group) if group is not None else []
    if group is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    for pid in children:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
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


def _descendants(pid: int) -> list[int]:
    """Processes below ``pid`` that are not orphans yet, also those that dropped the mark."""
    parents: dict[int, list[int]] = {}
    for name in _numbers(Path("/proc")):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The name in parentheses may hold anything: man 5 proc_pid_stat.
            fields = Path("/proc", name, "stat").read_bytes().rpartition(b")")[2].split()
            parents.setdefault(int(fields[1]), []).append(int(name))
    found, pending = [], [pid]
    while pending:
        below = parents.get(pending.pop(), [])
        found += below
        pending += below
    return found


def peak_memory_bytes(pid: int) -> int | None:
    """Highest resident memory of the process so far; None where the system does not say.

    VmHWM, in kB: https://man7.org/linux/man-pages/man5/proc_pid_status.5.html
    """
    try:
        lines = Path("/proc", str(pid), "status").read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(found[0]) * 1024 if found else None


def _numbers(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir() if path.name.isdigit()]
    except OSError:
        return []
