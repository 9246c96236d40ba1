"""What fixtures and hooks of a conftest.py open and list in the user's tree, tracked or not."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import islice

from pytest_nbci.execution.observe import Observed, Observer
from pytest_nbci.repository import printable
from pytest_nbci.selection import Tree

# Each is watched by each worker, and the system allows one user 8,192 on a small machine.
_UNTRACKED_AT_MOST = 500
# What we read ourselves, where a checkout of this plugin is tested.
_OURS = f"{os.path.dirname(os.path.abspath(__file__))}/"  # noqa: PTH100, PTH120 - text
_NO_DATA = ("__pycache__", "node_modules", "site-packages")
_ENVIRONMENT = ("pyvenv.cfg", "conda-meta")


class FixtureWatch:
    """Finds at once which folders to watch, and watches from ``start`` to ``close``."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._top = tree.parts[0].top
        self._data = {str(file) for file in tree.data.values()}
        tracked = [f"{self._top}/{folder}".rstrip("/") for folder in tree.folders]
        untracked = islice(_untracked_folders(str(self._top), tracked), _UNTRACKED_AT_MOST)
        # Listed before anybody watches: it would seem that a fixture did it.
        found = (*tracked, *untracked)
        self._folders = [folder for folder in found if not f"{folder}/".startswith(_OURS)]
        self._observer: Observer | None = None

    def start(self) -> None:
        """Watch from now on."""
        if self._observer is None:
            found = [one for one in self._folders if os.access(one, os.R_OK)]
            self._observer = Observer(self._top, found)

    @contextmanager
    def ignoring(self) -> Iterator[None]:
        """Do not tell what happens meanwhile: it is we who lay test data."""
        with nullcontext() if self._observer is None else self._observer.ignoring():
            yield

    def so_far(self) -> Observed | None:
        """What was read since the start; what is not tracked as ``outside``, by absolute paths."""
        if self._observer is None:
            return None
        seen, tree = self._observer.so_far(), self._tree
        files = frozenset(name for name in seen.files if printable(name) in tree.git)
        folders = frozenset(name for name in seen.folders if printable(name) in tree.folders)
        return Observed(
            files,
            folders,
            frozenset(self._untracked(seen.files - files, self._observer.begun_ns)),
            frozenset(self._untracked(seen.folders - folders, self._observer.begun_ns)),
            seen.is_complete,
        )

    def _untracked(self, names: Iterable[str], begun_ns: int) -> Iterator[str]:
        """What was there before: what this session wrote is its result, no input.

        Test data that the profile names we ourselves copy from there.
        """
        for path in (f"{self._top}/{name}" for name in names):
            try:
                state = os.stat(path)  # noqa: PTH116 - text
            except OSError:
                continue
            is_plain = stat.S_ISREG(state.st_mode) or stat.S_ISDIR(state.st_mode)
            if is_plain and state.st_mtime_ns < begun_ns and path not in self._data:
                yield path

    def close(self) -> None:
        """End what is open."""
        if self._observer is not None:
            self._observer.finish()
            self._observer = None


def _untracked_folders(top: str, tracked: Collection[str]) -> Iterator[str]:
    """Folders that may hold data, a linked one by its link; none of environments and caches."""
    own = {*tracked}
    pending = [(folder, False) for folder in tracked]
    for folder, is_linked in pending:  # which grows
        entries = _entries(folder)
        if folder not in own:
            if any(entry.name in _ENVIRONMENT for entry in entries):
                continue
            yield folder
        for entry in entries:
            leads = entry.is_symlink()
            if (
                _is_folder(entry)
                and entry.path not in own
                and not (entry.name.startswith(".") or entry.name in _NO_DATA)
                and not (leads and (is_linked or _meet(entry.path, top)))
            ):
                pending.append((entry.path, is_linked or leads))


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a circle of links
        return False


def _meet(link: str, top: str) -> bool:
    """Whether a link leads to a folder below ``top``, or above it."""
    aim, real = os.path.realpath(link), os.path.realpath(top)
    return f"{aim}/".startswith(f"{real}/") or f"{real}/".startswith(f"{aim}/")
