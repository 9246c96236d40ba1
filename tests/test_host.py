"""Whether a session that did not end still runs: never lost too early, never waited for in vain."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pytest_nbci.host import host_of, is_dead
from pytest_nbci.records import Session

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")


def session(started: datetime | None = None, **host: object) -> Session:
    found = {**host_of(os.getpid()), **host}
    started = started or datetime.now(UTC)
    return Session("s", "p", started_at=started.isoformat(timespec="milliseconds"), host=found)


@pytest.fixture
def zombie() -> Iterator[int]:
    """A process that ended, and whose parent does not ask how."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        stat = Path(f"/proc/{process.pid}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] != "Z":
            pass
        yield process.pid


def test_a_process_that_runs_is_not_dead():
    assert not is_dead(session())
    assert not is_dead(session(datetime.now(UTC) - timedelta(days=9)))


def test_a_process_id_that_another_process_has_now_is_dead():
    assert is_dead(session(start=1))


def test_a_zombie_is_dead(zombie: int):
    assert is_dead(session(**host_of(zombie)))


def test_a_session_in_another_container_of_this_machine_is_left_alone():
    assert not is_dead(session(pids="pid:[1]", pid=2**22 + 1))
    assert is_dead(session(datetime.now(UTC) - timedelta(days=2), pids="pid:[1]"))


def test_a_session_on_another_machine_is_left_alone_also_if_it_has_our_name():
    gone = {"pid": 2**22 + 1, "start": 1}
    assert not is_dead(session(name="elsewhere", **gone))
    assert not is_dead(session(boot="another", **gone))


def test_a_session_from_before_this_machine_started_is_dead():
    uptime_s = float(Path("/proc/uptime").read_text().split()[0])
    before = datetime.now(UTC) - timedelta(seconds=uptime_s + 60)
    assert is_dead(session(before, boot="another"))


def test_what_an_older_version_wrote_is_understood():
    host = host_of(os.getpid())
    old = {name: host[name] for name in ("name", "boot", "pid")}
    assert not is_dead(Session("s", "p", host=old))
    assert is_dead(Session("s", "p", host={**old, "pid": 2**22 + 1}))
