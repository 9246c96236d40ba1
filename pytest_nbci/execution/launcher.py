"""Starts the kernels of one worker: warm where it can be, cold otherwise, ahead of time if asked.

A warm kernel is forked from a server that has this interpreter's environment; whatever goes wrong
with it, a cold one takes its place and the notebook's verdict stays the same.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

from pytest_nbci.errors import KernelError
from pytest_nbci.execution.imports import ask_interpreter
from pytest_nbci.execution.kernel import NATIVE, Kernel, KernelChoice, new_context
from pytest_nbci.execution.preload import Wanted
from pytest_nbci.execution.quiet import quiet
from pytest_nbci.execution.warm import WarmServers
from pytest_nbci.scrub import Secrets

Surroundings = tuple[str, ...]


@dataclass(frozen=True)
class Start:
    """What a kernel is started with.

    Attributes:
        choice: Which kernel.
        environment: Variables that the worker's kernels have in common.
        modules: What the notebook will import, for a warm kernel.
    """

    choice: KernelChoice
    environment: Mapping[str, str]
    modules: Wanted = ()


class Launcher:
    """Starts kernels; ``close`` ends the servers, when no kernel runs any more.

    Args:
        folder: A short folder for their sockets; its owner removes it.
        is_warm: Whether kernels of this interpreter may be forked from a server.
    """

    def __init__(self, folder: Path, *, is_warm: bool) -> None:
        self._folder = folder
        self._is_warm = is_warm and sys.platform.startswith("linux")
        self._numbers = count()
        self._servers: WarmServers | None = None
        self._surroundings: Surroundings = ()  # the servers'
        self._spare: tuple[Start, Surroundings, Kernel] | None = None
        self._refused: set[Wanted] = set()  # what cannot be imported ahead

    def expect(self, environment: Mapping[str, str]) -> None:
        """Start the servers before the first notebook is looked at: most need them, with these."""
        if self._is_warm and not _depends_on_its_folder(environment):
            with suppress(OSError):  # said when a kernel is started
                self._serve(environment)

    def import_paths(self, environment: Mapping[str, str]) -> list[str]:
        """Paths from which kernels of this interpreter would import; ``environment`` is its own."""
        if self._is_warm and not _depends_on_its_folder(environment):
            with suppress(OSError):  # said when a kernel is started
                return self._serve(environment).import_paths
        return ask_interpreter()

    def announce(self, start: Start) -> None:
        """Fork the kernel that will be started next, ahead of time."""
        self._drop_spare()
        if self._can_fork(start):
            with suppress(OSError):  # said when it is started
                self._spare = (start, _surroundings(), self._fork(start))

    def start(
        self, start: Start, cwd: Path, own: Mapping[str, str], secrets: Secrets, timeout_s: float
    ) -> tuple[Kernel, str]:
        """A kernel that runs in ``cwd``, with the notebook's own variables, and a warning or "".

        Raises:
            KernelError: It did not start; the message ends with the kernel's own stderr.
        """
        environment = {**start.environment, **own}
        kernel, warning = None, ""
        while kernel is None and self._can_fork(start):
            try:
                kernel = self._take_spare(start) or self._fork(start)
                _start(kernel, cwd, environment, secrets, timeout_s)
            except (OSError, KernelError) as error:
                kernel = None
                if start.modules and start.modules not in self._refused:
                    self._refused.add(start.modules)
                    continue
                self._is_warm = False
                self._end_servers()
                warning = f"Kernels start cold from here on, as a warm one did not start: {error}"
        if kernel is None:
            kernel = self._new_kernel(start.choice)
            _start(kernel, cwd, environment, secrets, timeout_s)
        return kernel, warning

    def close(self) -> None:
        """End the spare kernel and the servers."""
        self._end_servers()
        context = self.__dict__.pop("_context", None)
        if context is not None:
            context.destroy(linger=0)

    def _end_servers(self) -> None:
        self._drop_spare()
        if self._servers is not None:
            self._servers.close()
            self._servers = None

    def _can_fork(self, start: Start) -> bool:
        is_ours = self._is_warm and start.choice.name == NATIVE
        return is_ours and not _depends_on_its_folder(start.environment)

    def _fork(self, start: Start) -> Kernel:
        """A kernel that waits for its order."""
        servers = self._serve(start.environment)
        kernel = self._new_kernel(start.choice)
        try:
            kernel.fork(servers, () if start.modules in self._refused else start.modules)
        except BaseException:
            kernel.stop(at_once=True)
            raise
        return kernel

    def _serve(self, environment: Mapping[str, str]) -> WarmServers:
        """The servers for an environment; others are ended."""
        now, servers = _surroundings(), self._servers
        if servers is None or (servers.environment, self._surroundings) != (environment, now):
            self._end_servers()
            self._servers = servers = WarmServers(environment, self._folder / "servers.log")
            self._surroundings = now
        return servers

    def _take_spare(self, start: Start) -> Kernel | None:
        if self._spare is None:
            return None
        (announced, surroundings, kernel), self._spare = self._spare, None
        if (announced, surroundings) == (start, _surroundings()):
            return kernel
        kernel.stop(at_once=True)
        return None

    def _drop_spare(self) -> None:
        if self._spare is not None:
            self._spare[-1].stop(at_once=True)
            self._spare = None

    def _new_kernel(self, choice: KernelChoice) -> Kernel:
        return Kernel(choice, self._folder / f"k{next(self._numbers)}", self._context)

    @cached_property
    def _context(self) -> Any:
        return new_context()


def _depends_on_its_folder(environment: Mapping[str, str]) -> bool:
    """Whether an interpreter reads at its start what a server in another folder would not find."""
    paths = environment.get("PYTHONPATH")
    is_relative = bool(paths) and not all(map(os.path.isabs, str(paths).split(os.pathsep)))
    return is_relative or "PYTHONSTARTUP" in environment


def _surroundings() -> Surroundings:
    """What else a server has from this process, and the packages that it may have imported."""
    limits = [
        resource.getrlimit(number)
        for name, number in vars(resource).items()
        if name.startswith("RLIMIT_")
    ]
    folders = []
    for path in sys.path:
        if path.endswith("-packages"):
            with suppress(OSError):
                folders.append((path, Path(path).stat().st_mtime_ns))
    masks = [
        line
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        if line.startswith("Umask")
    ]
    affinity = sorted(os.sched_getaffinity(0))
    return tuple(map(str, (limits, folders, masks, affinity, os.getpriority(os.PRIO_PROCESS, 0))))


def _start(
    kernel: Kernel, cwd: Path, environment: Mapping[str, str], secrets: Secrets, timeout_s: float
) -> None:
    try:
        with quiet():
            kernel.start(cwd, environment, secrets, timeout_s)
    except BaseException:
        kernel.stop(at_once=True)
        raise
