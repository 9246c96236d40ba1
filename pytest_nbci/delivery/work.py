"""One delivery under way: two lanes, and what goes through them.

The store and MLflow each have a lane of their own, so that one being away does not stop the
other.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_nbci.delivery.lane import Lane
from pytest_nbci.delivery.opening import open_store, open_tracking
from pytest_nbci.delivery.outbox import session_files, stale, undelivered
from pytest_nbci.delivery.snapshot import Snapshot
from pytest_nbci.delivery.tracking import track_result
from pytest_nbci.delivery.uploads import upload_result, upload_session
from pytest_nbci.errors import DeliveryError
from pytest_nbci.scrub import find_secrets, scrub_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_nbci.delivery.destination import Destination
    from pytest_nbci.delivery.journal import Journal
    from pytest_nbci.delivery.lane import AwayError
    from pytest_nbci.delivery.outbox import Folder
    from pytest_nbci.delivery.tracking import Tracking
    from pytest_nbci.store import S3Store

_UPLOADS_AT_ONCE = 8
_SERVER_RUNS_AT_ONCE = 4
_TELL_EVERY_S = 0.1
_ALIVE_EVERY_S = 1.0


@dataclass(frozen=True)
class Item:
    """One result on its way; without a notebook, what a session begins with."""

    folder: Folder | None
    notebook: str


class Work:
    """The lanes of one delivery and what goes through them.

    Args:
        destination: Where to.
        say: Called with how far it is, from any thread.
        given_up: Lanes that an earlier work of this process gave up, and why.
    """

    def __init__(
        self,
        destination: Destination,
        say: Callable[[Snapshot], None],
        given_up: Mapping[str, AwayError] | None = None,
    ) -> None:
        self._destination = destination
        self._say = say
        self._given_up = dict(given_up or {})
        self._secrets = find_secrets(os.environ, destination.scrub)
        self._journals: dict[Folder, Journal] = {}
        self._known: set[Item] = set()
        self._tails: list[str] = []
        self._alive = 0
        self._breathed_at = 0.0
        self._news = threading.Event()
        self._ended = threading.Event()
        self._opening = {"store": threading.Lock(), "tracking": threading.Lock()}
        self._opened_store: S3Store | None = None
        self._opened_tracking: Tracking | None = None
        self._store: Lane[Item] | None = None
        self._tracking: Lane[Item] | None = None
        uri = destination.tracking_uri
        if destination.store_url is not None:
            self._store = Lane("store", self._upload, _UPLOADS_AT_ONCE, self._changed)
        if uri is not None:
            threads = _SERVER_RUNS_AT_ONCE if uri.startswith("http") else 1
            self._tracking = Lane("tracking", self._track, threads, self._changed)
        self._teller = threading.Thread(target=self._tell_news, name="nbci-teller", daemon=True)
        self._teller.start()

    def look(self) -> None:
        """Open both destinations now, so that what is wrong is said early."""
        for lane in self._lanes():
            lane.offer(Item(None, ""))

    def open(self, folder: Folder | None, journal: Journal) -> Folder | None:
        """Take over a session's folder, once there is one, and bring what it begins with."""
        if folder is not None:
            self._journals[folder] = journal
            if self._store is not None:
                self._store.offer(Item(folder, ""))
        return folder

    def take(self, folder: Folder, journal: Journal) -> None:
        """Take over a session and deliver what is complete and was not delivered before."""
        self._journals[folder] = journal
        store, tracking = undelivered(folder, self._destination, journal.marks())
        self._known |= {Item(folder, notebook) for notebook in store | tracking}
        for lane, names in ((self._store, store), (self._tracking, tracking)):
            # One that has nothing to take is not opened: MLflow takes seconds to import.
            for notebook in ["", *sorted(names)] if names else ():
                if lane is not None:
                    lane.offer(Item(folder if notebook else None, notebook))

    def offer(self, folder: Folder, notebook: str) -> None:
        """Deliver a result that is complete."""
        item = Item(folder, notebook)
        self._known.add(item)
        for lane in self._lanes():
            lane.offer(item)

    def finish(self) -> None:
        """Bring everything that can be brought, then what the sessions end with."""
        self._changed()
        for lane in self._lanes():
            lane.hurry()
        if self._tracking is not None:
            self._tracking.finish()
        if self._store is not None:
            self._store.finish()
            self._bring_tails(self._store)
        self._ended.set()
        self._news.set()
        self._teller.join()
        self._say(self._snapshot(done=True))

    def given_up(self) -> dict[str, AwayError]:
        """Lanes that were given up, and why."""
        lanes = {"store": self._store, "tracking": self._tracking}
        found = {name: lane.given_up() for name, lane in lanes.items() if lane is not None}
        return {name: away for name, away in found.items() if away is not None}

    def _lanes(self) -> list[Lane[Item]]:
        return [lane for lane in (self._store, self._tracking) if lane is not None]

    def _upload(self, item: Item) -> None:
        store = self._open_store()
        if item.folder is None:
            return
        journal = self._journals[item.folder]
        if item.notebook:
            upload_result(store, item.folder, item.notebook, journal, self._breathe)
        else:
            upload_session(store, item.folder, journal, self._breathe)

    def _track(self, item: Item) -> None:
        tracking = self._open_tracking()
        if item.folder is None:
            return
        journal = self._journals[item.folder]
        track_result(tracking, item.folder, item.notebook, journal, self._breathe)
        if self._store is not None:  # <notebook>.mlflow.json is new
            self._store.offer(item)

    def _open_store(self) -> S3Store:
        with self._opening["store"]:
            if "store" in self._given_up:
                raise self._given_up["store"]
            if self._opened_store is None:
                self._opened_store = open_store(self._destination, 2 * _UPLOADS_AT_ONCE)
            return self._opened_store

    def _open_tracking(self) -> Tracking:
        with self._opening["tracking"]:
            if "tracking" in self._given_up:
                raise self._given_up["tracking"]
            if self._opened_tracking is None:
                self._opened_tracking = open_tracking(self._destination)
            return self._opened_tracking

    def _bring_tails(self, store: Lane[Item]) -> None:
        """``_session.json`` says complete in the store only where all its results are there."""
        lacking = {item.folder for item in store.waiting() if item.notebook}
        for folder, journal in self._journals.items():
            mark = str(self._destination.store_mark)
            if folder in lacking or not stale(session_files(folder), mark, journal.marks()):
                continue
            if store.given_up() is not None:
                continue
            try:
                upload_session(self._open_store(), folder, journal, self._breathe)
            except DeliveryError as error:
                self._tails.append(str(error))

    def _breathe(self) -> None:
        self._alive += 1
        if time.monotonic() - self._breathed_at > _ALIVE_EVERY_S:
            self._breathed_at = time.monotonic()
            self._changed()

    def _changed(self) -> None:
        self._news.set()

    def _tell_news(self) -> None:
        """Say how far it is after every change, and not more often than a reader can follow."""
        while self._news.wait() and not self._ended.is_set():
            self._news.clear()
            self._say(self._snapshot())
            self._ended.wait(_TELL_EVERY_S)

    def _reasons(self) -> tuple[str, ...]:
        lanes = [reason for lane in self._lanes() for reason in lane.reasons()]
        told = (scrub_text(reason, self._secrets) for reason in lanes + self._tails)
        return tuple(dict.fromkeys(told))

    def _snapshot(self, *, done: bool = False) -> Snapshot:
        waits = [{item for item in lane.waiting() if item.notebook} for lane in self._lanes()]
        first = waits[0] if waits else set()
        known = len(self._known)
        return Snapshot(
            known=known,
            published=known - len(first),
            waiting=len(set().union(*waits)),
            reasons=self._reasons(),
            alive=self._alive,
            done=done,
        )

    def know(self, folder: Folder, names: list[str]) -> None:
        """Count these results too, which were delivered before."""
        self._known |= {Item(folder, name) for name in names}
