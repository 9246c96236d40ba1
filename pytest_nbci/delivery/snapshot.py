"""How far a delivery is: the one kind of line that a delivery process writes."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Self

from pytest_nbci.delivery.destination import Destination, Report


@dataclass(frozen=True)
class Snapshot:
    """How far a delivery is.

    Attributes:
        known: Notebooks whose results are complete.
        published: Those that the store has (without a store: MLflow).
        waiting: Those that lack a part somewhere.
        reasons: What stands in the way now, one sentence each.
        alive: Grows while a big file is under way.
        done: This is the last line.
    """

    known: int = 0
    published: int = 0
    waiting: int = 0
    reasons: tuple[str, ...] = ()
    alive: int = 0
    done: bool = False

    @classmethod
    def from_line(cls, line: str) -> Self:
        """The snapshot that ``to_line`` wrote.

        Raises:
            ValueError: It is no such line.
        """
        data = json.loads(line)
        if not isinstance(data, dict):
            raise ValueError(line)  # noqa: TRY004 - as json's own
        return cls(**{**data, "reasons": tuple(data["reasons"])})

    def to_line(self) -> str:
        """One line of JSON."""
        return json.dumps(dataclasses.asdict(self)) + "\n"

    def progress(self) -> tuple[int, int, int]:
        """What changes when something was delivered."""
        return self.published, self.waiting, self.alive

    def report(self, destination: Destination) -> Report:
        """The same for a summary."""
        return Report(
            published=self.published,
            waiting=self.waiting,
            reasons=self.reasons,
            store=destination.store,
            tracking=destination.tracking,
        )
