"""What a run reads in its checkout: every file that is opened and every folder that is listed.

Linux tells it by inotify, of any process and of native code too (man 7 inotify). Elsewhere, and
where a limit of the system is reached, the answer is "not known", never "nothing".
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pytest_nbci.execution.hard_links import touched_since
from pytest_nbci.execution.test_data import LaidOver

_GIT = ".git"
_PROBE_MS = 1_000
# Folders and files outside of the checkout that links in it lead to.
_FOLDERS_OUTSIDE = 2_000
# Files that are looked at in folders that nobody listed: they take 0.5 ms of each run.
_LOOKED_AT = 250


@dataclass(frozen=True)
class Observed:
    """What was read.

    Args:
        files: Files opened, relative to the top of the checkout, whoever wrote them.
        folders: Folders listed, the same way; "" is the top.
        outside: Files elsewhere that a link in the checkout leads to.
        outside_folders: Folders listed there.
        is_complete: Nothing is missing; otherwise what was read is not known.
        is_possible: This system tells it at all.
    """

    files: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()
    outside: frozenset[str] = frozenset()
    outside_folders: frozenset[str] = frozenset()
    is_complete: bool = True
    is_possible: bool = True

    def __or__(self, other: Observed) -> Observed:
        """What was read in one or the other of two runs."""
        return Observed(
            self.files | other.files,
            self.folders | other.folders,
            self.outside | other.outside,
            self.outside_folders | other.outside_folders,
            self.is_complete and other.is_complete,
            self.is_possible and other.is_possible,
        )


UNKNOWN = Observed(is_complete=False)
IMPOSSIBLE = Observed(is_complete=False, is_possible=False)


class Observer:
    """Watches a tree of folders; ``finish`` must be called.

    Args:
        top: Its top.
        folders: Folders to watch; those made below them are watched from then on.
        files: Single files elsewhere, to the names they are told by.
        is_all: What is to be watched is all of it.
    """

    def __init__(
        self,
        top: Path,
        folders: Iterable[str],
        files: Mapping[str, str] = MappingProxyType({}),
        *,
        is_all: bool = True,
    ) -> None:
        self.begun_ns = time.time_ns()
        self._top = str(top)
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._outside: set[str] = set()
        self._outside_folders: set[str] = set()
        self._is_linked = False
        self._is_complete = is_all
        self._paths: dict[int, str] = {}
        self._inotify: Any = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._wake = os.pipe()
        try:
            self._watch(folders, files)
        except OSError:  # no more watches or instances are allowed
            self._is_complete = False

    def _watch(self, folders: Iterable[str], files: Mapping[str, str]) -> None:
        from inotify_simple import INotify, flags

        self._flags = flags
        self._mask = flags.OPEN | flags.CREATE | flags.MOVED_FROM | flags.MOVED_TO
        self._inotify = INotify(nonblocking=True)
        for file, name in files.items():  # first: a link in a folder may lead to the same file
            self._add(file, name)
        for folder in folders:
            self._add(folder, folder)
        self._thread = threading.Thread(target=self._read, name="nbci-observer", daemon=True)
        self._thread.start()

    def _add(self, path: str, name: str) -> bool:
        """Watch ``path``; whether it was not watched before, under this name or another."""
        watch = self._inotify.add_watch(path, self._mask)
        is_new = watch not in self._paths
        self._paths.setdefault(watch, name)  # what was moved keeps its first name
        return is_new

    def kernel_is_ready(self) -> None:
        """Forget which folders were listed: Python lists its working folder when it starts."""
        if self._inotify is not None:
            self._drain()
            with self._lock:
                self._folders.clear()
                self._outside_folders.clear()

    @contextmanager
    def ignoring(self) -> Iterator[None]:
        """Do not tell what happens meanwhile."""
        before = self.so_far()
        try:
            yield
        finally:
            self.so_far()
            with self._lock:
                self._files, self._folders = {*before.files}, {*before.folders}

    def so_far(self) -> Observed:
        """What was read until now."""
        if self._inotify is not None:
            self._drain()
        with self._lock:
            return self._observed()

    def finish(self) -> Observed:
        """What was read; the run and all its processes are over."""
        if self._thread is not None:
            os.write(self._wake[1], b".")
            self._thread.join()
            self._thread = None
            self._drain()
        if self._inotify is not None:
            _close(self._inotify)
            self._inotify = None
        for descriptor in self._wake:
            with suppress(OSError):
                os.close(descriptor)
        return self._observed()

    def _observed(self) -> Observed:
        return Observed(
            frozenset(self._files),
            frozenset(self._folders),
            frozenset(self._outside),
            frozenset(self._outside_folders),
            self._is_complete,
        )

    def _read(self) -> None:
        poller = select.poll()
        poller.register(self._inotify.fileno(), select.POLLIN)
        poller.register(self._wake[0], select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poller.poll()}
            self._drain()
            if self._wake[0] in ready:
                return

    def _drain(self) -> None:
        with self._lock:
            for event in self._inotify.read(timeout=0):
                self._note(event.wd, event.mask, event.name)

    def _note(self, watch: int, mask: int, name: str) -> None:
        flags = self._flags
        if mask & flags.Q_OVERFLOW:
            self._is_complete = False
        path = self._paths.get(watch)
        if path is None or mask & flags.IGNORED:
            return
        if name:
            path = f"{path}/{name}"
        if not mask & flags.ISDIR:
            if mask & (flags.OPEN | flags.MOVED_FROM):
                self._note_path(path, self._files)
            elif mask & (flags.CREATE | flags.MOVED_TO):
                self._note_new_file(path)
        elif mask & flags.OPEN:
            self._note_path(path, self._folders)
        elif mask & (flags.CREATE | flags.MOVED_TO):
            self._add_new(path)

    def _note_new_file(self, path: str) -> None:
        with suppress(OSError):
            self._is_linked = self._is_linked or os.lstat(path).st_nlink > 1

    def _add_new(self, path: str) -> None:
        """Watch a folder that was made or moved here, and those that are in it already."""
        pending = [path]
        while pending:
            folder = pending.pop()
            try:
                if self._add(folder, folder):
                    pending += _folders_in(folder, [])
            except FileNotFoundError:
                continue  # gone already
            except OSError:
                self._is_complete = False

    def _note_path(self, path: str, found: set[str]) -> None:
        if path == self._top:
            found.add("")
        elif path.startswith(f"{self._top}/"):
            inside = path[len(self._top) + 1 :]
            if not (inside == _GIT or inside.startswith(f"{_GIT}/")):
                found.add(inside)
        else:
            (self._outside if found is self._files else self._outside_folders).add(path)


class _CheckoutObserver(Observer):
    """Tells of hard links too: at the end of a run only it itself has changed the checkout."""

    def finish(self) -> Observed:
        super().finish()
        inside = [one for one in self._paths.values() if f"{one}/".startswith(f"{self._top}/")]
        listed = [os.path.join(self._top, one) for one in self._folders]  # noqa: PTH118 - text
        at_most = None if self._is_linked else _LOOKED_AT
        for path in touched_since(self.begun_ns, listed, inside, at_most):
            self._note_path(path, self._files)
        return self._observed()


def can_observe(folder: Path) -> bool:
    """Whether opening a file in ``folder`` is told: some sandboxes have inotify in name only."""
    probe = folder / "probe"
    try:
        from inotify_simple import INotify, flags

        probe.write_bytes(b"")
        inotify = INotify(nonblocking=True)
        try:
            inotify.add_watch(folder, flags.OPEN)
            probe.read_bytes()
            return any(event.name == probe.name for event in inotify.read(timeout=_PROBE_MS))
        finally:
            _close(inotify)
    except (ImportError, OSError):
        return False
    finally:
        probe.unlink(missing_ok=True)


def _close(inotify: Any) -> None:
    """Close it aside: the system takes its time, 10 ms, in which nothing is decided."""
    threading.Thread(target=inotify.close, name="nbci-observer-end").start()


def observe_checkout(top: Path, root: Path, laid: LaidOver) -> Observer:
    """An observer of everything below the checkout, and of what its links lead to.

    Args:
        top: The checkout, as it lies when the run begins.
        root: The folder in it that names of test data are relative to.
        laid: Test data over it; a linked file is told by its name in the checkout.
    """
    # Listed before the first watch: our own reading must not be told.
    links: list[str] = []
    folders = list(_walk(str(top), links))
    outside, is_all = _behind(links, str(top))
    named = {str(one.source): str(root / one.name) for one in laid.linked}
    return _CheckoutObserver(top, [*folders, *outside], named, is_all=is_all)


def _behind(links: list[str], top: str) -> tuple[list[str], bool]:
    """What is to be watched since links lead out of the checkout, and whether that is all."""
    found: dict[str, None] = {}
    pending = list(links)
    while pending:
        aim = os.path.realpath(pending.pop())
        if aim == top or aim.startswith(f"{top}/") or aim in found:
            continue
        if Path(aim).is_dir():
            for folder in _walk(aim, pending):  # which adds the links in them
                if len(found) >= _FOLDERS_OUTSIDE:
                    return list(found), False
                found.setdefault(folder)
        elif Path(aim).is_file():
            found.setdefault(aim)
    return list(found), True


def _walk(top: str, links: list[str]) -> Iterator[str]:
    """``top`` and the folders below it, git's own left out; symbolic links go into ``links``."""
    pending = [top]
    while pending:
        folder = pending.pop()
        yield folder
        pending += _folders_in(folder, links)


def _folders_in(folder: str, links: list[str]) -> list[str]:
    found = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                links.append(entry.path)
            elif entry.is_dir(follow_symlinks=False) and entry.name != _GIT:
                found.append(entry.path)
    return found
