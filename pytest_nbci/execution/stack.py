"""The Python stacks of a kernel that hangs, also of one that hangs in C code.

Python's ``faulthandler`` writes them from a signal handler, which needs neither the interpreter's
lock nor a debugger's rights: https://docs.python.org/3/library/faulthandler.html
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_nbci.host import process_stat

# A signal that libraries do not use; systems without real-time signals get no stacks.
STACK_SIGNAL: int | None = signal.SIGRTMAX - 3 if hasattr(signal, "SIGRTMAX") else None

_ANSWER_S = 1.0
_QUIET_S = 0.05
_STATES = {
    "R": "it was computing",
    "S": "it was waiting",
    "D": "it was waiting for a disk or a network drive",
    "T": "it was stopped by a signal",
    "t": "a debugger held it",
}
# https://docs.python.org/3/library/faulthandler.html (the form of its dump)
_FRAME = re.compile(r'\s+File "(.*)", line (\d+) in (.*)')


@dataclass(frozen=True)
class Hang:
    """A kernel that did not come to an end: what its process did, and faulthandler's dump."""

    state: str = ""
    dump: str = ""


@dataclass(frozen=True)
class Call:
    """One frame of a stack: the file as a reader knows it, the line, the function."""

    file: str
    line: int
    function: str
    is_own: bool

    def __str__(self) -> str:
        """``cell 2, line 3 in load``."""
        return f"{self.file}, line {self.line} in {self.function}"


def stack_line(path: Path) -> str:
    """A line of Python by which a kernel will write its stacks to ``path`` when it is asked."""
    if STACK_SIGNAL is None:
        return ""
    return (
        f"__import__('faulthandler').register({STACK_SIGNAL}, "
        f"__import__('io').open({str(path)!r}, 'wb', 0))"
    )


def ask_for_stack(pid: int, path: Path) -> str:
    """What the process ``pid``, which ran ``stack_line``, writes to ``path``; "" if nothing."""
    assert STACK_SIGNAL is not None  # noqa: S101 - nobody asks where there is no such signal
    if not path.exists():
        return ""  # without the handler, the signal would kill
    with suppress(OSError):
        os.kill(pid, STACK_SIGNAL)
    deadline = time.monotonic() + _ANSWER_S
    said = b""
    while time.monotonic() < deadline:
        time.sleep(_QUIET_S)
        now = path.read_bytes()
        if now and now == said:
            break
        said = now
    return said.decode(errors="replace")


def state(pid: int) -> str:
    """What the process does, as half a sentence; "" where the system does not say."""
    found = process_stat(pid)
    return _STATES.get(found[0].decode(), "") if found else ""


def stacks(dump: str, own_name: Callable[[str], str | None]) -> list[list[Call]]:
    """The stacks that tell something, innermost call first, the main thread's first.

    Args:
        dump: What faulthandler wrote.
        own_name: The name of a file that is the reader's own (``cell 2``, ``src/train.py``).

    The calls that led into the reader's code are the kernel's, and left out; so are the kernel's
    own threads.
    """
    threads: list[list[Call]] = []
    for line in dump.splitlines():
        match = _FRAME.fullmatch(line)
        if match and threads:
            name = own_name(match[1])
            threads[-1].append(Call(name or match[1], int(match[2]), match[3], name is not None))
        elif "hread 0x" in line:
            threads.append([])
    threads.reverse()  # faulthandler begins with the youngest
    found = []
    for number, calls in enumerate(threads):
        own = [index for index, call in enumerate(calls) if call.is_own]
        if own or number == 0:
            found.append(calls[: own[-1] + 1] if own else calls)
    return found


def tell(threads: list[list[Call]]) -> str:
    """The stacks as text."""
    parts = []
    for number, calls in enumerate(threads):
        called = "main thread" if number == 0 else "another thread"
        parts.append(f"{called}, innermost call first:")
        parts += [f"  {call}" for call in calls]
    return "\n".join(parts)
