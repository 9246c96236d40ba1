"""Warm kernels: forked by a server that has imported what a kernel and its notebook import.

Each notebook still has a process of its own. A server is one for an environment and a set of
imported modules; the three used last are kept, and each is forked from the first, whose imports
it shares. warm_server.py is the other side.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from pytest_nbci.execution.preload import Wanted
from pytest_nbci.execution.processes import MARK

_SERVER = Path(__file__).with_name("warm_server.py")
_KEPT = 3
_END_S = 2.0
_LONGEST = 1 << 20


@dataclass(frozen=True)
class Spare:
    """A forked kernel that waits for its order.

    Attributes:
        connection: Its guardian's socket.
        channel: Where its order goes.
        environment: The variables of its server; the kernel itself has set others meanwhile.
        give_back: Takes the connection of a guardian that is free again.
    """

    connection: socket.socket
    channel: socket.socket
    environment: Mapping[str, str]
    give_back: Callable[[socket.socket], None]

    async def order(self, cwd: str, environment: Mapping[str, str]) -> None:
        """Let it run in ``cwd``, with those of the variables that its server lacks.

        Raises:
            OSError: It ended.
        """
        own = dict(environment.items() - self.environment.items())
        data = json.dumps({"cwd": cwd, "environment": own}).encode()
        loop = asyncio.get_running_loop()
        with self.channel:
            self.channel.setblocking(False)  # noqa: FBT003 - the library's interface
            await loop.sock_sendall(self.channel, data + b"\n")
            if not await loop.sock_recv(self.channel, 1):
                raise OSError("it ended before it was ready")

    def discard(self) -> None:
        """End it."""
        _hang_up(self.channel)
        _hang_up(self.connection)


class WarmServers:
    """The servers of one worker; ``close`` ends them with every kernel of theirs.

    Args:
        environment: The variables of its kernels, those apart that each kernel has for itself.
        log: A file for what a server writes.
    """

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self.environment = dict(environment)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, str(_SERVER), str(theirs.fileno())],
                env={**environment, MARK: "server"},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._servers: dict[Wanted, socket.socket] = {(): ours}
        self._free: dict[Wanted, list[socket.socket]] = {}  # guardians without a kernel

    @cached_property
    def import_paths(self) -> list[str]:
        """Paths from which kernels would import.

        Raises:
            OSError: The server is gone.
        """
        said = self._servers[()].recv(_LONGEST)
        if not said:
            raise OSError("it ended at its start")
        found: list[str] = json.loads(said)
        return found

    def fork(
        self, arguments: Sequence[str], folder: Path, lines: Sequence[str], modules: Wanted
    ) -> Spare:
        """A kernel that waits for its order.

        Args:
            arguments: Those of a cold one.
            folder: Where its files are.
            lines: Code that it runs at its start, after the files that every kernel runs.
            modules: What it has imported.

        Raises:
            OSError: The server is gone.
        """
        message = {"arguments": list(arguments), "folder": str(folder), "lines": list(lines)}
        channel, its_end = socket.socketpair()
        with its_end:
            try:
                guardian = self._guardian(modules, message, its_end.fileno())
            except OSError:
                channel.close()
                raise
        return Spare(guardian, channel, self.environment, partial(self._give_back, modules))

    def _guardian(
        self, modules: Wanted, message: Mapping[str, object], channel: int
    ) -> socket.socket:
        """The socket of the guardian that has forked the kernel: one that is free, or a new one."""
        self.import_paths  # noqa: B018 - said before all else
        server, free = self._server(modules), self._free.get(modules, [])
        if _has_ended(server):
            raise OSError("its server has ended")
        while free:
            guardian = free.pop()
            with contextlib.suppress(OSError):  # a notebook has killed it
                _send(guardian, message, [channel])
                return guardian
            _hang_up(guardian)
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                _send(server, message, [channel, theirs.fileno()])
            except OSError:
                ours.close()
                raise
        return ours

    def _give_back(self, modules: Wanted, guardian: socket.socket) -> None:
        if modules in self._servers:
            guardian.setblocking(True)  # noqa: FBT003 - the library's interface
            self._free.setdefault(modules, []).append(guardian)
        else:
            _hang_up(guardian)

    def close(self) -> None:
        """End all servers."""
        for modules in list(self._free):
            self._end_guardians(modules)
        for server in self._servers.values():
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_WR)
        first = self._servers[()]
        with contextlib.suppress(OSError):  # it takes too long, or ended with a message unread
            first.settimeout(_END_S)
            first.recv(1)  # its end closes with the process; Popen.wait() would look now and then
        for server in self._servers.values():
            server.close()
        self._process.kill()
        self._process.wait()

    def _server(self, modules: Wanted) -> socket.socket:
        known = self._servers.pop(modules, None)
        if known is None:
            known, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                _send(self._servers[()], {"modules": modules}, [theirs.fileno()])
        self._servers[modules] = known  # the youngest is the last
        for oldest in list(self._servers)[: -_KEPT - 1]:
            if oldest:
                _hang_up(self._servers.pop(oldest))
                self._end_guardians(oldest)
        return known

    def _end_guardians(self, modules: Wanted) -> None:
        for guardian in self._free.pop(modules, []):
            _hang_up(guardian)


def _hang_up(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)  # also for a process that holds a copy
    one.close()


def _has_ended(server: socket.socket) -> bool:
    """Whether it has, as it says nothing as long as it lives."""
    try:
        server.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK)
    except BlockingIOError:
        return False
    return True


def _send(server: socket.socket, message: Mapping[str, object], descriptors: list[int]) -> None:
    socket.send_fds(server, [json.dumps(message).encode()], descriptors)
