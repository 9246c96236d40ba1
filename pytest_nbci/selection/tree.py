"""The files that a notebook finds in its checkout: git's, with the profile's test data over them.

Paths are printable and relative to the repository's top level. The id of a file says what is in
it: mode and blob for git's, hash or state for data that is not in git.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import posixpath
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

from pytest_nbci.repository import GITLINK, SYMLINK, printable
from pytest_nbci.trees import BlobReader, TreePart, list_tree

# Hashing more than that before every session would cost more than the notebook may save.
HASHED_BELOW_BYTES = 64 * 1024 * 1024

ABSENT = "absent"

# Which names in a folder count: all, those of data, those of modules and notebooks; with BELOW
# behind them, also the names in all folders below it.
ALL, DATA, SOURCES, BELOW = "all", "data", "sources", "/**"
SOURCE_SUFFIXES = (".py", ".ipynb", ".pyw", ".pyc", ".so", ".pyd")

_EXECUTABLE = "100755"
_LINKS_AT_MOST = 40  # as Linux, man 7 path_resolution


@dataclass(frozen=True)
class Tree:
    """All files of one state.

    Args:
        git: Path to id of each tracked file.
        data: Path to file of test data laid over it.
        blobs: Path to the blob and the number of the part (main repository, submodules) it is in.
        parts: Where the blobs are read from.
        sources: Tracked files that lie elsewhere as test data: they are known by that name.
    """

    git: Mapping[str, str]
    data: Mapping[str, Path]
    blobs: Mapping[str, tuple[int, str]]
    parts: tuple[TreePart, ...]
    sources: frozenset[str] = frozenset()
    _ids: dict[str, str] = field(default_factory=dict)

    def id(self, path: str) -> str:
        """What is in the file at ``path``; ``ABSENT`` where there is none."""
        if path in self.data:
            if path not in self._ids:
                self._ids[path] = self._data_id(self.data[path])
            return self._ids[path]
        return self.git.get(path, ABSENT)

    def __contains__(self, path: str) -> bool:
        return path in self.git or path in self.data

    def _data_id(self, source: Path) -> str:
        tracked = self.tracked(source)
        return file_id(source) if tracked is None else self.git[tracked]

    def tracked(self, file: Path) -> str | None:
        """The tracked file whose content ``file`` has, behind links; None where there is none."""
        inside = self.path_of(file)
        real = None if inside is None else self.real(inside)
        return real if real in self.git and real not in self.links else None

    def path_of(self, file: Path) -> str | None:
        """The path of a file of the working tree; None where it is not in it."""
        top = self.parts[0].top
        try:
            return printable(file.relative_to(top).as_posix())
        except ValueError:
            return None

    @cached_property
    def folders(self) -> Mapping[str, tuple[str, ...]]:
        """Folder (without slash; "" is the top) to the names in it, folders with a slash."""
        found: dict[str, set[str]] = {"": set()}
        for path in (*self.git, *self.data):
            folder, name = posixpath.split(path)
            while name not in found.setdefault(folder, set()):
                found[folder].add(name)
                if not folder:
                    break
                folder, name = posixpath.split(folder)
                name += "/"
        return {folder: tuple(sorted(names)) for folder, names in found.items()}

    @cached_property
    def digest(self) -> str:
        """Hash of all tracked files: equal for equal trees, also of other commits."""
        digest = hashlib.sha256()
        for path in sorted(self.git):
            digest.update(f"{path}\0{self.git[path]}\0".encode(errors="replace"))
        return digest.hexdigest()

    def data_state(self) -> list[tuple[str, str, int, int]]:
        """What changes when test data outside git does, without reading it."""
        found = []
        for path, file in sorted(self.data.items()):
            if self.tracked(file) is None:
                with contextlib.suppress(OSError):
                    state = file.stat()
                    found.append((path, str(file), state.st_size, state.st_mtime_ns))
        return found

    @cached_property
    def by_name(self) -> Mapping[str, tuple[str, ...]]:
        """File name without folders to the paths that end in it."""
        found: dict[str, list[str]] = {}
        for path in (*self.git, *(path for path in self.data if path not in self.git)):
            found.setdefault(posixpath.basename(path), []).append(path)
        return {name: tuple(paths) for name, paths in found.items()}

    @cached_property
    def links(self) -> Mapping[str, str]:
        """Tracked symbolic links and where they lead, relative to the top where that is inside."""
        found = [path for path, mode in self.git.items() if mode.startswith(SYMLINK)]
        aims: dict[str, str] = {}
        for number, part in enumerate(self.parts):
            own = [path for path in found if self.blobs[path][0] == number]
            if not own:
                continue
            with BlobReader(part) as reader:
                for path in own:
                    text = os.fsdecode(reader.read(self.blobs[path][1]) or b"")
                    inside = self.path_of(Path(text)) if text.startswith("/") else None
                    aim = posixpath.join(posixpath.dirname(path), text)
                    aims[path] = inside or printable(posixpath.normpath(aim))
        return aims

    def real(self, path: str) -> str:
        """``path`` with the tracked links in it followed; it may lead outside."""
        if not self.links:
            return path
        for _ in range(_LINKS_AT_MOST):
            if is_outside(path):
                break
            link = next(
                (here for here in _upward(path) if here in self.links and here not in self.data),
                None,
            )
            if link is None:
                break
            path = posixpath.normpath(
                posixpath.join(self.links[link], path[len(link) + 1 :] or ".")
            )
        return path

    def below(self, folder: str) -> Iterator[str]:
        """All files below ``folder``, however deep."""
        pending = [folder]
        while pending:
            here = pending.pop()
            for name in self.folders.get(here, ()):
                path = posixpath.join(here, name)
                if name.endswith("/"):
                    pending.append(path[:-1])
                else:
                    yield path


def is_outside(path: str) -> bool:
    """Whether a path relative to the top, or an absolute one, leads out of the repository."""
    return path == ".." or path.startswith(("/", "../"))


def _upward(path: str) -> Iterator[str]:
    while path:
        yield path
        path = posixpath.dirname(path)


def read_tree(parts: Iterable[TreePart], data: Mapping[str, Path]) -> Tree:
    """The tree of a snapshot or commit.

    Args:
        parts: The main repository and its submodules.
        data: Name relative to the top level to the file that lies there.

    Raises:
        NbciError: A tree does not exist.
    """
    kept = tuple(parts)
    git: dict[str, str] = {}
    blobs: dict[str, tuple[int, str]] = {}
    for number, part in enumerate(kept):
        for entry in list_tree(part):
            name = printable(entry.path)
            git[name] = f"{entry.mode}:{entry.blob}"
            blobs[name] = (number, entry.blob)
    for part in kept[1:]:
        link = printable(part.prefix.rstrip("/"))
        if git.get(link, "").startswith(GITLINK):
            del git[link], blobs[link]
    overlaid = {printable(name): Path(os.path.abspath(file)) for name, file in data.items()}  # noqa: PTH100 - links stay
    tree = Tree(git, overlaid, blobs, kept)
    files = overlaid.values()
    named = {*map(tree.path_of, files), *map(tree.tracked, files)}
    sources = frozenset(name for name in named if name is not None and name in git)
    return Tree(git, overlaid, blobs, kept, sources)


def listing(tree: Tree, folder: str, kind: str) -> str:
    """Hash of the names in ``folder`` that count, and of what kind of file each is.

    Args:
        tree: The files.
        folder: Where; "" is the top, an absolute one is outside of the repository.
        kind: One of those above.
    """
    deep = kind.endswith(BELOW)
    names = (
        f"{name}{_nature(tree, name if deep else posixpath.join(folder, name))}"
        for name in _names(tree, folder, kind)
    )
    digest = hashlib.sha256(chr(0).join(names).encode(errors="replace"))
    return f"{kind}:{digest.hexdigest()}"


def names_below(tree: Tree, folder: str, kind: str) -> Iterator[str]:
    """Paths of the files in ``folder`` whose names count in a listing of ``kind``."""
    for path in tree.below(folder) if kind.endswith(BELOW) else _files_in(tree, folder):
        if _counts(path, kind):
            yield path


def stronger(one: str | None, other: str) -> str:
    """The kind that counts all that either of two kinds does."""
    if one is None:
        return other
    whose = {kind.removesuffix(BELOW) for kind in (one, other)}
    is_deep = one.endswith(BELOW) or other.endswith(BELOW)
    return (whose.pop() if len(whose) == 1 else ALL) + (BELOW if is_deep else "")


def is_source(path: str) -> bool:
    """Whether Python may import what is at ``path``, or it is a notebook: no data."""
    return path.endswith(SOURCE_SUFFIXES)


def _nature(tree: Tree, path: str) -> str:
    """What of a file is seen without opening it: that it may be executed, where a link leads."""
    found = "" if path in tree.data else tree.git.get(path, "")
    if found.startswith(SYMLINK):
        return f"\0{found}"
    return "\0+x" if found.startswith(_EXECUTABLE) else ""


def _names(tree: Tree, folder: str, kind: str) -> Iterable[str]:
    if folder.startswith("/"):
        with contextlib.suppress(OSError, ValueError):  # no path can be called so
            return sorted(os.listdir(folder))  # noqa: PTH208 - names, not paths
        return ()
    if kind.endswith(BELOW):
        return sorted(names_below(tree, folder, kind))
    if kind == ALL:
        return tree.folders.get(folder, ())
    return [name for name in tree.folders.get(folder, ()) if _has(tree, folder, name, kind)]


def _has(tree: Tree, folder: str, name: str, kind: str) -> bool:
    path = posixpath.join(folder, name)
    files = tree.below(path[:-1]) if name.endswith("/") else (path,)
    return any(_counts(file, kind) for file in files)


def _files_in(tree: Tree, folder: str) -> Iterator[str]:
    for name in tree.folders.get(folder, ()):
        if not name.endswith("/"):
            yield posixpath.join(folder, name)


def _counts(path: str, kind: str) -> bool:
    whose = kind.removesuffix(BELOW)
    return whose == ALL or is_source(path) == (whose == SOURCES)


def file_id(path: Path) -> str:
    """The id of a file that is not in git: its hash, of a big one its size and time of change."""
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):  # a pipe or a device may have no end
            return ABSENT
        if state.st_size > HASHED_BELOW_BYTES:
            return f"state:{state.st_size}-{state.st_mtime_ns}"
        return _hash_of(path, (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns))
    except (OSError, ValueError):  # no file can be called so
        return ABSENT


@lru_cache(maxsize=10_000)
def _hash_of(path: Path, _: tuple[int, ...]) -> str:
    """Hash of a file in this state: many notebooks may depend on one file."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
