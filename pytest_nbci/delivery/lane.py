"""One destination's queue: in parallel, patient while the destination is away, bounded at the end.

Each item is delivered by a function that raises ``AwayError`` when the destination itself is in
trouble (then the lane stands still, and tries one item again after a growing pause) or another
``DeliveryError`` when only this item is (then it is tried once more after the others, as another
machine may have been at it, and waits). The first item goes alone, so that a destination that is
away is waited for once and not by every thread.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Hashable
from typing import TYPE_CHECKING, Generic, TypeVar

from pytest_nbci.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable

Item = TypeVar("Item", bound=Hashable)

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
_LAST_TRIES = 3
_LAST_PAUSE_S = 0.5
_LAST_S = 5.0


class AwayError(DeliveryError):
    """The destination did not take anything: it is away, overloaded, or refuses us.

    Args:
        message: One sentence, the same for every item.
        cure: What to do.
        final: The destination answered and said no, so that asking again soon is useless.
    """

    def __init__(self, message: str, cure: str = "", *, final: bool = False) -> None:
        super().__init__(message, cure)
        self.final = final


class Lane(Generic[Item]):
    """Threads that bring items to one destination.

    Args:
        name: For the threads' names.
        deliver: Brings one item; may be called from several threads at once.
        threads: How many.
        changed: Called after every change, from any thread.
    """

    def __init__(
        self,
        name: str,
        deliver: Callable[[Item], None],
        threads: int,
        changed: Callable[[], None],
    ) -> None:
        self._deliver = deliver
        self._changed = changed
        self._condition = threading.Condition()
        self._queue: dict[Item, None] = {}  # in order
        self._busy: dict[Item, int] = {}
        self._again: set[Item] = set()
        self._refused: dict[Item, str] = {}
        self._doubtful: set[Item] = set()
        self._away: AwayError | None = None
        self._proven = False
        self._failures = 0
        self._round = 0
        self._closed_until = 0.0
        self._hurried_at: float | None = None  # or the last success since
        self._ending = False
        self._given_up = False
        self._threads = [
            threading.Thread(target=self._work, name=f"nbci-{name}-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def offer(self, item: Item) -> None:
        """Deliver ``item`` when its turn comes; once more if it is being delivered right now."""
        with self._condition:
            self._refused.pop(item, None)
            if item in self._busy:
                self._again.add(item)
            elif item not in self._queue:
                self._queue[item] = None
                self._condition.notify()

    def hurry(self) -> None:
        """Somebody waits now: try a destination that is away at once, give it up in seconds."""
        with self._condition:
            self._hurried_at = time.monotonic()
            self._failures = 0
            self._closed_until = 0.0
            self._condition.notify_all()

    def finish(self) -> None:
        """Hurry, and wait until everything offered is delivered or given up."""
        if self._hurried_at is None:
            self.hurry()
        with self._condition:
            self._ending = True
            self._condition.notify_all()
        for thread in self._threads:
            thread.join()

    def waiting(self) -> set[Item]:
        """Items that were offered and are not delivered."""
        with self._condition:
            return {*self._queue, *self._busy, *self._refused}

    def reasons(self) -> list[str]:
        """Why items wait, one sentence each; empty when nothing stands in the way."""
        with self._condition:
            away = [] if self._away is None else [str(self._away)]
            return list(dict.fromkeys(away + list(self._refused.values())))

    def given_up(self) -> AwayError | None:
        """Why the destination was given up at the end; None if it was not."""
        with self._condition:
            return self._away if self._given_up else None

    def _work(self) -> None:
        while (item := self._next()) is not None:
            try:
                self._deliver(item)
            except AwayError as away:
                self._put_back(item, away)
            except DeliveryError as error:
                self._put_aside(item, str(error))
            except Exception as error:  # noqa: BLE001 - anything may come out of boto3 and MLflow
                self._put_aside(item, f"{type(error).__name__}: {error}")
            else:
                self._take_off(item)
            self._changed()

    def _next(self) -> Item | None:
        """The next item, when the destination may be asked; None when there is no more to do."""
        with self._condition:
            while True:
                if self._given_up or (self._ending and not self._queue and not self._busy):
                    self._condition.notify_all()
                    return None
                pause = self._closed_until - time.monotonic()
                may_go = (self._proven and self._away is None) or not self._busy
                if self._queue and may_go and pause <= 0:
                    item = next(iter(self._queue))
                    del self._queue[item]
                    self._busy[item] = self._round
                    return item
                self._condition.wait(pause if self._queue and may_go else None)

    def _take_off(self, item: Item) -> None:
        with self._condition:
            self._away = None
            self._failures = 0
            if self._hurried_at is not None:
                self._hurried_at = time.monotonic()
            self._leave(item)

    def _put_aside(self, item: Item, reason: str) -> None:
        with self._condition:
            if item in self._doubtful:
                self._refused[item] = reason
            else:
                self._doubtful.add(item)
                self._again.add(item)
            self._leave(item)

    def _put_back(self, item: Item, away: AwayError) -> None:
        with self._condition:
            # Items that were under way together fail together: that is one failure.
            if self._busy.pop(item) == self._round:
                self._round += 1
                self._failures += 1
                self._closed_until = time.monotonic() + self._pause_s()
            self._away = away
            if self._hurried_at is not None:
                late = time.monotonic() - self._hurried_at > _LAST_S
                self._given_up = away.final or late or self._failures >= _LAST_TRIES
            self._again.discard(item)
            self._queue[item] = None
            self._condition.notify_all()

    def _pause_s(self) -> float:
        if self._hurried_at is not None:
            pause = _LAST_PAUSE_S * 2 ** (self._failures - 1)
        else:
            pause = min(_FIRST_PAUSE_S * 2 ** (self._failures - 1), _LONGEST_PAUSE_S)
        return float(pause * random.uniform(0.5, 1.0))  # noqa: S311 - not for secrets

    def _leave(self, item: Item) -> None:
        self._proven = True
        self._busy.pop(item, None)
        if item in self._again:
            self._again.discard(item)
            self._refused.pop(item, None)
            self._queue[item] = None
        self._condition.notify_all()
