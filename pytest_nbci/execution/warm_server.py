"""Forks kernels from a process that has imported what every IPython kernel imports.

Run as a script by the interpreter of the kernels: ``python warm_server.py DESCRIPTOR``, where
DESCRIPTOR is a Unix socket (SOCK_SEQPACKET). The server says on it from where it would import, a
JSON array of paths, and nothing more. Each message to it is a JSON object that comes with
descriptors, and a fork answers it:

- ``{"modules": [[module, name], ...]}`` with another such socket: a server that has imported these
  modules besides, each with a name that is wanted from it (or null);
- ``{"arguments": [...], "folder": path, "lines": [...]}`` with another socket and a guardian's (see
  guardian.py): a kernel with these arguments, which answers but is to run no code before a line
  with a JSON object ``{"cwd": path, "environment": {...}}`` came through the socket and a byte came
  back. A guardian that said ``done`` takes such a message on its own socket and forks the kernel
  itself, which saves a fork of all this.

A server ends with its socket or its parent, and the first one kills what is below it. It has a
single thread, so a fork copies all of it.
"""

from __future__ import annotations

import atexit
import contextlib
import fnmatch
import gc
import importlib
import importlib.machinery
import importlib.util
import json
import os
import select
import signal
import socket
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

_LONGEST_MESSAGE = 100_000
_PARENT_MS = 1_000
# What a cold kernel sets before the notebook can import matplotlib:
# https://github.com/ipython/ipykernel/blob/main/ipykernel/kernelapp.py (init_gui_pylab)
_INLINE = "module://matplotlib_inline.backend_inline"
# What each kernel executes of ours.
_OURS = [
    compile(path.read_text(encoding="utf-8"), str(path), "exec")
    for path in map(Path(__file__).with_name, ("kernel_output.py", "kernel_end.py"))
]
# Imported by a cold kernel while it starts and with its first cell.
_LAZY = (
    "ipykernel.ipkernel",
    "ipykernel.debugger",
    "IPython.core.completer",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.magics",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "IPython.utils.wildcard",
    "faulthandler",
    "runpy",
    "sqlite3",
    "tornado.platform.asyncio",
)


def main(descriptor: int) -> None:
    """Serve until the socket ends; in a forked kernel, run it."""
    gc.disable()  # while modules are imported: it takes a tenth of that time, and finds nothing
    control = socket.socket(fileno=descriptor)
    control.send(json.dumps(_beside("import_paths").import_paths()).encode())
    guardian = _beside("guardian")
    guardian.become_subreaper()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if not sys.flags.safe_path:
        del sys.path[0]  # this file's folder
    from ipykernel import kernelapp

    for module in _LAZY:
        if importlib.util.find_spec(module.partition(".")[0]) is not None:
            _import(module, None)
    _fill_caches()
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        raise SystemExit("a thread was started at the start, and no fork would have it")
    kernel = _serve(control, guardian)
    if kernel is None:
        guardian.end_all()
        os._exit(0)  # to take its modules apart would take longer
    kernel(kernelapp)


def _fill_caches() -> None:
    """Compile the expressions that every kernel compiles while it starts and for its first cell."""
    from IPython.core import completer, inputtransformer2

    ipython: Any = inputtransformer2
    ipython.TransformerManager().transform_cell("pass")
    ipython = completer
    ipython.IPCompleter(shell=None, namespace={}, global_namespace={})
    for pattern in ("*.py", "*.ipy"):
        fnmatch.filter([], pattern)


def _beside(name: str) -> Any:
    """A module beside this one, which kernels must not find among theirs."""
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # noqa: S101, PT018 - a file that exists
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _import(module: str, name: str | None) -> None:
    found = importlib.import_module(module)
    if name is not None and not hasattr(found, name):
        importlib.import_module(f"{module}.{name}")


def _import_quietly(modules: list[tuple[str, str | None]]) -> None:
    """Import what a notebook will; end the process where the notebook would notice.

    It would miss a warning, a failure, or a thread that stays behind at a fork; and what a variable
    names that the import set (a temporary folder), the first kernel to end would remove for all.
    """
    variables = dict(os.environ)
    told: list[Any] = []
    show, warnings.showwarning = warnings.showwarning, lambda *said, **_: told.append(said)
    for module, name in modules:
        _import(module, name)
    warnings.showwarning = show
    if told or threading.active_count() > 1 or variables != dict(os.environ):
        raise SystemExit(f"{modules} cannot be imported ahead: {told or threading.enumerate()}")


def _serve(control: socket.socket, guardian: Any) -> Any:
    """Answer messages until the end; in a forked kernel: what runs it."""
    gc.collect()
    gc.freeze()
    gc.enable()
    sys.modules.pop("gc", None)  # no cold kernel has imported it
    parent = os.getppid()
    while True:
        data, descriptors = _receive(control, parent)
        _reap(0 if not data else os.WNOHANG)
        if not data:
            return None
        message = json.loads(data)
        if os.fork() == 0:
            control.close()
            break
        for descriptor in descriptors:
            os.close(descriptor)
    if "modules" in message:
        os.environ.setdefault("MPLBACKEND", _INLINE)
        gc.disable()
        _import_quietly(message["modules"])
        return _serve(socket.socket(fileno=descriptors[0]), guardian)
    channel, connection = descriptors
    return _guard_kernels(guardian, socket.socket(fileno=connection), message, channel)


def _guard_kernels(
    guardian: Any, connection: socket.socket, message: dict[str, Any], channel: int
) -> Any:
    """Guard one kernel after the other; in such a kernel: what runs it."""

    def start() -> int:
        pid = os.fork()
        if pid == 0:
            raise _KernelStartsError
        os.close(channel)
        return pid

    parent = os.getppid()
    try:
        while guardian.guard(connection.fileno(), start):
            data, descriptors = _receive(connection, parent)
            while data and not descriptors:  # a question to the guardian that came too late
                data, descriptors = _receive(connection, parent)
            if not data:
                break
            message, (channel,) = json.loads(data.rpartition(b"\n")[2]), descriptors
    except _KernelStartsError:
        connection.close()
        os.setsid()
        # Only what this server changed: Python itself ignores SIGPIPE and SIGXFSZ, a kernel SIGINT.
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        return lambda kernelapp: _run_kernel(kernelapp, message, socket.socket(fileno=channel))
    os._exit(0)


def _receive(control: socket.socket, parent: int) -> tuple[bytes, list[int]]:
    """The next message and its descriptors; no bytes at the end, or when the parent is gone.

    A process that was forked from the client may hold the other end of the socket open.
    """
    poller = select.poll()  # select() refuses high descriptors
    poller.register(control, select.POLLIN)
    while not poller.poll(_PARENT_MS):
        if os.getppid() != parent:
            return b"", []
    data, descriptors, _, _ = socket.recv_fds(control, _LONGEST_MESSAGE, 2)
    return data, descriptors


def _reap(option: int) -> None:
    """Take note of guardians and servers that ended, with 0 of all of them."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, option)[0]:
            pass


class _KernelStartsError(Exception):
    """Leaves the guardian's loop in the process that becomes the kernel."""


def _run_kernel(kernelapp: Any, message: dict[str, Any], channel: socket.socket) -> None:
    output = os.open(f"{message['folder']}/stderr", os.O_WRONLY | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.environ["JPY_PARENT_PID"] = str(os.getppid())
    os.environ["IPYTHONDIR"] = f"{message['folder']}/ipython"
    launcher = importlib.util.find_spec("ipykernel_launcher")
    sys.argv = [str(launcher.origin if launcher else ""), *message["arguments"]]
    sys.orig_argv = [sys.executable, "-m", "ipykernel_launcher", *message["arguments"]]
    app = kernelapp.IPKernelApp.instance(parent_handle=os.getppid())
    _initialize(app, message["folder"], message["lines"])
    loop = sys.modules["tornado.ioloop"].IOLoop.current()
    known: frozenset[str] = frozenset()

    def take_order(*_: object) -> None:
        nonlocal known
        loop.remove_handler(channel)
        with channel, channel.makefile("rb") as file:
            order = file.readline()  # not to its end: a fork of our client may hold the other one
            if not order:
                os._exit(0)  # not wanted any more
            _obey(json.loads(order), app.name)
            known = frozenset(sys.modules)
            channel.sendall(b".")

    loop.add_handler(channel, take_order, loop.READ)
    app.start()
    _end(known)


def _initialize(app: Any, folder: str, lines: list[str]) -> None:
    """As with the arguments of a cold kernel; to parse them takes longer than most cells.

    So does it to run the lines as cells, and to compile our files.
    """
    from traitlets.config import Config

    app.cli_config = Config(
        IPKernelApp={"connection_file": f"{folder}/kernel.json"},
        HistoryManager={"hist_file": ":memory:"},
    )
    app.update_config(app.cli_config)
    app.parse_command_line = lambda _: None
    # To close its sockets takes longer than most cells, and their other ends are closed by then.
    app.close = app.reset_io
    app.initialize([])
    for code in _OURS:
        exec(code, {"kernel": app.kernel})  # noqa: S102 - ours
    for line in lines:
        exec(line, {"get_ipython": app.shell.get_ipython})  # noqa: S102 - the same


def _obey(order: dict[str, Any], name: str) -> None:
    """Be in the folder and the environment of the notebook."""
    os.environ.update(order["environment"])
    os.chdir(order["cwd"])
    importlib.invalidate_caches()  # of folders as the server saw them
    # A cold kernel has looked here for modules before it is ready: who lists the folder is noted.
    importlib.machinery.PathFinder.find_spec(name, [""])
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()  # every fork would draw the same numbers


def _end(known: frozenset[str]) -> None:
    """End as an interpreter does, but for taking the server's modules apart.

    That would take longer than all the rest, since a fork has to copy each page of them first.
    IPython's exit handler lets go of what the notebook holds; so what is open there, or in a
    module of the notebook's, is closed as in every interpreter.

    Args:
        known: The names of modules that it did not import.
    """
    library: Any = threading
    library._shutdown()  # noqa: SLF001 - the interpreter calls it the same way
    atexit._run_exitfuncs()  # noqa: SLF001 - the same
    for name in sys.modules.keys() - known:
        del sys.modules[name]
    gc.collect()  # closes what only a cycle holds
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
