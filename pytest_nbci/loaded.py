"""What pytest's own process has loaded from the repository, and what it remembers of folders."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import posixpath
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType

from pytest_nbci.repository import printable
from pytest_nbci.selection import Analysis, Import

_OURS = __name__.partition(".")[0]
_NOBODY = "nbci_looks_for_no_module_of_this_name"
# Of tests, and of folders that a notebook is not below.
_NO_HELPER = re.compile(r"test_.*|.*_test\.py|conftest\.py")


def remember_folders() -> None:
    """Have Python list the folders on ``sys.path``, so that later imports need not.

    Modules: ``FileFinder`` of importlib; installed packages: ``FastPath`` of importlib.metadata.
    """
    # Anybody's finders are asked, and one that cannot answer is not our business.
    with suppress(Exception):
        importlib.util.find_spec(_NOBODY)
    with suppress(Exception):
        importlib.metadata.distribution(_NOBODY)


def files_of(modules: Iterable[object], top: Path) -> Iterator[str]:
    """Files below ``top``, relative to it, of those of ``modules`` that are modules.

    Ours count by their version, also where a checkout of them is tested.
    """
    below = f"{top}/"
    for module in modules:
        # Not by getattr: a module may import what it is asked for.
        file = vars(module).get("__file__") if isinstance(module, ModuleType) else None
        is_ours = getattr(module, "__name__", "").partition(".")[0] == _OURS
        if isinstance(file, str) and file.startswith(below) and not is_ours:
            yield printable(file[len(below) :])


class Loaded:
    """Modules of the repository that were loaded, each to be followed to those that it imports.

    However they came to be on ``sys.path``: what was found says ``sys.modules``.
    """

    def __init__(self, analysis: Analysis) -> None:
        self._analysis = analysis
        self._names: dict[str, str] = {}
        self._paths: dict[str, str] = {}
        self._found: dict[frozenset[str], frozenset[str]] = {}
        self._count = 0

    def since(self, starts: Iterable[str]) -> frozenset[str]:
        """``starts``, and tracked files that were loaded since those import them."""
        modules = dict(sys.modules)
        if len(modules) != self._count:  # a fixture may import too
            self._count = len(modules)
            self._found.clear()
            tree = self._analysis.tree
            self._names = {
                name: path
                for name, module in modules.items()
                for path in files_of((module,), tree.parts[0].top)
                if path in tree.git
            }
            self._paths = {path: name for name, path in self._names.items()}
        key = frozenset(starts)
        if key not in self._found:
            self._found[key] = frozenset(self._follow(key))
        return self._found[key]

    def _follow(self, starts: frozenset[str]) -> Iterator[str]:
        pending = [*starts]
        found = set(pending)
        for path in pending:  # which grows
            yield path
            for name in self._imported_by(path):
                file = self._names.get(name)
                if file is not None and file not in found:
                    found.add(file)
                    pending.append(file)

    def _imported_by(self, path: str) -> Iterator[str]:
        facts = self._analysis.sources.facts(self._analysis.tree, path)
        for wanted in facts.imports:
            yield from self._modules_of(wanted, path)
        packages = tuple(f"{package}." for package in facts.packages if package)
        for name, file in self._names.items() if packages or facts.computes else ():
            is_computed = facts.computes and not _NO_HELPER.fullmatch(posixpath.basename(file))
            if is_computed or f"{name}.".startswith(packages):
                yield name

    def _modules_of(self, wanted: Import, path: str) -> Iterator[str]:
        """Names of the module, of the packages that it is in, and of modules taken from it."""
        parts = wanted.module.split(".") if wanted.module else []
        if wanted.level:
            package = self._paths.get(path, "").split(".")
            is_package = posixpath.basename(path) == "__init__.py"
            above = wanted.level - is_package
            parts = [*package[: len(package) - above], *parts]
        for end in range(1, len(parts) + 1):
            yield ".".join(parts[:end])
        for name in wanted.names:
            yield ".".join([*parts, name])
