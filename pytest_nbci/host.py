"""Which process a session ran in, and whether it still runs: a killed one cannot say so itself."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_nbci.records import Session

# A session that cannot be looked at from here (another machine, another container) and has not
# ended by then will not.
_LONGEST_ELSEWHERE = timedelta(days=1)
# Of the fields after the name in /proc/PID/stat: state and starttime (man 5 proc_pid_stat).
_STATE, _START = 0, 19


def host_of(pid: int) -> dict[str, Any]:
    """Enough to tell later whether the process ``pid``, which runs now, still does.

    Boot id and process id alone do not: a process id is used again, and containers of one machine
    number their processes each for itself.
    """
    found = process_stat(pid)
    return {
        "name": socket.gethostname(),
        "boot": _boot_id(),
        "pids": _pid_namespace(),
        "pid": pid,
        "start": int(found[_START]) if found else None,
    }


def is_dead(session: Session) -> bool:
    """Whether a session without an end will not get one any more."""
    host, here = session.host, host_of(os.getpid())
    is_here = bool(host.get("boot")) and host.get("name") == here["name"]
    if is_here and host["boot"] == here["boot"] and host.get("pids", here["pids"]) == here["pids"]:
        return not _is_alive(host)
    try:
        started = datetime.fromisoformat(session.started_at)
    except ValueError:
        return True
    if is_here and host["boot"] != here["boot"] and started < _booted_at():
        return True  # else it is another machine of the same name
    return datetime.now(UTC) - started > _LONGEST_ELSEWHERE


def _is_alive(host: Mapping[str, Any]) -> bool:
    pid, start = int(host.get("pid") or 0), host.get("start")
    if found := process_stat(pid):
        # One that ended but whose parent never asked how stays in the list as a zombie.
        return found[_STATE] not in (b"Z", b"X") and start in (None, int(found[_START]))
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0


def process_stat(pid: int) -> list[bytes]:
    """What /proc says of a process, from its state on; [] where it is hidden, gone, or no /proc is.

    https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
    """
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return []


def _boot_id() -> str | None:
    """Differs after each start of the machine (man 4 random)."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return None


def _booted_at() -> datetime:
    uptime_s = float(Path("/proc/uptime").read_text("ascii").split()[0])
    return datetime.now(UTC) - timedelta(seconds=uptime_s)


def _pid_namespace() -> str | None:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None
