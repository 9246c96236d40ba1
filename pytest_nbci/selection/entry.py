"""What one result depended on: the static basis, what the run read, and how to compare it."""

from __future__ import annotations

import hashlib
import posixpath
import re
import tempfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_nbci.repository import printable
from pytest_nbci.selection.basis import WHOLE, Basis
from pytest_nbci.selection.fingerprint import Analysis
from pytest_nbci.selection.outside import outside_inputs
from pytest_nbci.selection.tree import ALL, BELOW, DATA, SOURCES, Tree, file_id, is_source, stronger

_COMPILED = re.compile(r"(.*/|)__pycache__/([^/.]+)\.[^/]*\.pyc")


@dataclass(frozen=True)
class Entry:
    """A result as selection remembers it.

    Args:
        notebook: Its name relative to the project root.
        outcome: "passed", or how else it ended.
        at: When, UTC in ISO 8601.
        session: In which session.
        commit: Of which commit, eight digits, and whether with changes that are in no commit.
        fingerprint: Hash of the static basis.
        parts: That basis, for the reasons: what is no file.
        files: The same: files and their ids.
        inputs: Files that the run read, and their ids; an absolute path is outside git.
        listed: Folders that it listed or looked into, and the hash of the names in them that
            count.
        every: Where it is not known what was read, the folder of which every file counts and
            the hash of all of them.
        duration_s: How long the run took.
    """

    notebook: str
    outcome: str
    at: str
    session: str
    commit: str
    fingerprint: str
    parts: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    listed: Mapping[str, str] = field(default_factory=dict)
    every: tuple[str, str] | None = None
    duration_s: float = 0.0

    @property
    def identity(self) -> tuple[Any, ...]:
        """The same for two results that depended on the same."""
        inputs = hashlib.sha256(repr(sorted(self.inputs.items())).encode()).hexdigest()
        return self.fingerprint, inputs, tuple(sorted(self.listed.items())), self.every


@dataclass(frozen=True)
class Readings:
    """What a run read, as its observer tells it.

    Args:
        files: Relative to the top of the checkout.
        folders: The same.
        outside: Absolute paths.
        outside_folders: The same of folders that it listed.
        is_complete: Nothing is missing.
        is_possible: This system tells it at all.
        laid: Test data that a fixture laid: path relative to the top, and the file.
        opened: Files of the user's tree that fixtures of the repository may have read.
        started_at: When the run began, UTC in ISO 8601; empty where that is not known.
        laid_folders: Folders that a fixture laid: what is new there is laid too.
    """

    files: Iterable[str]
    folders: Iterable[str]
    outside: Iterable[str] = ()
    outside_folders: Iterable[str] = ()
    is_complete: bool = True
    is_possible: bool = True
    laid: Mapping[str, Path] = field(default_factory=dict)
    opened: Iterable[str] = ()
    started_at: str = ""
    laid_folders: Iterable[Path] = ()


@dataclass(frozen=True)
class Evidence:
    """What a verdict depended on, to be kept with the result; ``observed`` are folders listed."""

    basis: Basis
    inputs: Mapping[str, str]
    listed: Mapping[str, str]
    every: tuple[str, str] | None
    observed: tuple[str, ...] = ()

    def to_plain(self) -> dict[str, Any]:
        """The JSON that a record keeps beside its fingerprint."""
        return {
            "parts": dict(self.basis.parts),
            "files": dict(self.basis.files),
            "inputs": dict(self.inputs),
            "listed": dict(self.listed),
            "every": self.every,
        }


def gather(analysis: Analysis, path: str, readings: Readings) -> Evidence:
    """What the verdict of the notebook at ``path`` (in the tree) depended on."""
    tree = analysis.tree
    by_run = _opened_by_run(tree, readings)
    found = dict(by_run)
    for name in map(printable, readings.opened):
        if name in tree.git and not _is_idle(name):
            found[name] = input_id(tree, name)
    basis = analysis.basis(path)
    observed = tuple(sorted({*map(printable, readings.folders)} & {*tree.folders}))
    found_kinds = {folder: _kind(folder, path, basis) for folder in observed}
    kinds = {folder: kind for folder, kind in found_kinds.items() if kind is not None}
    for folder, kind in _looked_into(analysis, path, found, by_run, observed).items():
        kinds[folder] = stronger(kinds.get(folder), kind)
    laid_folders = {_laid_folder(tree, folder) for folder in readings.laid_folders}
    kinds |= dict.fromkeys([*readings.outside_folders, *filter(None, laid_folders)], ALL)
    for link, aim in tree.links.items():
        if aim in found or any(name.startswith(f"{aim}/") for name in found):
            found[link] = input_id(tree, link)
    outside = {*readings.outside, *outside_inputs(basis.outside, readings.started_at)}
    found |= {one: file_id(Path(one)) for one in outside}
    listed = {folder: analysis.listing(folder, kind) for folder, kind in sorted(kinds.items())}
    every = None
    if not readings.is_complete:
        folder = "" if readings.is_possible else posixpath.dirname(path)
        every = (folder, analysis.digest_of(folder))
    return Evidence(basis, dict(sorted(found.items())), listed, every, observed)


def _opened_by_run(tree: Tree, readings: Readings) -> dict[str, str]:
    """Files of the tree that the run opened, and their ids."""
    found: dict[str, str] = {}
    laid = {printable(name): file for name, file in readings.laid.items()}
    for name in map(printable, readings.files):
        compiled = _COMPILED.fullmatch(name)
        source = f"{compiled[1]}{compiled[2]}.py" if compiled else name
        if source in laid:
            found |= _laid_input(tree, laid[source])
        elif source in tree:
            found[source] = input_id(tree, source)
    return found


def _is_idle(name: str) -> bool:
    """Whether git or we ourselves open it, not a fixture."""
    return name.endswith(".ipynb") or posixpath.basename(name).startswith(".git")


def _looked_into(
    analysis: Analysis,
    path: str,
    opened: Iterable[str],
    by_run: Collection[str],
    listed: Collection[str],
) -> dict[str, str]:
    """Folders of data from which something was opened that no text names: it may want others there.

    Where nothing in its text tells why the run (not a fixture) looks there, it may look anywhere.
    """
    basis = analysis.basis(path)
    found: dict[str, str] = {}
    for name in opened:
        if name.startswith("/") or is_source(name) or _is_named(name, basis):
            continue
        folder = posixpath.dirname(name)
        found[folder] = stronger(found.get(folder), DATA)
        is_explained = folder in listed or _is_explained(folder, path, basis)
        if name in by_run and not is_explained:
            found[""] = stronger(found.get(""), DATA + BELOW)
    return found


def _is_named(name: str, basis: Basis) -> bool:
    return not basis.files.get(name, WHOLE).startswith(WHOLE)


def _is_explained(folder: str, path: str, basis: Basis) -> bool:
    """Whether the text names ``folder``, one above it, or it is the working folder."""
    is_named = any(
        kind != SOURCES + BELOW
        and (folder == one or (kind.endswith(BELOW) and f"{folder}/".startswith(f"{one}/")))
        for one, kind in basis.folders.items()
    )
    return is_named or folder == posixpath.dirname(path)


def input_id(tree: Tree, path: str) -> str:
    """What is in the file at ``path``; of data over a tracked file, both."""
    if path.startswith("/"):
        return file_id(Path(path))
    if path in tree.data and path in tree.git:
        return f"{tree.id(path)}+{tree.git[path]}"
    return tree.id(path)


def _laid_input(tree: Tree, file: Path) -> dict[str, str]:
    """What a fixture laid: a file that it made depends on what the fixture read."""
    tracked = tree.tracked(file)
    if tracked is not None:
        return {tracked: input_id(tree, tracked)}
    return {} if _is_made(tree, file) else {str(file): file_id(file)}


def _laid_folder(tree: Tree, folder: Path) -> str | None:
    inside = tree.path_of(folder)
    if inside in tree.folders:
        return inside
    return None if _is_made(tree, folder) else str(folder)


def _is_made(tree: Tree, path: Path) -> bool:
    """Whether a fixture made it for this run."""
    return tree.path_of(path) is None and path.is_relative_to(tempfile.gettempdir())


def _kind(folder: str, path: str, basis: Basis) -> str | None:
    """What of a folder that was listed counts to the notebook at ``path``; None: nothing.

    Python itself lists a folder when it imports from there, and which modules an import finds is
    part of the basis. In the working folder others may have listed too, though not for modules.
    """
    if basis.lists or basis.folders.get(folder, "").startswith(ALL):
        return ALL
    below = f"{folder}/" if folder else ""
    is_imported = folder in basis.roots or any(
        name.endswith(".py") and name.startswith(below) for name in basis.files
    )
    if not is_imported:
        return ALL
    return DATA if folder == posixpath.dirname(path) else None


def entry_of(record: Any) -> Entry:
    """What selection keeps of a record."""
    kept = record.depends_on or {}
    every = kept.get("every")
    commit = record.commit.id[:8] if record.commit else ""
    return Entry(
        notebook=record.notebook,
        outcome=record.outcome,
        at=record.started_at,
        session=record.session,
        commit=commit + (" with uncommitted changes" if commit and record.dirty else ""),
        fingerprint=record.fingerprint or "",
        parts=kept.get("parts", {}),
        files=kept.get("files", {}),
        inputs=kept.get("inputs", {}),
        listed=kept.get("listed", {}),
        every=tuple(every) if every else None,
        duration_s=record.duration_s,
    )


def newer_first(entries: Iterable[Entry], at_most: int) -> tuple[Entry, ...]:
    """The newest ``at_most`` of entries that depended on different things."""
    found: dict[tuple[Any, ...], Entry] = {}
    for entry in sorted(entries, key=lambda one: one.at, reverse=True):
        found.setdefault(entry.identity, entry)
    return tuple(found.values())[:at_most]
