"""Finds the static part of what each notebook's verdict depends on, and its fingerprint."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import posixpath
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_nbci import __version__
from pytest_nbci.errors import NotebookError
from pytest_nbci.selection import environment
from pytest_nbci.selection.basis import FORMAT, PRESENT, WHOLE, Basis
from pytest_nbci.selection.graph import Graph
from pytest_nbci.selection.modules import Modules
from pytest_nbci.selection.reach import Reach
from pytest_nbci.selection.sources import NOTEBOOK, PROJECT, VERSION, Sources
from pytest_nbci.selection.tree import ALL, BELOW, DATA, SOURCES, Tree, listing, names_below
from pytest_nbci.settings import DataProfile, NotebookSettings

_NATIVE = "python3"
_CONFTEST = "conftest.py"


@dataclass(frozen=True)
class Rules:
    """What the project's settings say of its notebooks.

    Args:
        prefix: The project root relative to the top, "" or ending in a slash.
        settings_of: Gives the settings of a notebook by its path in the tree and what its
            metadata hold; raises NotebookError.
        profile: The profile of test data.
        ignore: Globs of files that count only where something reads them.
        key: The same for equal settings.
    """

    prefix: str
    settings_of: Callable[[str, Any], NotebookSettings]
    profile: DataProfile
    ignore: tuple[str, ...]
    key: str = ""


class Analysis:
    """The bases of all notebooks of one tree.

    Args:
        tree: The files.
        sources: Parsed files.
        rules: What the project's settings say.
    """

    def __init__(self, tree: Tree, sources: Sources, rules: Rules) -> None:
        self.tree = tree
        self.sources = sources
        self.rules = rules
        self._modules = Modules(tree, _python_path(tree))
        self._graph = Graph(tree, sources, self._modules, rules.prefix.rstrip("/"))
        self._bases: dict[str, Basis] = {}
        self._ids: dict[str, str] = {}
        self._listings: dict[tuple[str, str], str] = {}
        self.fingerprints: dict[str, str] = {}

    def settings_of(self, path: str) -> NotebookSettings:
        """The settings of the notebook at ``path``.

        Raises:
            NotebookError: Its metadata hold what is no setting.
        """
        return self.rules.settings_of(path, self.sources.notebook(self.tree, path).nbci)

    def basis(self, path: str, above: tuple[str, ...] = ()) -> Basis:
        """What the notebook at ``path`` (in the tree) depends on.

        Args:
            path: Where it is.
            above: Notebooks that need it, for needs that go round in a circle.
        """
        if path not in self._bases or above:
            found = self._make(path, above)
            if above:
                return found
            self._bases[path] = found
        return self._bases[path]

    def fingerprint(self, path: str) -> str:
        """The fingerprint of the notebook at ``path``."""
        if path not in self.fingerprints:
            self.fingerprints[path] = self.basis(path).fingerprint
        return self.fingerprints[path]

    def listing(self, folder: str, kind: str) -> str:
        """Hash of the names in ``folder`` that count to whoever lists it."""
        key = (folder, kind)
        if key not in self._listings:
            self._listings[key] = listing(self.tree, folder, kind)
        return self._listings[key]

    @cached_property
    def above_notebooks(self) -> frozenset[str]:
        """Folders that notebooks are in, and those above them."""
        found = {posixpath.dirname(path) for path in self.tree.git if path.endswith(NOTEBOOK)}
        return frozenset(folder for one in found for folder in _upward(one))

    @cached_property
    def key(self) -> str:
        """Hash of everything that goes into fingerprints: equal keys, equal fingerprints."""
        known = (
            *(self.tree.digest, FORMAT, VERSION, __version__, self.rules.key, self.rules.prefix),
            *(self.rules.ignore, vars(self.rules.profile), os.environ.get("PYTHONPATH")),
            *(environment.python_name(), self._packages, self._kernels),
            *(list(self.tree.data), self.tree.data_state()),
        )
        return hashlib.sha256(repr(known).encode(errors="replace")).hexdigest()

    def look_outside(self) -> None:
        """Find what is installed now, which is looked for in folders of the repository too."""
        _ = self._packages, self._kernels

    def digest_of(self, folder: str) -> str:
        """Hash of every file below ``folder``, notebooks by what counts of them."""
        digest = hashlib.sha256()
        for path in sorted(self.tree.below(folder)):
            digest.update(f"{path}\0{self._id(path)}\0".encode(errors="replace"))
        return digest.hexdigest()

    def _make(self, path: str, above: tuple[str, ...]) -> Basis:
        source = self.sources.notebook(self.tree, path)
        given = {name: self.rules.profile.parameters.get(name) for name in source.declared}
        parts = {
            "source": source.digest,
            "python": environment.python_name(),
            "packages": self._packages,
            "pytest-nbci": __version__,
            "project": self.rules.prefix,
            "profile": self.rules.profile.name,
            "data": self._untracked,
            "parameters": _json(given),
        }
        kernel = source.kernel
        needs: tuple[str, ...] = ()
        words: list[str] = []
        try:
            own = self.settings_of(path)
            parts["settings"] = _json(dataclasses.asdict(own))
            kernel, needs = own.kernel or source.kernel, own.needs
            words = [*_strings(given), *_strings(own.parameters)]
        except NotebookError as error:
            parts["settings"] = str(error)
        reach = self._graph.reach(path, words)
        parents = {file: parent for file, parent in reach.files.items() if file != path}
        parts["kernel"] = f"{kernel} {source.language}"
        if not (source.is_python and kernel in (None, _NATIVE)):
            parts["kernels"] = self._kernels
        for conftest in self.conftests(path):
            _join(reach, parents, self._graph.reach(conftest), path)
        if not source.is_python:
            reach.add_folder(posixpath.dirname(path), DATA)
            reach.add_folder("", SOURCES + BELOW)
        roots = frozenset({*reach.roots, *self._modules.project_roots})
        parts["shadows"] = self._modules.shadows(roots)
        files = self._files(path, reach, parents)
        for need in needs:
            name = self.rules.prefix + need
            if name in self.tree and name != path and name not in above:
                other = self.basis(name, (*above, path))
                files = {**other.files, name: self._id(name), **files}
                parents = {**other.parents, name: path, **parents}
                parts[f"needs {need}"] = other.fingerprint
        files |= self._environment
        parents = {**dict.fromkeys(self._environment, path), **parents}
        files = {name: files[name] for name in sorted(files) if name != path}
        return Basis(
            parts={name: _hashed(text) for name, text in parts.items()},
            files=files,
            parents=parents,
            folders=reach.folders,
            roots=roots,
            outside=frozenset(reach.outside),
            unpickles=reach.unpickles,
            lists=reach.lists or not source.is_python or bool(needs),
        )

    def conftests(self, path: str) -> list[str]:
        """Each conftest.py that pytest loads for the notebook at ``path``."""
        found = (posixpath.join(folder, _CONFTEST) for folder in _upward(posixpath.dirname(path)))
        return [conftest for conftest in found if conftest in self.tree]

    def _files(self, path: str, reach: Reach, parents: dict[str, str]) -> dict[str, str]:
        files = {name: self._id(name) for name in reach.files}
        for folders, kind in ((reach.whole, ALL), (reach.data, DATA)):
            for folder, origin in folders.items():
                # Of the top, a conftest.py that lists it reads what is in it, and no more.
                is_flat = kind == DATA and not (folder or reach.folders[folder].endswith(BELOW))
                for name in names_below(self.tree, folder, kind if is_flat else kind + BELOW):
                    if name not in files:
                        files[name] = WHOLE + self._id(name)
                        parents.setdefault(name, origin)
        for name in reach.present:
            files.setdefault(name, PRESENT)
            parents.setdefault(name, path)
        for folder, kind in reach.folders.items():
            files[f"{folder}/"] = self.listing(folder, kind)
            parents.setdefault(f"{folder}/", path)
        for link, aim in self.tree.links.items():
            if aim in files or any(name.startswith(f"{aim}/") for name in files):
                files[link] = self.tree.id(link)
                parents.setdefault(link, path)
        return files

    def _id(self, path: str) -> str:
        if path not in self._ids:
            self._ids[path] = self._find_id(path)
        return self._ids[path]

    def _find_id(self, path: str) -> str:
        if path.endswith(NOTEBOOK) and path in self.tree.git and path not in self.tree.data:
            return f"notebook:{self.sources.notebook(self.tree, path).digest}"
        return self.tree.id(path)

    @cached_property
    def _environment(self) -> dict[str, str]:
        found = {}
        for path in self.tree.git:
            if environment.is_environment_file(path):
                is_project = posixpath.basename(path) == PROJECT
                found[path] = (
                    f"project:{self.sources.project_digest(self.tree, path)}"
                    if is_project
                    else self.tree.id(path)
                )
        return found

    @cached_property
    def _untracked(self) -> str:
        """Hash of the names of test data that are not in git: what is new among them counts."""
        names = [name for name, _, _, _ in self.tree.data_state()]
        return hashlib.sha256(chr(0).join(names).encode(errors="replace")).hexdigest()

    @cached_property
    def _packages(self) -> str:
        return environment.installed_packages(self.tree.parts[0].top, sys.path)

    @cached_property
    def _kernels(self) -> str:
        return environment.installed_kernels(self.tree.parts[0].top)


def _join(reach: Reach, parents: dict[str, str], other: Reach, path: str) -> None:
    """Add what a conftest.py reaches; ``path`` led to it."""
    for file, parent in other.files.items():
        reach.files.setdefault(file, parent)
        parents.setdefault(file, path if file == parent else parent)
    for folder, origin in other.whole.items():
        reach.whole.setdefault(folder, origin)
    # It may read data when it is loaded, before anybody watches.
    for folder, kind in other.folders.items():
        if folder or kind.startswith(ALL):
            reach.data.setdefault(folder, next(iter(other.files)))
    for folder, kind in other.folders.items():
        reach.add_folder(folder, kind)
    reach.present |= other.present
    reach.roots |= other.roots
    reach.lists = reach.lists or other.lists
    reach.outside |= other.outside
    reach.unpickles = reach.unpickles or other.unpickles


def _upward(folder: str) -> list[str]:
    found = [folder]
    while folder:
        folder = posixpath.dirname(folder)
        found.append(folder)
    return found


def _python_path(tree: Tree) -> list[str]:
    """Folders of PYTHONPATH that are in the repository."""
    found = []
    for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        inside = tree.path_of(Path(os.path.abspath(entry))) if entry else None  # noqa: PTH100
        if inside is not None:
            found.append("" if inside == "." else inside)
    return found


def _hashed(text: str) -> str:
    """Settings may hold what no result may: passwords among parameters, in the reason of a skip."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]


def _strings(value: object) -> Iterator[str]:
    """Strings in a value of a parameter: they may name files."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _strings(item)


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str)
