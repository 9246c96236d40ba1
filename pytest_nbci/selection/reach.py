"""What a file reaches: files, folders whose names count, and whether only a run knows more."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field

from pytest_nbci.selection.tree import ALL, BELOW, DATA, SOURCE_SUFFIXES, SOURCES, stronger


@dataclass
class Reach:
    """What a file reaches.

    Args:
        files: Each file to the one that led to it; the start leads to itself.
        whole: Folders of which every file counts, to the file that makes them so.
        data: Folders of which all data count, the same way.
        present: Names that are looked for, and where the tree has files or folders called so.
        folders: Folders of which names count: those that are named or listed, to the kind of
            names.
        roots: Folders on ``sys.path``.
        lists: Some of the code lists folders that only a run knows.
        missing: Paths of folders that are named and not there: they count as soon as they are.
        outside: Absolute paths that are named, and that are not in the repository.
        unpickles: Some of the code may restore objects, whose modules only a run knows.
    """

    files: dict[str, str] = field(default_factory=dict)
    whole: dict[str, str] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    present: set[str] = field(default_factory=set)
    folders: dict[str, str] = field(default_factory=dict)
    roots: set[str] = field(default_factory=set)
    lists: bool = False
    missing: set[str] = field(default_factory=set)
    outside: set[str] = field(default_factory=set)
    unpickles: bool = False

    def add_folder(self, folder: str, kind: str) -> None:
        """Have names in ``folder`` count, beside those that do already."""
        self.folders[folder] = stronger(self.folders.get(folder), kind)


@dataclass(frozen=True)
class Step:
    """What one file leads to directly, and what it changes for all the others."""

    files: tuple[str, ...]
    scripts: tuple[str, ...]
    named: Reach
    roots: tuple[str, ...]
    working: tuple[str, ...]
    computes_roots: bool
    probes: bool
    beside: bool


@dataclass
class Context:
    """Where imports and names are looked for, and what files lead to there.

    ``roots`` are on ``sys.path``, ``working`` are working folders, the first one at the start.
    Steps are kept by the file and how it is read.
    """

    roots: tuple[str, ...]
    working: tuple[str, ...]
    anywhere: bool
    steps: dict[tuple[str, str | None], Step] = field(default_factory=dict)


def add_step(reach: Reach, other: Reach) -> None:
    """Add what one step tells to all that is reached."""
    for folder, origin in other.whole.items():
        reach.whole.setdefault(folder, origin)
    for folder, kind in other.folders.items():
        reach.add_folder(folder, kind)
    reach.present |= other.present
    reach.lists = reach.lists or other.lists
    reach.missing |= other.missing
    reach.outside |= other.outside
    reach.unpickles = reach.unpickles or other.unpickles


def names_no_folder(reach: Reach, context: Context) -> bool:
    """Whether no folder is named where what is looked for may be."""
    named = {folder for folder, kind in reach.folders.items() if kind != SOURCES + BELOW}
    return named <= {*context.working}


def add_named(folder: str, partly: str | None, kind: str, named: Reach) -> bool:
    """Have names in ``folder`` count, if it is meant: the top alone says little.

    ``partly`` is the folder of a name of which the rest is not known.
    """
    is_meant = bool(folder) or partly is not None
    if is_meant:
        named.add_folder(folder, kind if partly == "." else kind + BELOW)
    return is_meant


def meant_kind(text: str, *, probes: bool) -> str:
    """Which names count where ``text`` names a folder, or a file in part.

    Modules and notebooks do where it ends like one, or where what is looked for may end so.
    """
    suffix = posixpath.splitext(text)[1]
    is_open = re.fullmatch(r"\.\w+", suffix) is None
    return ALL if suffix in SOURCE_SUFFIXES or (is_open and probes) else DATA
