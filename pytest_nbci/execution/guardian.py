"""The guardian of one kernel: its parent, which outlives it and lets no descendant escape.

Run as a script, ``python -I -S guardian.py DESCRIPTOR PROGRAM ARGUMENT...``, by a bare interpreter
that imports nothing else. DESCRIPTOR is a Unix socket to the process that wants the kernel; when
its other end closes, however that process ended, every process below the guardian is killed.

A process that forks twice, starts a session of its own and drops its environment becomes a child
of the nearest subreaper, which is the guardian (man 2 PR_SET_CHILD_SUBREAPER), so nothing but the
family tree is needed to find it. Where there is no subreaper (macOS), the kernel's group is killed.

Lines on the socket, to the guardian: ``peak`` asks for the memory. From it: ``pid K G`` when the
kernel has started (its process id and the guardian's), ``peak N`` as an answer, ``exit STATUS N``
when the kernel has ended (STATUS as ``os.waitpid`` gives it); N in bytes, the highest resident
memory of the kernel and its descendants so far. The kernel's end is that of all it started, too:
``done`` is the last line when all are killed.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_PR_SET_CHILD_SUBREAPER = 36  # include/uapi/linux/prctl.h
# Between two samples of the memory; longer where a sample takes long, so that it costs 2 % at most.
_SAMPLE_S = 0.25
_PAUSE_FOR_SAMPLE = 50
_KILL_S = 5.0
_DONE = "\ndone"
_DEFAULT = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ)


def main(descriptor: int, command: list[str]) -> None:
    """Start ``command`` as the kernel, and guard it until the socket ends."""
    guard(descriptor, lambda: _start(command))


def guard(descriptor: int, start: Callable[[], int]) -> bool:
    """Guard the kernel that ``start`` forks, whose process id it returns, until that ends.

    Or until the socket ends, and the kernel is killed.

    Returns:
        Whether it ended by itself and left nothing: another one can be guarded.
    """
    os.set_inheritable(descriptor, False)  # noqa: FBT003 - the library's interface
    become_subreaper()
    woken, waker = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in _DEFAULT[:3]:
        signal.signal(number, signal.SIG_IGN)  # the end of the socket is the one way to end it
    try:
        return _guard(descriptor, woken, start())  # or goes on in the kernel, as start() says
    finally:
        signal.set_wakeup_fd(-1)
        os.close(woken)
        os.close(waker)


def _guard(descriptor: int, woken: int, kernel: int) -> bool:
    parent = os.getppid()
    _tell(descriptor, f"pid {kernel} {os.getpid()}")
    peak, pause_s = 0, _SAMPLE_S
    is_over = False
    poller = select.poll()  # select() refuses high descriptors
    for number in (descriptor, woken):
        poller.register(number, select.POLLIN)
    while not is_over:
        ready = [number for number, _ in poller.poll(pause_s * 1000)]
        if woken in ready:
            os.read(woken, 4096)
            for pid, status, used in _reap():
                if pid == kernel:
                    is_done = end_all(kernel)
                    _tell(descriptor, f"exit {status} {max(peak, used)}{_DONE * is_done}")
                    return is_done
        begun = time.monotonic()
        peak = max(peak, resident_bytes(seen_below(os.getpid())), highest_bytes(kernel))
        pause_s = max(_SAMPLE_S, _PAUSE_FOR_SAMPLE * (time.monotonic() - begun))
        if descriptor in ready:
            is_over = not _asked(descriptor)
            if not is_over:
                _tell(descriptor, f"peak {peak}")
        # Another process may hold a copy of the socket's other end.
        is_over = is_over or os.getppid() != parent
    if end_all(kernel):
        _tell(descriptor, f"peak {peak}{_DONE}")
    return False


def become_subreaper() -> None:
    """Be the parent of every orphan below this process, where the system has that."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _start(command: list[str]) -> int:
    environment = {**os.environ, "JPY_PARENT_PID": str(os.getpid())}
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (*_DEFAULT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.execvpe(command[0], command, environment)
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def _asked(descriptor: int) -> bool:
    """Whether something was asked; False at the socket's end."""
    try:
        return bool(os.read(descriptor, 4096))
    except OSError:
        return False


def _tell(descriptor: int, line: str) -> None:
    try:
        os.write(descriptor, line.encode() + b"\n")
    except OSError:
        pass  # nobody listens any more: the next read says so


def _reap() -> list[tuple[int, int, int]]:
    """Ended children: pid, status, highest resident memory in bytes."""
    found: list[tuple[int, int, int]] = []
    while True:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        # In kB on Linux, in bytes on macOS: man 2 getrusage.
        unit = 1024 if sys.platform.startswith("linux") else 1
        found.append((pid, status, usage.ru_maxrss * unit))


def end_all(kernel: int | None = None) -> bool:
    """Kill the kernel's group, every process below this one; whether none is left within 5 s."""
    deadline = time.monotonic() + _KILL_S
    while time.monotonic() < deadline:
        if kernel is not None:
            try:
                os.killpg(kernel, signal.SIGKILL)
            except OSError:
                pass  # the group is empty
        _reap()
        if _is_alone():
            return True
        for pid in descendants(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass  # ended by itself
        time.sleep(0.002)
    return False


def _is_alone() -> bool:
    """Whether nothing lives below this process: an orphan becomes its child."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return True
    except AttributeError:  # macOS
        return not descendants(os.getpid())
    return False


def seen_below(top: int) -> list[int]:
    """Living processes below ``top``, found in a millisecond; one that comes or goes may be missed.

    By ``children`` of each thread (man 5 proc_tid_children), which not every system has.
    """
    found: list[int] = []
    pending = [top]
    try:
        while pending:
            folder = f"/proc/{pending.pop()}/task"
            for thread in _names(folder):
                with open(f"{folder}/{thread}/children", "rb") as file:
                    below = [int(pid) for pid in file.read().split()]
                found += below
                pending += below
    except OSError:
        return descendants(top)
    return found


def descendants(top: int) -> list[int]:
    """Living processes below ``top``; [] where there is no /proc."""
    parents: dict[int, list[int]] = {}
    for name in filter(str.isdigit, _names("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                # The name in parentheses may hold anything: man 5 proc_pid_stat.
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if len(fields) > 1:
            parents.setdefault(int(fields[1]), []).append(int(name))
    found: list[int] = []
    pending = [top]
    while pending:
        below = parents.get(pending.pop(), [])
        found += below
        pending += below
    return found


def resident_bytes(processes: list[int]) -> int:
    """Memory that the processes hold in RAM together, a page that they share counted once.

    Proportional set size where there are several, as forked ones share most of their pages:
    https://man7.org/linux/man-pages/man5/proc_pid_smaps.5.html
    """
    if len(processes) == 1:
        return _field(f"/proc/{processes[0]}/status", b"VmRSS:")
    return sum(_field(f"/proc/{pid}/smaps_rollup", b"Pss:") for pid in processes)


def highest_bytes(pid: int) -> int:
    """Highest resident memory of one process so far; 0 where the system does not say.

    VmHWM, in kB: https://man7.org/linux/man-pages/man5/proc_pid_status.5.html
    """
    return _field(f"/proc/{pid}/status", b"VmHWM:")


def _field(path: str, name: bytes) -> int:
    try:
        with open(path, "rb") as file:
            for line in file:
                if line.startswith(name):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass  # ended meanwhile
    return 0


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
