"""Whether the system killed a process for lack of memory, as its counters tell."""

from __future__ import annotations

from pathlib import Path

_CONTROL_GROUPS = Path("/sys/fs/cgroup")


def out_of_memory_kills() -> int | None:
    """Processes that were killed for lack of memory so far; None where the system does not count.

    Counted in this process's control group where it has one, else on the whole machine. Version 2:
    https://docs.kernel.org/admin-guide/cgroup-v2.html (memory.events), version 1:
    https://docs.kernel.org/admin-guide/cgroup-v1/memory.html (memory.oom_control),
    the machine: oom_kill of /proc/vmstat.
    """
    return next((count for path in _counters() if (count := _read(path)) is not None), None)


def was_out_of_memory(kills_before: int | None) -> bool:
    """Whether a process was killed since ``out_of_memory_kills`` gave ``kills_before``."""
    now = out_of_memory_kills()
    return None not in (now, kills_before) and now != kills_before


def _counters() -> list[Path]:
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        # hierarchy:controllers:path, man 7 cgroups. In a container the path may be the host's.
        _, controllers, path = line.split(":", 2)
        inside = path.lstrip("/")
        if controllers == "memory":
            base = _CONTROL_GROUPS / "memory"
            found += [base / inside / "memory.oom_control", base / "memory.oom_control"]
        elif not controllers:
            found += [
                _CONTROL_GROUPS / inside / "memory.events",
                _CONTROL_GROUPS / "memory.events",
            ]
    return [*found, Path("/proc/vmstat")]


def _read(path: Path) -> int | None:
    try:
        words = path.read_text().split()
    except OSError:
        return None
    pairs = dict(zip(words[::2], words[1::2], strict=False))
    return int(pairs["oom_kill"]) if "oom_kill" in pairs else None
