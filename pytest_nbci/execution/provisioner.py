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
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from jupyter_client.provisioning import LocalProvisioner

from pytest_nbci.execution.warm import Spare

_GUARDIAN = Path(__file__).with_name("guardian.py")
_START_S = 30.0
_ANSWER_S = 2.0
_END_S = 8.0


class GuardedProcess:
    """A kernel process below its guardian; the part of ``subprocess.Popen`` that is needed.

    Args:
        connection: Our end of the guardian's socket.
        guardian: The guardian's process if it is a child of this one.
        give_back: Takes the connection when the guardian is free for another kernel.

    Raises:
        OSError: The guardian did not start the kernel.
    """

    stdin = stdout = stderr = None

    def __init__(
        self,
        connection: socket.socket,
        guardian: subprocess.Popen[bytes] | None = None,
        give_back: Callable[[socket.socket], None] = socket.socket.close,
    ) -> None:
        self.socket = connection
        self._guardian = guardian
        self._give_back = give_back
        self._said = b""
        self._is_deaf = False
        self._is_done = False
        self.returncode: int | None = None
        self.peak_memory_bytes: int | None = None
        self.pid = self._guardian_pid = 0
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
        if self.poll() is None and not self._is_deaf:
            self.peak_memory_bytes = None
            with suppress(OSError):
                self.socket.send(b"peak\n")
                self.socket.settimeout(_ANSWER_S)
                while self.peak_memory_bytes is None and self._listen():
                    pass
            self.socket.settimeout(0)
        return self.peak_memory_bytes or None

    def end(self) -> bool:
        """Have every process below the guardian killed; whether it said that it is done."""
        if self._is_done and not self._is_deaf:
            self._give_back(self.socket.dup())
        elif not self._is_deaf:
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)
                self.socket.settimeout(_END_S)
                while not self._is_done and self._listen():
                    pass
            if not self._is_done and not self._is_deaf and self._guardian_pid:
                # A notebook stopped it (SIGSTOP), or something below it cannot be killed.
                with suppress(OSError):
                    os.kill(self._guardian_pid, signal.SIGKILL)
        self.socket.close()
        self._is_deaf = True
        if self._guardian is not None:
            self._guardian.kill()  # only one that was stopped still lives
            self._guardian.wait()
        return self._is_done

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
            self._note(*line.decode().split())
        return True

    def _note(self, word: str, *numbers: str) -> None:
        if word == "pid":
            self.pid, self._guardian_pid = map(int, numbers)
        elif word == "exit":
            self.returncode = os.waitstatus_to_exitcode(int(numbers[0]))
        elif word == "done":
            self._is_done = True
        if word in ("peak", "exit"):
            self.peak_memory_bytes = int(numbers[-1])


def start_cold(
    command: Sequence[str], cwd: str, environment: Mapping[str, str], output: IO[bytes]
) -> GuardedProcess:
    """Start ``command`` below a guardian of its own.

    Raises:
        OSError: The program does not exist, or no process could be started.
    """
    program = shutil.which(command[0], path=environment.get("PATH"))
    if program is None:
        raise FileNotFoundError(f"there is no program {command[0]} to execute")
    ours, theirs = socket.socketpair()
    with theirs:
        guardian = subprocess.Popen(
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
    return GuardedProcess(ours, guardian)


class GuardedProvisioner(LocalProvisioner):  # type: ignore[misc]
    """The local provisioner with a guardian between this process and the kernel."""

    process: GuardedProcess | None = None
    spare: Spare | None = None

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Start the kernel; the arguments are jupyter_client's protocol."""
        cwd, environment = kwargs["cwd"], kwargs["env"]
        if self.spare is None:
            self.process = start_cold(cmd, cwd, environment, kwargs["stderr"])
        else:
            await self.spare.order(cwd, environment)
            self.process = GuardedProcess(self.spare.connection, give_back=self.spare.give_back)
        self.cwd = cwd
        # The kernel leads a session, and so a process group, of its own.
        self.pid = self.pgid = self.process.pid
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
