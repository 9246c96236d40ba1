"""One kernel for one notebook: which one, started, ended with everything that it started.

Kernels of this interpreter run by this interpreter, whatever ``python3`` is registered as: the
environment under test is the one that pytest runs in. Sockets are Unix sockets, so kernels that
start side by side cannot take each other's port.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shlex
import shutil
import signal
import sys
import uuid
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import Thread
from typing import IO, TYPE_CHECKING, Any, TypeVar

from pytest_nbci.errors import KernelError
from pytest_nbci.execution import memory
from pytest_nbci.execution.preload import Wanted
from pytest_nbci.execution.processes import MARK, kill_all
from pytest_nbci.execution.stack import STACK_SIGNAL, Hang, ask_for_stack, stack_line, state
from pytest_nbci.execution.warm import Spare, WarmServers
from pytest_nbci.scrub import Secrets, scrub_text

if TYPE_CHECKING:
    from pytest_nbci.execution.readiness import Readiness

T = TypeVar("T")

NATIVE = "python3"
_PYTHON_LANGUAGES = ("python", "python3", "ipython", "python2")
_STDERR_LINES = 20
_STDERR_CHARACTERS = 20_000
_STDERR_BYTES = 200_000
_EXIT_S = 5.0
_RECONNECT_MS = 3
# pytest's own variables would tell a notebook that it is under test.
_DROPPED_PREFIXES = (
    "PYTEST_",
    "OLDPWD",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_WORK_TREE",
    "GIT_PREFIX",
)


@dataclass(frozen=True)
class KernelChoice:
    """A kernel: its name, language and kernelspec; ``note`` says how it differs from the wish."""

    name: str
    language: str
    spec: Any = field(compare=False)
    note: str = ""


@dataclass(frozen=True)
class Exit:
    """How a kernel ended.

    Attributes:
        code: Its return code (negative: the signal); None while it lives.
        stderr_tail: Last lines of its stderr.
        is_out_of_memory: The system killed it because memory ran out.
        peak_memory_bytes: Highest memory of it and its descendants, where it is known.
    """

    code: int | None
    stderr_tail: str
    is_out_of_memory: bool = False
    peak_memory_bytes: int | None = None

    @property
    def reason(self) -> str:
        """``killed by SIGSEGV`` or ``ended with exit code 3``."""
        if self.code is not None and self.code < 0:
            try:
                return f"was killed by {signal.Signals(-self.code).name}"
            except ValueError:
                return f"was killed by signal {-self.code}"
        return "ended" if self.code is None else f"ended with exit code {self.code}"


def _kernel_folders() -> list[str]:
    """Where kernels are installed, as jupyter_client looks; it would import IPython to know.

    That takes time and warns where the home folder cannot be written, which a filter may turn
    into an error.
    """
    from jupyter_core.paths import jupyter_path

    old = os.environ.get("IPYTHONDIR") or os.path.expanduser("~/.ipython")  # noqa: PTH111 - never fails
    return [*jupyter_path("kernels"), f"{old}/kernels"]


def choose_kernel(wanted: str | None, own: str | None, language: str) -> KernelChoice:
    """The kernel to run a notebook with.

    Args:
        wanted: The setting ``kernel``; it must exist.
        own: The name in the notebook's kernelspec; another one of the language stands in for it.
        language: The notebook's language.

    Raises:
        KernelError: ``wanted`` does not exist, or no kernel of the language does.
    """
    if (wanted or own) == NATIVE:
        return KernelChoice(NATIVE, "python", _native_spec())
    from jupyter_client.kernelspec import KernelSpecManager

    manager = KernelSpecManager(kernel_dirs=_kernel_folders())
    found: dict[str, str] = manager.find_kernel_specs()

    def read(kernel: str) -> Any:
        try:
            return manager.get_kernel_spec(kernel)
        except Exception as error:  # json, traitlets and OS errors of a broken installation
            raise KernelError(
                f"The kernel {kernel!r} in {found[kernel]} cannot be read: {error}.",
                f"Install it again, or remove it: jupyter kernelspec remove {kernel}.",
            ) from error

    is_python = language.lower() in _PYTHON_LANGUAGES
    if wanted is not None and wanted != NATIVE and wanted not in found:
        raise KernelError(
            f"The kernel {wanted!r} (setting kernel) is not installed; "
            f"known: {', '.join(sorted({NATIVE, *found}))}.",
            "Install it, or correct the setting.",
        )
    name = wanted or own
    if name == NATIVE or (name not in found and is_python):
        note = "" if name in (NATIVE, None) else f"kernel {name} is not installed; {NATIVE} ran it"
        return KernelChoice(NATIVE, "python", _native_spec(), note)
    if name in found:
        spec = read(name)
        return KernelChoice(name, str(spec.language or language), spec)
    for other in sorted(found):
        try:
            spec = read(other)
        except KernelError:
            continue  # not the one that was asked for
        if str(spec.language).lower() == language.lower():
            note = f"kernel {name} is not installed; {other} ran it" if name else ""
            return KernelChoice(other, language, spec, note)
    raise KernelError(
        f"No kernel for the language {language!r} is installed (the notebook names {name!r}).",
        _KERNEL_PACKAGES.get(language.lower(), "Install one, or name one by the setting kernel."),
    )


_KERNEL_PACKAGES = {
    "r": "Install IRkernel: install.packages('IRkernel'); IRkernel::installspec().",
    "julia": 'Install IJulia: using Pkg; Pkg.add("IJulia").',
    "bash": "Install bash_kernel: pip install bash_kernel && python -m bash_kernel.install.",
}


def _executed(name: str) -> str:
    """A line that executes our file ``name`` in a kernel; the file says why."""
    path = str(Path(__file__).with_name(name))
    text = f"compile(open({path!r}).read(), {path!r}, 'exec')"
    return f"exec({text}, {{'kernel': get_ipython().kernel}})"


_OURS = ("kernel_output.py", "kernel_end.py")

# do_shutdown() ends the kernel 0.1 s later, in the middle of some cell below: an exit, told here.
_SHUT_DOWN = (
    "get_ipython().observe(lambda c: c.new and c.owner.payload_manager.write_payload("
    "{'source': 'ask_exit', 'shut_down': True}), 'exit_now')"
)


_MODULE = (sys.executable, "-m", "ipykernel_launcher")


@cache
def _native_spec() -> Any:
    import importlib.util

    from jupyter_client.kernelspec import KernelSpec

    if importlib.util.find_spec("ipykernel") is None:
        raise KernelError(
            f"{sys.executable} has no Python kernel.", "Install it: pip install ipykernel."
        )
    return KernelSpec(
        argv=[
            *(*_MODULE, "-f", "{connection_file}"),
            "--HistoryManager.hist_file=:memory:",
        ],
        display_name="Python 3",
        language="python",
        metadata={"debugger": True},
    )


def kernel_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment as a kernel gets it: without pytest's traces, with ``extra``."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(_DROPPED_PREFIXES)
    }
    return {**kept, **extra}


def _end_of(stderr: Path) -> str:
    try:
        with stderr.open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - _STDERR_BYTES, 0))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def new_context() -> Any:
    """What the sockets of all kernels belong to; whoever makes it destroys it.

    It has two threads, and to make and end them for each kernel takes longer than some cells.
    """
    import zmq.asyncio

    context = zmq.asyncio.Context()
    # A socket that comes before the kernel's tries again at once, not after 100 ms.
    context.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
    return context


class Kernel:
    """A kernel and its client; ``stop`` ends it with all that it started.

    Args:
        choice: Which kernel.
        folder: A short folder for its sockets and streams; the caller owns it.
        context: What ``new_context`` made.
    """

    def __init__(self, choice: KernelChoice, folder: Path, context: Any) -> None:
        from jupyter_client.manager import AsyncKernelManager

        self.choice = choice
        self._secrets = Secrets()
        self._mark = uuid.uuid4().hex
        self._folder = folder
        # With a factory, the runner leaves the thread's own event loop to the user's tests.
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._group: int | None = None
        self._kills_before: int | None = None
        self._spare: Spare | None = None
        self.manager: Any = AsyncKernelManager(
            kernel_name=self.choice.name,
            connection_file=str(self._folder / "kernel.json"),
            transport="ipc",
            ip=str(self._folder / "s"),
            context=context,
        )
        self.manager._kernel_spec = choice.spec  # noqa: SLF001 - the one way to give a kernelspec
        self.client: Any = None
        self._readiness: Readiness | None = None
        self._is_asked = False

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run ``coroutine`` on the event loop that the kernel's sockets belong to."""
        return self._runner.run(coroutine)

    def fork(self, servers: WarmServers, modules: Wanted) -> None:
        """Fork the process from a warm server; it waits for ``start``.

        Raises:
            OSError: The server is gone.
        """
        self._make_folder()
        self.manager.write_connection_file()
        command = self.manager.format_kernel_cmd(self._extra_arguments())
        lines = [_SHUT_DOWN, stack_line(self._folder / "stack")]
        self._spare = servers.fork(command[len(_MODULE) :], self._folder, lines, modules)
        self.run(self._connect())

    def start(
        self, cwd: Path, environment: Mapping[str, str], secrets: Secrets, timeout_s: float
    ) -> None:
        """Start the kernel process, or let the forked one go on, and wait until it answers.

        Args:
            cwd: Its working folder.
            environment: All its variables.
            secrets: What its stderr is told without.
            timeout_s: How long it may take.

        Raises:
            KernelError: It did not start or did not answer within ``timeout_s``; the message
                ends with the kernel's own stderr.
        """
        self._secrets = secrets
        try:
            self._make_folder()
            self.run(self._start(cwd, environment, timeout_s))
        except (RuntimeError, OSError) as error:
            raise self._start_error(error, timeout_s) from error

    def _start_error(self, error: Exception, timeout_s: float) -> KernelError:
        called = f"The kernel {self.choice.name}"
        if self._process is None:
            return KernelError(
                f"{called} could not be started: {error}.",
                "Install the kernel again, or name another one by the setting kernel.",
            )
        exit_ = self.exit()
        tail = exit_.stderr_tail.strip().splitlines()
        said = f": {tail[-1].rstrip('.')}" if tail else ""
        if exit_.code is None:
            return KernelError(
                f"{called} did not answer in {timeout_s:g} s{said}.",
                "Raise start_timeout where it is only slow.",
            )
        argv = itertools.takewhile(lambda word: word != "-f", self.choice.spec.argv)
        words = [word for word in argv if "{connection_file}" not in word]
        return KernelError(
            f"{called} {exit_.reason}{said}.", f"Try it alone: {shlex.join(words)} --version"
        )

    def _make_folder(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "stderr").touch()

    async def _start(self, cwd: Path, environment: Mapping[str, str], timeout_s: float) -> None:
        from pytest_nbci.execution.provisioner import GuardedProvisioner

        spec = self.choice.spec
        if "kernel_provisioner" not in (spec.metadata or {}):
            self.manager.provisioner = GuardedProvisioner(
                kernel_id=self._mark, kernel_spec=spec, parent=self.manager
            )
            self.manager.provisioner.spare = self._spare
        self._kills_before = memory.out_of_memory_kills()
        async with asyncio.timeout(timeout_s):
            with (self._folder / "stderr").open("ab") as stderr:
                await self._launch(cwd, environment, stderr)
        self._group = self.manager.provisioner.pgid
        readiness = self._readiness or await self._connect()
        await readiness.wait(self.manager, timeout_s)

    async def _launch(self, cwd: Path, environment: Mapping[str, str], stderr: IO[bytes]) -> None:
        # The steps of start_kernel(), which at its end sleeps for the sake of its own tests.
        command, options = await self.manager.pre_start_kernel(
            cwd=str(cwd),
            env={
                **environment,
                MARK: self._mark,
                "PWD": str(cwd),
                # The user's own startup files and profile are not in git.
                "IPYTHONDIR": str(self._folder / "ipython"),
            },
            extra_arguments=self._extra_arguments(),
            stdin=None,
            stdout=stderr,
            stderr=stderr,
        )
        await self.manager._launch_kernel(command, **options)  # noqa: SLF001 - has no other name
        await self.manager.post_start_kernel(**options)

    async def _connect(self) -> Readiness:
        from pytest_nbci.execution.readiness import Readiness

        self.client = self.manager.client(context=self.manager.context)
        for channel in (self.client.shell_channel, self.client.iopub_channel):
            channel.start()
        self._readiness = Readiness(self.client)
        return self._readiness

    def _extra_arguments(self) -> list[str]:
        if self.choice.name != NATIVE:
            return []
        lines = (*map(_executed, _OURS), _SHUT_DOWN, stack_line(self._folder / "stack"))
        return [f"--IPKernelApp.exec_lines={'; '.join(filter(None, lines))}"]

    @property
    def _process(self) -> Any:
        """The kernel's process, or what stands for it; None before it started."""
        return getattr(self.manager.provisioner, "process", None)

    def peak_memory_bytes(self) -> int | None:
        """Highest memory of the kernel and its descendants so far; None where it is unknown."""
        ask = getattr(self._process, "ask_peak_memory", None)
        return ask() if ask else None

    def hang(self) -> Hang:
        """What a kernel that does not come to an end does; its stacks where it can tell them."""
        pid = getattr(self._process, "pid", None)
        if pid is None:
            return Hang()
        can_tell = self.choice.name == NATIVE and STACK_SIGNAL is not None
        doing = state(pid)
        return Hang(doing, ask_for_stack(pid, self._folder / "stack") if can_tell else "")

    def exit(self) -> Exit:
        """How the kernel ended, as far as it did."""
        process = self._process
        # Without secrets first: a cut through one would leave a part that nobody recognises.
        tail = scrub_text(_end_of(self._folder / "stderr"), self._secrets)[-_STDERR_CHARACTERS:]
        code = process.poll() if process else None
        return Exit(
            code,
            "\n".join(tail.splitlines()[-_STDERR_LINES:]),
            # A shell around the kernel tells a signal as 128 + its number.
            code in (-signal.SIGKILL, 128 + signal.SIGKILL)
            and memory.was_out_of_memory(self._kills_before),
            self.peak_memory_bytes() if process else None,
        )

    def ask_to_end(self) -> None:
        """Let it end while the caller does other things; ``stop`` still must be called."""
        with suppress(RuntimeError, OSError):  # a kernel that is gone already
            self._release()
            self.run(self.manager.request_shutdown())
            self._is_asked = True

    def _release(self) -> None:
        """Close the channels: a thread that still prints waits for a reader that does not read."""
        if self.client is not None:
            for channel in (self.client.shell_channel, self.client.iopub_channel):
                channel.stop()

    def stop(self, *, at_once: bool) -> None:
        """End the kernel and every process that it started.

        Args:
            at_once: Kill instead of asking first; asking lets exit handlers run (MLflow's queue
                of unsent metrics is emptied by one).
        """
        try:
            if self._spare is not None and self._process is None:
                self._spare.discard()
            self._release()
            if self.manager.has_kernel:
                self.run(self._end(0 if at_once else _EXIT_S))
        except (RuntimeError, OSError):
            pass  # a kernel that is gone already; the processes are killed below all the same
        finally:
            end = getattr(self._process, "end", None)
            if end is None or not end():
                # A notebook killed the guardian, or another provisioner started the kernel.
                kill_all(self._mark, self._group)
            self._runner.close()
            # A dozen folders, which nobody waits for.
            Thread(target=shutil.rmtree, args=(self._folder, True), name="nbci-remover").start()

    async def _end(self, patience_s: float) -> None:
        provisioner = self.manager.provisioner
        try:
            if patience_s:
                if not self._is_asked:
                    await self.manager.request_shutdown()
                await asyncio.wait_for(provisioner.wait(), patience_s)
        except TimeoutError:
            pass  # an exit handler that hangs
        finally:
            await provisioner.kill()
            await self.manager.cleanup_resources()
