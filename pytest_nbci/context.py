"""All that running a notebook needs to know of the session; the same in every worker."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pytest_nbci import records
from pytest_nbci.delivery import Destination
from pytest_nbci.records import Commit
from pytest_nbci.repository import Repository
from pytest_nbci.selecting import Ground
from pytest_nbci.settings import DataProfile, Table, resolve_profile
from pytest_nbci.store import FolderStore


@dataclass(frozen=True)
class Context:
    """All that running a notebook needs to know of the session; the same in every worker."""

    repository: Repository
    table: Table
    profile: DataProfile
    project: str
    session: str
    destination: Destination
    publishes: bool
    notebooks: tuple[str, ...]
    timeout_flag: float | None
    started_at: str
    commit: Commit | None = None
    dirty: bool = False
    state_note: str = ""
    reasons: Mapping[str, str] = field(default_factory=dict)
    everything: str = ""

    @property
    def ground(self) -> Ground:
        """What an analysis of its trees needs."""
        return Ground(self.repository, self.table, self.profile)

    @property
    def store(self) -> FolderStore:
        """The results folder."""
        return FolderStore(self.destination.results)

    @property
    def prefix(self) -> str:
        """Where this session's results lie in the store."""
        return records.session_prefix(self.project, self.session)

    def to_plain(self) -> dict[str, Any]:
        """Values that can be sent to an xdist worker."""
        return {
            "top": os.fsencode(self.repository.top),
            "prefix": os.fsencode(self.repository.prefix),
            "profile": self.profile.name,
            "project": self.project,
            "session": self.session,
            "destination": {
                name: os.fsencode(value) if isinstance(value, Path) else value
                for name, value in vars(self.destination).items()
            },
            "publishes": self.publishes,
            "notebooks": [os.fsencode(path) for path in self.notebooks],
            "timeout_flag": self.timeout_flag,
            "started_at": self.started_at,
            "commit": dataclasses.asdict(self.commit) if self.commit else None,
            "dirty": self.dirty,
            "reasons": dict(self.reasons),
        }

    @classmethod
    def from_plain(cls, data: Mapping[str, Any], table: Table) -> Context:
        """The context that ``to_plain`` described; ``table`` is read again from its file."""
        repository = Repository(Path(os.fsdecode(data["top"])), os.fsdecode(data["prefix"]))
        destination: dict[str, Any] = {
            name: Path(os.fsdecode(value)) if isinstance(value, bytes) else value
            for name, value in data["destination"].items()
        }
        return cls(
            repository=repository,
            table=table,
            profile=resolve_profile(data["profile"], "the controller", table),
            project=data["project"],
            session=data["session"],
            destination=Destination(**destination),
            publishes=data["publishes"],
            notebooks=tuple(os.fsdecode(path) for path in data["notebooks"]),
            timeout_flag=data["timeout_flag"],
            started_at=data["started_at"],
            commit=Commit(**data["commit"]) if data["commit"] else None,
            dirty=data["dirty"],
            reasons=data["reasons"],
        )


def new_session_name(repository: Repository) -> tuple[str, str]:
    """A session's name and its start (UTC, ISO 8601)."""
    now = datetime.now(UTC)
    started = now.isoformat(timespec="milliseconds")
    return records.new_session_name(now, repository.head), started
