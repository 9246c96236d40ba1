"""The body of a delivery process: everything in the results folder to where it belongs.

What is delivered is marked in the session's journal, whose lock makes one process the only
deliverer of a session.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import IO, TYPE_CHECKING

from pytest_nbci.delivery.journal import Journal
from pytest_nbci.delivery.lost import write_lost
from pytest_nbci.delivery.outbox import find, notebooks, sessions, undelivered
from pytest_nbci.delivery.prune import prune
from pytest_nbci.delivery.snapshot import Snapshot
from pytest_nbci.delivery.work import Work

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_nbci.delivery.destination import Destination
    from pytest_nbci.delivery.lane import AwayError
    from pytest_nbci.delivery.outbox import Folder

# Of sessions that another process delivers right now.
_LOCK_PATIENCE_S = 30.0
# From the end of its pipe until a killed pytest is gone.
_DYING_S = 2.0
# Open journals at once, well below the usual limit of 1024 open files.
_SESSIONS_AT_ONCE = 64


def follow_session(destination: Destination, session: str, lines: IO[str], out: IO[str]) -> int:
    """Deliver a session while it runs.

    Args:
        destination: Where to.
        session: Its name.
        lines: One name of a notebook a line, when its result is complete; the end of file is
            the end of the session, however it came.
        out: Gets a ``Snapshot`` line at every change.

    Returns:
        0, also when something waits; 1 when another process delivers this session.
    """
    say = _Voice(out)
    with contextlib.ExitStack() as stack:
        journal = Journal.open(destination.journals, session, _LOCK_PATIENCE_S)
        if journal is None:
            say(Snapshot(reasons=(_held(1),), done=True))
            return 1
        stack.enter_context(journal)
        # Beside the notebooks that run, and given up when they end first.
        threading.Thread(target=prune, args=(destination,), name="nbci-prune", daemon=True).start()
        work = Work(destination, say)
        work.look()
        # The plan lies there already: a key that may not write is noticed now.
        folder = work.open(find(destination.results, session), journal)
        for line in lines:
            folder = folder or work.open(find(destination.results, session), journal)
            if folder is not None:
                work.offer(folder, line.rstrip("\n"))
        folder = folder or work.open(find(destination.results, session), journal)
        if folder is not None:
            write_lost(folder, _DYING_S)
            store, tracking = undelivered(folder, destination, journal.marks())
            for notebook in sorted(store | tracking):
                work.offer(folder, notebook)
            work.know(folder, notebooks(folder))
        work.finish()
    return 0


def deliver_all(destination: Destination, out: IO[str]) -> int:
    """Deliver what waits in the results folder, of all sessions.

    Returns:
        0, also when something waits.
    """
    say = _Voice(out)
    total = _Total(say)
    held: list[Folder] = []
    given_up: dict[str, AwayError] = {}
    for wait_s in (0.0, _LOCK_PATIENCE_S):
        folders = list(sessions(destination.results)) if wait_s == 0 else held
        held = []
        for start in range(0, len(folders), _SESSIONS_AT_ONCE):
            with contextlib.ExitStack() as stack:
                work = Work(destination, total.add, given_up)
                for folder in folders[start : start + _SESSIONS_AT_ONCE]:
                    journal = Journal.open(destination.journals, folder.session, wait_s)
                    if journal is None:
                        held.append(folder)
                        continue
                    stack.enter_context(journal)
                    write_lost(folder)
                    work.take(folder, journal)
                work.finish()
                given_up = work.given_up()
            total.next()
    if held:
        total.add(Snapshot(reasons=(_held(len(held)),)))
        total.next()
    prune(destination)
    say(total.snapshot(done=True))
    return 0


def _held(count: int) -> str:
    sessions_ = "A session is" if count == 1 else f"{count} sessions are"
    return f"{sessions_} being delivered by another process."


class _Voice:
    """Writes snapshots; when the reader went away, the last reasons go to the log instead."""

    def __init__(self, out: IO[str]) -> None:
        self._out: IO[str] | None = out
        self._lock = threading.Lock()

    def __call__(self, snapshot: Snapshot) -> None:
        with self._lock:
            if self._out is not None:
                try:
                    self._out.write(snapshot.to_line())
                    self._out.flush()
                except (OSError, ValueError):
                    self._out = None
            if self._out is None and snapshot.done:
                sys.stderr.writelines(f"{reason}\n" for reason in snapshot.reasons)


class _Total:
    """Adds up the snapshots of one batch of sessions after the other."""

    def __init__(self, say: Callable[[Snapshot], None]) -> None:
        self._say = say
        self._past = Snapshot()
        self._now = Snapshot()

    def add(self, snapshot: Snapshot) -> None:
        self._now = snapshot
        self._say(self.snapshot())

    def next(self) -> None:
        self._past, self._now = self.snapshot(), Snapshot()

    def snapshot(self, *, done: bool = False) -> Snapshot:
        past, now = self._past, self._now
        return Snapshot(
            known=past.known + now.known,
            published=past.published + now.published,
            waiting=past.waiting + now.waiting,
            reasons=tuple(dict.fromkeys(past.reasons + now.reasons)),
            alive=past.alive + now.alive,
            done=done,
        )
