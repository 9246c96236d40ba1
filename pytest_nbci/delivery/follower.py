"""The side of pytest and of ``nbci``: starts delivery processes and reads how far they are."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Literal, Self

from pytest_nbci.delivery.destination import Destination, Report
from pytest_nbci.delivery.journal import journal_path, read_marks
from pytest_nbci.delivery.outbox import find, notebooks, undelivered
from pytest_nbci.delivery.process import child_environment, command
from pytest_nbci.delivery.snapshot import Snapshot
from pytest_nbci.errors import DeliveryError
from pytest_nbci.scrub import Secrets, find_secrets, scrub_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_END_S = 2.0


class _Child:
    """A delivery process, the pipe to it, and the snapshots that come from it."""

    def __init__(
        self, destination: Destination, task: Literal["follow", "publish"], log_name: str
    ) -> None:
        """Start it.

        Raises:
            DeliveryError: It cannot be started.
        """
        self.snapshots: queue.SimpleQueue[Snapshot | None] = queue.SimpleQueue()
        self.last = Snapshot()
        self.log = destination.journals / f"{log_name}.log"
        self.environment = child_environment(os.environ, destination)
        header = json.dumps({"destination": destination.to_dict()}) + "\n"
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    command(task),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=self.environment,
                    start_new_session=True,  # a Ctrl-C for pytest must not end an upload
                )
        except OSError as error:
            raise DeliveryError(
                f"The delivery process could not be started: {error}.",
                "Make room or permission there.",
            ) from error
        self.send(header)
        if self._process.stdin is not None:
            os.set_blocking(self._process.stdin.fileno(), False)
        self._reader = threading.Thread(target=self._read, name="nbci-delivery", daemon=True)
        self._reader.start()

    def send(self, text: str) -> None:
        """Write to the process; what it does not take now, it finds itself at the end."""
        pipe = self._process.stdin
        if pipe is not None and not pipe.closed:
            with contextlib.suppress(OSError):
                os.write(pipe.fileno(), text.encode("utf-8", "surrogateescape"))

    def end_of_input(self) -> None:
        """Tell the process that nothing more comes."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def wait(self, progress: Callable[[Snapshot], None], idle_s: float) -> bool:
        """Wait for the last snapshot; whether it came before ``idle_s`` without progress."""
        end = time.monotonic() + idle_s
        while (left := end - time.monotonic()) > 0:
            try:
                snapshot = self.snapshots.get(timeout=left)
            except queue.Empty:
                return False
            if snapshot is None:
                return False
            if snapshot.progress() != self.last.progress():
                end = time.monotonic() + idle_s
            self.last = snapshot
            if snapshot.done:
                return True
            progress(snapshot)
        return False

    def stop(self) -> int:
        """End the process if it has not ended, and forget an empty log; the exit code."""
        self.end_of_input()
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(OSError):
                if number is not None:
                    self._process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_S if self.last.done or number else 0.1)
                break
        self._reader.join(_END_S)
        if self._process.stdout is not None and not self._reader.is_alive():
            self._process.stdout.close()
        with contextlib.suppress(OSError):
            if self.log.stat().st_size == 0:
                self.log.unlink()
        return self._process.wait()

    def _read(self) -> None:
        try:
            for line in self._process.stdout or ():
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    self.snapshots.put(Snapshot.from_line(line.decode()))
        finally:
            self.snapshots.put(None)


class Follower:
    """The delivery of a running session, in a process of its own."""

    def __init__(self, destination: Destination, session: str) -> None:
        """Use ``Follower.prepare``."""
        self._destination = destination
        self._session = session
        self._child: _Child | None = None
        self._failure = ""
        self._noticed: set[str] = set()

    @classmethod
    def prepare(cls, destination: Destination, session: str) -> Self:
        """Start the process, which gets ready to deliver and waits for ``begin``.

        Where that fails, the session goes on and the report says why.
        """
        follower = cls(destination, session)
        follower._start()
        return follower

    def _start(self) -> None:
        try:
            self._child = _Child(self._destination, "follow", self._session)
        except DeliveryError as error:
            self._child, self._failure = None, str(error)

    def begin(self) -> None:
        """Deliver from now on: the session's plan lies in the results folder."""
        environment = child_environment(os.environ, self._destination)
        if self._child is not None and self._child.environment != environment:
            self._child.stop()  # a conftest.py may have set credentials since
            self._start()
        if self._child is not None:
            self._child.send(f"{self._session}\n")

    def result_written(self, notebook: str) -> None:
        """Hand over a complete result. Never raises, never blocks."""
        if self._child is not None:
            self._child.send(f"{notebook}\n")

    def notices(self) -> list[str]:
        """Sentences about what stands in the way that were not given before. Never blocks."""
        if self._child is None:
            found = [self._failure]
        else:
            with contextlib.suppress(queue.Empty):
                while (snapshot := self._child.snapshots.get_nowait()) is not None:
                    self._child.last = snapshot
                self._child.snapshots.put(None)
            found = list(self._child.last.reasons)
        new = [reason for reason in found if reason not in self._noticed]
        self._noticed.update(new)
        return new

    def finish(self, progress: Callable[[str], None], idle_s: float = 30.0) -> Report:
        """End the session: wait until everything is delivered or nothing moves. Never raises.

        Args:
            progress: Called with a line about how far it is, at every change.
            idle_s: How long to wait without any progress before the process is ended.
        """
        child = self._child
        if child is None:
            return self._from_disk([self._failure])
        child.end_of_input()
        ended = child.wait(lambda snapshot: progress(_line(snapshot, self._destination)), idle_s)
        alive = child._process.poll() is None  # noqa: SLF001 - same module
        code = child.stop()
        if ended:
            return child.last.report(self._destination)
        if alive:
            return self._from_disk([*child.last.reasons, self._silence(idle_s)])
        why = f"the delivery process ended early (exit {code}, see {child.log})"
        return self._from_disk([*child.last.reasons, why])

    def give_up(self) -> Report:
        """End the process now, for somebody who does not want to wait. Never raises."""
        if self._child is not None:
            self._child.stop()
        return self._from_disk(["it was interrupted"])

    def _silence(self, idle_s: float) -> str:
        return f"nothing was taken for {idle_s:g} s"

    def _from_disk(self, reasons: list[str]) -> Report:
        """The report that a process could not give any more."""
        destination = self._destination
        marks = read_marks(journal_path(destination.journals, self._session))
        every: list[str] = []
        store: set[str] = set()
        tracking: set[str] = set()
        with contextlib.suppress(DeliveryError, OSError):
            folder = find(destination.results, self._session)
            if folder is not None:
                every = notebooks(folder)
                store, tracking = undelivered(folder, destination, marks)
        first = store if destination.store_url is not None else tracking
        return Report(
            published=len(every) - len(first),
            waiting=len(store | tracking),
            reasons=tuple(dict.fromkeys(reasons)),
            store=destination.store,
            tracking=destination.tracking,
        )


def publish(destination: Destination, say: Callable[[str], None], idle_s: float = 60.0) -> Report:
    """Deliver everything in the results folder that was not delivered, of all sessions.

    Args:
        destination: Where to.
        say: Called with a line about how far it is.
        idle_s: How long to wait without any progress before giving up.

    Raises:
        DeliveryError: The delivery process cannot be started, or failed.
    """
    child = _Child(destination, "publish", "publish")
    try:
        child.end_of_input()
        ended = child.wait(lambda snapshot: say(_line(snapshot, destination)), idle_s)
    finally:
        code = child.stop()
    report = child.last.report(destination)
    if ended:
        return report
    if code < 0 and -code in {signal.SIGTERM, signal.SIGKILL}:
        reasons = (*report.reasons, f"nothing was taken for {idle_s:g} s")
        return Report(report.published, report.waiting, reasons, report.store, report.tracking)
    said = _last_line(child.log, find_secrets(os.environ, destination.scrub))
    raise DeliveryError(f"The delivery process failed (exit {code}): {said}")


def _line(snapshot: Snapshot, destination: Destination) -> str:
    done = snapshot.known - snapshot.waiting
    text = f"publishing to {destination.store}: {done} of {snapshot.known}"
    return text + "".join(f" ({reason.rstrip('.')})" for reason in snapshot.reasons[:1])


def _last_line(log: Path, secrets: Secrets) -> str:
    try:
        lines = log.read_text("utf-8", "replace").strip().splitlines()
    except OSError:
        return "no word"
    return scrub_text(lines[-1], secrets) if lines else "no word"


__all__ = ["Follower", "publish"]
