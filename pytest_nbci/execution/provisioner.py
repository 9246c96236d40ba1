"""Starts a kernel below a guardian process, in the form that jupyter_client expects.

https://jupyter-client.readthedocs.io/en/stable/provisioning.html
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from jupyter_client.provisioning import LocalProvisioner

_GUARDIAN = Path(__file__).with_name("guardian.py")
_START_S = 30.0
_ANSWER_S = 2.0
_END_S = 8.0


class GuardedProcess:
    """A kernel process below its guardian; the part of ``subprocess.Popen`` that is needed.

    Raises:
        OSError: The program does not exist, or no process could be started.
    """

    stdin = stdout = stderr = None

    def __init__(
        self, command: Sequence[str], cwd: str, environment: Mapping[str, str], output: IO[bytes]
    ) -> None:
        program = shutil.which(command[0], path=environment.get("PATH"))
        if program is None:
            raise FileNotFoundError(f"there is no program {command[0]} to execute")
        self.socket, theirs = socket.socketpair()
        with theirs:
            self._guardian = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", str(_GUARDIAN), str(theirs.fileno())),
                    *(program, *command[1:]),
                ],
                cwd=cwd,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._said = b""
        self._is_deaf = False
        self.returncode: int | None = None
        self.peak_memory_bytes: int | None = None
        self.pid = 0
        self.socket.settimeout(_START_S)
        while not self.pid:
            if not self._listen():
                self.end()
                raise OSError("its guardian process did not start it")
        self.socket.settimeout(0)

    def poll(self) -> int | None:
        """The return code (negative: the signal) if the kernel has ended."""
        if self.returncode is None:
            self._listen()
        return self.returncode

    def wait(self) -> int | None:
        """The return code of a kernel that is known to have ended."""
        return self.poll()

    def send_signal(self, number: int) -> None:
        """Signal the kernel process."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask the kernel process to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the kernel process."""
        self.send_signal(signal.SIGKILL)

    def ask_peak_memory(self) -> int | None:
        """Highest memory of the kernel and all below it so far, in bytes."""
        if self.poll() is None:
            self.peak_memory_bytes = None
            with suppress(OSError):
                self.socket.send(b"peak\n")
                self.socket.settimeout(_ANSWER_S)
                while self.peak_memory_bytes is None and self._listen():
                    pass
            self.socket.settimeout(0)
        return self.peak_memory_bytes or None

    def end(self) -> None:
        """Have every process below the guardian killed, and wait until it is done."""
        self.socket.close()
        self._is_deaf = True
        try:
            self._guardian.wait(_END_S)
        except subprocess.TimeoutExpired:  # it was stopped, or a process cannot be killed
            self._guardian.kill()
            self._guardian.wait()

    def _listen(self) -> bool:
        """Read what the guardian said; False if nothing was there, or nothing more will be."""
        if self._is_deaf:
            return False
        try:
            heard = self.socket.recv(4096)
        except (BlockingIOError, TimeoutError):
            return False
        except OSError:
            heard = b""
        if not heard:
            # Only a notebook that kills its guardian gets here; its kernel may live on.
            self._is_deaf = True
            if self.returncode is None:
                self.returncode = -signal.SIGKILL
            return False
        *lines, self._said = (self._said + heard).split(b"\n")
        for line in lines:
            word, *numbers = line.decode().split()
            if word == "pid":
                self.pid = int(numbers[0])
            elif word == "exit":
                self.returncode = os.waitstatus_to_exitcode(int(numbers[0]))
            if word in ("peak", "exit"):
                self.peak_memory_bytes = int(numbers[-1])
        return True


class GuardedProvisioner(LocalProvisioner):  # type: ignore[misc]
    """The local provisioner with a guardian between this process and the kernel."""

    process: GuardedProcess | None = None

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Start the kernel; the arguments are jupyter_client's protocol."""
        self.process = GuardedProcess(cmd, kwargs["cwd"], kwargs["env"], kwargs["stderr"])
        # The kernel leads a session, and so a process group, of its own.
        self.pid = self.pgid = self.process.pid
        self.cwd = kwargs["cwd"]
        return self.connection_info

    async def wait(self) -> int | None:
        """Wait for the kernel's end, without polling."""
        process = self.process
        assert process is not None  # noqa: S101 - it was launched
        loop = asyncio.get_running_loop()
        while process.poll() is None:
            heard = asyncio.Event()
            loop.add_reader(process.socket, heard.set)
            try:
                await heard.wait()
            finally:
                loop.remove_reader(process.socket)
        return process.returncode
