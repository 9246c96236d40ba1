"""A kernel's guardian: it lives as long as it is wanted, and no descendant outlives it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_nbci.execution.kernel import choose_kernel, kernel_environment
from pytest_nbci.execution.launcher import Launcher, Start
from pytest_nbci.scrub import Secrets

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a subreaper")

# As guardian.py starts, with the site module, so that coverage sees it.
START = "import sys; from pytest_nbci.execution.guardian import main; main(int(sys.argv[1]), sys.argv[2:])"


class Guardian:
    """A guardian process and our end of its socket."""

    def __init__(self, *command: str) -> None:
        self.socket, theirs = socket.socketpair()
        self.socket.settimeout(20)
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, str(theirs.fileno()), *command],
            pass_fds=(theirs.fileno(),),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        theirs.close()
        self._lines = self.socket.makefile("r")

    def line(self) -> list[str]:
        return self._lines.readline().split()

    def end(self) -> int:
        self._lines.close()
        self.socket.close()
        return self.process.wait(20)

    def said(self) -> str:
        return self.process.stdout.read().decode()


@pytest.fixture
def guardian() -> Iterator[type[Guardian]]:
    started: list[Guardian] = []

    def start(*command: str) -> Guardian:
        started.append(Guardian(*command))
        return started[-1]

    yield start
    for one in started:
        one.end()
        one.process.stdout.close()


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


ESCAPES = """
import os, sys, time
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(write, str(os.getpid()).encode())
        os.set_inheritable(1, False)
        os.execve('/bin/sleep', ['sleep', '300'], {})
    os._exit(0)
os.wait()
print(os.read(read, 20).decode(), flush=True)
time.sleep(300)
"""


@linux
@pytest.mark.parametrize("ends", ["kernel", "socket"])
def test_a_double_fork_without_environment_or_session_ends_with_the_kernel(guardian, ends: str):
    one = guardian(sys.executable, "-c", ESCAPES)
    kernel = int(one.line()[1])
    daemon = int(one.process.stdout.readline())
    assert alive(daemon)
    if ends == "kernel":
        os.kill(kernel, signal.SIGTERM)
        assert one.line()[:2] == ["exit", str(int(signal.SIGTERM))]
        assert one.line() == ["done"]
        assert not alive(daemon)
    assert one.end() == 0
    assert not alive(daemon)
    assert not alive(kernel)


@linux
def test_a_kernel_does_not_outlive_the_process_that_wanted_it(guardian):
    one = guardian("sleep", "300")
    kernel = int(one.line()[1])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(one.process.pid, number)
    time.sleep(0.1)
    assert alive(kernel)
    one.end()
    assert not alive(kernel)


@linux
def test_the_memory_of_descendants_counts(guardian):
    hold = "x = bytearray(120_000_000); import time; time.sleep(300)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"
    one = guardian(sys.executable, "-c", parent)
    kernel = int(one.line()[1])
    peak, until = 0, time.monotonic() + 30
    while peak < 120e6 and time.monotonic() < until:
        time.sleep(0.1)
        one.socket.send(b"peak\n")
        word, number = one.line()
        assert word == "peak"
        peak = int(number)
    assert 120e6 < peak < 300e6
    os.kill(kernel, signal.SIGKILL)
    word, status, last = one.line()
    assert (word, os.waitstatus_to_exitcode(int(status))) == ("exit", -signal.SIGKILL)
    assert int(last) >= peak


def test_how_the_kernel_ended_is_told(guardian):
    one = guardian(sys.executable, "-c", "import os; os.abort()")
    one.line()
    assert os.waitstatus_to_exitcode(int(one.line()[1])) == -signal.SIGABRT


def test_a_program_that_does_not_exist_is_named(guardian):
    one = guardian("/no/such/kernel")
    one.line()
    assert os.waitstatus_to_exitcode(int(one.line()[1])) == 127
    one.end()
    assert "/no/such/kernel: No such file" in one.said()


def test_the_kernel_starts_with_default_signals(guardian):
    code = "import signal; print([signal.getsignal(n) for n in (2, 1, 15, 17)][1:])"
    one = guardian(sys.executable, "-c", code)
    one.line()
    one.line()
    one.end()
    assert "SIG_IGN" not in one.said()


@linux
def test_a_question_that_comes_too_late_costs_no_warm_kernel():
    folder = Path(tempfile.mkdtemp(prefix="q"))  # short, for its sockets
    launcher = Launcher(folder, is_warm=True)
    start = Start(choose_kernel(None, "python3", "python"), kernel_environment({}))
    try:
        first, _ = launcher.start(start, folder, {}, Secrets(), 60)
        os.kill(first._process.pid, signal.SIGKILL)
        time.sleep(0.5)
        first._process.socket.send(b"peak\n")  # the end was told, and not yet heard
        assert first.exit().code == -signal.SIGKILL
        first.stop(at_once=True)
        second, warning = launcher.start(start, folder, {}, Secrets(), 60)
        second.stop(at_once=True)
        assert not warning
    finally:
        launcher.close()
        shutil.rmtree(folder, ignore_errors=True)  # kernels remove theirs, too
