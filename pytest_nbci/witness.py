"""What verdicts depended on: joins what a run read with what its notebook statically depends on."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_nbci.execution.checkout import Snapshot
from pytest_nbci.execution.observe import Observed, can_observe
from pytest_nbci.execution.run import Run
from pytest_nbci.execution.test_data import folders_of
from pytest_nbci.fixture_watch import FixtureWatch
from pytest_nbci.loaded import Loaded, remember_folders
from pytest_nbci.repository import printable
from pytest_nbci.selecting import Ground, analyse
from pytest_nbci.selection import Analysis, Evidence, Readings, gather
from pytest_nbci.selection.tree import HASHED_BELOW_BYTES

_CONFTEST = "conftest.py"


@dataclass(frozen=True)
class FixtureUse:
    """What fixtures and plugins of the repository have to do with a notebook's test.

    Args:
        is_any: It uses a fixture of the repository.
        makes_data: One of them makes its data.
        plugins: Files of pytest's plugins, relative to the top.
    """

    is_any: bool
    makes_data: bool
    plugins: frozenset[str] = frozenset()


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
        self._fixtures: FixtureWatch | None = None
        self._is_blind = False

    @cached_property
    def analysis(self) -> Analysis:
        """What is known of the snapshot's notebooks."""
        return analyse(self._ground, self._snapshot.parts(), self._cache)

    @cached_property
    def _loaded(self) -> Loaded:
        return Loaded(self.analysis)

    @cached_property
    def hashes(self) -> Hashes:
        """SHA-256 of what notebooks read."""
        return Hashes(self.analysis)

    def look_ahead(self) -> None:
        """Read and list now what we need of the working tree, and what Python keeps in memory.

        A fixture would seem to do so where it is watched, by this process or another.
        """
        try:
            if _CONFTEST in self.analysis.tree.by_name:
                self._fixtures = FixtureWatch(self.analysis.tree)
                self.analysis.look_outside()
                remember_folders()
        except Exception:  # noqa: BLE001 - an oddity of the tree must not end the session
            self._is_blind = True

    def watch_fixtures(self, scratch: Path) -> None:
        """Note from now on what is opened and listed in the user's tree.

        A fixture or hook of a conftest.py may read it; without such a file nobody asks.
        """
        if self._fixtures is not None and can_observe(scratch):
            self._fixtures.start()

    def ignoring(self) -> AbstractContextManager[None]:
        """Take nothing for a fixture's reading that happens meanwhile."""
        return nullcontext() if self._fixtures is None else self._fixtures.ignoring()

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
        laid_folders: set[Path] = set()
        is_passed = run is not None and run.verdict is not None and run.verdict.outcome == "passed"
        if run is not None and (is_passed or run.observed.is_complete):
            seen = run.observed
        if run is not None and use.makes_data:
            sources = run.laid.sources
            laid = {posixpath.normpath(prefix + one): file for one, file in sources.items()}
            root = self._ground.repository.root
            laid_folders = folders_of(run.order.data, sources.values(), root)
        readings = Readings(
            seen.files,
            seen.folders,
            seen.outside,
            seen.outside_folders,
            seen.is_complete,
            seen.is_possible,
            laid,
            started_at="" if run is None else run.started_at,
            laid_folders=laid_folders,
        )
        readings = self._with_fixtures(name, readings, use)
        loaded = self._loaded_for(name, use)
        return gather(self.analysis, name, replace(readings, opened={*readings.opened, *loaded}))

    def _loaded_for(self, name: str, use: FixtureUse) -> Iterator[str]:
        """Modules that pytest loaded for the notebook ``name``, beside those of its basis."""
        tree, known = self.analysis.tree, self.analysis.basis(name).files
        plugins = (path for path in use.plugins if posixpath.basename(path) != _CONFTEST)
        for path in self._loaded.since([*self.analysis.conftests(name), *plugins]):
            if known.get(path) != tree.id(path):
                yield path

    def _with_fixtures(self, name: str, readings: Readings, use: FixtureUse) -> Readings:
        """What the notebook ``name`` read, with what its conftest.py files have read."""
        seen = None if self._fixtures is None else self._fixtures.so_far()
        if not self.analysis.conftests(name):
            return readings
        if seen is None:
            return replace(readings, is_complete=readings.is_complete and not self._is_blind)
        # Test data that the profile names we ourselves copy from there.
        opened = seen.files if use.is_any else seen.files - self.analysis.tree.sources
        return replace(
            readings,
            opened=opened,
            folders={*readings.folders, *seen.folders},
            outside={*readings.outside, *seen.outside},
            outside_folders={*readings.outside_folders, *seen.outside_folders},
            is_complete=readings.is_complete and seen.is_complete and not self._is_blind,
        )

    def close(self) -> None:
        """End what is open."""
        if self._fixtures is not None:
            self._fixtures.close()
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
                size = file.stat().st_size
                if path.startswith("/") and size > HASHED_BELOW_BYTES:
                    return None, size
                with file.open("rb") as content:
                    digest = hashlib.file_digest(content, "sha256").hexdigest()
                return digest, size
        except OSError:
            return None, None
        content_of_blob = self.analysis.sources.read(tree, path)
        if content_of_blob is None:
            return None, None
        return hashlib.sha256(content_of_blob).hexdigest(), len(content_of_blob)
