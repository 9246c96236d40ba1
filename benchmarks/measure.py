"""Runs a command and measures it with everything that it starts: seconds, CPU, memory.

Run as a script, ``python measure.py seconds|memory FOLDER COMMAND...``, it prints one JSON object.
A process of its own, so that every descendant becomes its child in the end and is accounted for.
Looking at the memory of many processes takes time, so it is done in a run that is not timed.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from pytest_nbci.execution.guardian import become_subreaper, descendants, resident_bytes

SAMPLE_S = 0.05
TIMEOUT_S = 3600
LINGER_S = 30
# What would change how a tool runs, or where it looks for modules.
FOREIGN = ("NBCI_", "MLFLOW_", "CI_", "GITLAB_", "PYTEST_", "PYTHON", "COVERAGE_")


def main() -> None:
    what, folder, *command = sys.argv[1:]
    become_subreaper()
    if what == "memory":
        with sampled_memory() as samples:
            found = run(Path(folder), command)
        found["peak_mb"] = max(samples, default=0) / 1e6
    else:
        found = run(Path(folder), command)
    print(json.dumps(found))


def run(folder: Path, command: list[str]) -> dict[str, float]:
    """Wall seconds until the command ends, CPU seconds of it and all its descendants, exit code."""
    environment = {name: os.environ[name] for name in os.environ if not name.startswith(FOREIGN)}
    environment.pop("CI", None)
    with tempfile.TemporaryFile() as output:
        begun = time.perf_counter()
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
            timeout=TIMEOUT_S,
        )
        wall = time.perf_counter() - begun
        reap()
        if done.returncode:
            output.seek(0)
            sys.stderr.write(output.read().decode(errors="replace")[-3000:])
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"wall_s": wall, "cpu_s": used.ru_utime + used.ru_stime, "code": done.returncode}


def reap() -> None:
    """Wait for what the command left behind, and kill what stays."""
    deadline = time.monotonic() + LINGER_S
    with contextlib.suppress(ChildProcessError):  # none is left
        while True:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                if time.monotonic() > deadline:
                    for pid in descendants(os.getpid()):
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                time.sleep(0.01)


@contextlib.contextmanager
def sampled_memory() -> Iterator[list[int]]:
    """Bytes that all processes below this one hold together, a shared page counted once."""
    samples: list[int] = []
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(SAMPLE_S):
            samples.append(resident_bytes(descendants(os.getpid())))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield samples
    finally:
        is_over.set()
        watcher.join()


if __name__ == "__main__":
    main()
