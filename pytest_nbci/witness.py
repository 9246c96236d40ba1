"""What verdicts depended on: joins what a run read with what its notebook statically depends on."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_nbci.execution.checkout import Snapshot
from pytest_nbci.execution.observe import Observed, Observer, can_observe
from pytest_nbci.execution.run import Run
from pytest_nbci.repository import printable
from pytest_nbci.selecting import Ground, analyse
from pytest_nbci.selection import Analysis, Evidence, Readings, gather

_CONFTEST = "conftest.py"


@dataclass(frozen=True)
class FixtureUse:
    """Whether a notebook's test uses fixtures of the repository, and whether one makes its data."""

    is_any: bool
    makes_data: bool


class Witness:
    """In each process that runs notebooks, and in the controller; ``close`` must be called.

    Args:
        ground: The project.
        snapshot: What is tested.
        cache: The folder that this project may write; None: nothing is kept.
    """

    def __init__(self, ground: Ground, snapshot: Snapshot, cache: Path | None) -> None:
        self._ground = ground
        self._snapshot = snapshot
        self._cache = cache
        self._fixtures: Observer | None = None

    @cached_property
    def analysis(self) -> Analysis:
        """What is known of the snapshot's notebooks."""
        return analyse(self._ground, self._snapshot.parts(), self._cache)

    @cached_property
    def hashes(self) -> Hashes:
        """SHA-256 of what notebooks read."""
        return Hashes(self.analysis)

    def watch_fixtures(self, scratch: Path) -> None:
        """Note from now on what is opened and listed in the user's tree.

        A fixture or hook of a conftest.py may read it; without such a file nobody asks.
        """
        top, tree = self._ground.repository.top, self.analysis.tree
        if self._fixtures is None and _CONFTEST in tree.by_name and can_observe(scratch):
            folders = [str(path) for one in tree.folders if (path := top / one).is_dir()]
            self._fixtures = Observer(top, folders)

    def evidence(self, path: str, run: Run | None, use: FixtureUse) -> Evidence | None:
        """What the verdict of a notebook depended on; None for one that is in no commit.

        Args:
            path: The notebook, relative to the project root.
            run: Its run, which is over; None where it came to none.
            use: What fixtures of the repository had to do with it.
        """
        prefix = self._ground.repository.prefix
        name = printable(prefix + path)
        if name not in self.analysis.tree.git:
            return None
        seen, laid = Observed(), {}
        is_passed = run is not None and run.verdict is not None and run.verdict.outcome == "passed"
        if run is not None and (is_passed or run.observed.is_complete):
            seen = run.observed
        if run is not None and use.makes_data:
            sources = run.laid.sources
            laid = {posixpath.normpath(prefix + one): file for one, file in sources.items()}
        readings = Readings(
            seen.files,
            seen.folders,
            seen.outside,
            seen.outside_folders,
            seen.is_complete,
            seen.is_possible,
            laid,
            started_at="" if run is None else run.started_at,
        )
        return gather(self.analysis, name, self._with_fixtures(name, readings, use))

    def _with_fixtures(self, name: str, readings: Readings, use: FixtureUse) -> Readings:
        """What the notebook ``name`` read, with what its conftest.py files have read."""
        if self._fixtures is None or not self.analysis.conftests(name):
            return readings
        seen = self._fixtures.so_far()
        # Test data that the profile names we ourselves copy from there.
        opened = seen.files if use.is_any else seen.files - self.analysis.tree.sources
        return replace(
            readings,
            opened=opened,
            folders={*readings.folders, *seen.folders},
            is_complete=readings.is_complete and seen.is_complete,
        )

    def close(self) -> None:
        """End what is open."""
        if self._fixtures is not None:
            self._fixtures.finish()
            self._fixtures = None
        if "analysis" in self.__dict__:
            self.analysis.sources.close()


@dataclass
class Hashes:
    """SHA-256 and size of inputs, worked out once per content."""

    analysis: Analysis
    _known: dict[str, tuple[str | None, int | None]] = field(default_factory=dict)

    def folders(self, found: Iterable[str]) -> tuple[str, ...]:
        """Folders as a record lists them, relative to the project root."""
        root = self.analysis.rules.prefix.rstrip("/") or "."
        return tuple(posixpath.relpath(folder or ".", root) for folder in found)

    def inputs(self, found: Mapping[str, str]) -> tuple[dict[str, Any], ...]:
        """Inputs as a record lists them, with paths relative to the project root."""
        root = self.analysis.rules.prefix.rstrip("/") or "."
        listed = []
        for path, value in found.items():
            if value not in self._known:
                self._known[value] = self._read(path)
            sha256, size = self._known[value]
            name = path if path.startswith("/") else posixpath.relpath(path, root)
            origin = "test data" if path in self.analysis.tree.data else "git"
            listed.append(
                {
                    "path": name,
                    "sha256": sha256,
                    "bytes": size,
                    "origin": "outside" if path.startswith("/") else origin,
                }
            )
        return tuple(listed)

    def _read(self, path: str) -> tuple[str | None, int | None]:
        tree = self.analysis.tree
        try:
            if path in tree.data or path.startswith("/"):
                file = tree.data.get(path, Path(path))
                with file.open("rb") as content:
                    digest = hashlib.file_digest(content, "sha256").hexdigest()
                return digest, file.stat().st_size
        except OSError:
            return None, None
        content_of_blob = self.analysis.sources.read(tree, path)
        if content_of_blob is None:
            return None, None
        return hashlib.sha256(content_of_blob).hexdigest(), len(content_of_blob)
