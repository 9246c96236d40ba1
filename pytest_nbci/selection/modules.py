"""Which tracked files an import may load, searched the way Python does, in every likely place.

Where more than one place has the module, all of them count: a file too many costs a needless run,
one too few would be an omission.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from functools import cached_property

from pytest_nbci.selection.facts import Import
from pytest_nbci.selection.tree import Tree, is_source

_PROJECT_FILES = ("pyproject.toml", "setup.py", "setup.cfg")
# Where build tools look for packages when a project does not say.
_LAYOUTS = ("", "src", "lib", "python")
_EXTENSIONS = (".so", ".pyd")


class Modules:
    """The modules of one tree.

    Args:
        tree: The files.
        extra_roots: Folders that are on ``sys.path`` of every kernel (PYTHONPATH).
    """

    def __init__(self, tree: Tree, extra_roots: Iterable[str] = ()) -> None:
        self._tree = tree
        self._extra = tuple(extra_roots)
        self._shadows: dict[str, list[str]] = {}
        self._found: dict[tuple[str, str], tuple[tuple[str, ...], bool]] = {}

    @cached_property
    def project_roots(self) -> tuple[str, ...]:
        """Folders that an editable install of this repository may put on ``sys.path``."""
        bases = {""} | {
            posixpath.dirname(path)
            for name in _PROJECT_FILES
            for path in self._tree.by_name.get(name, ())
        }
        found = [*self._extra]
        for base in sorted(bases):
            found += [
                folder
                for layout in _LAYOUTS
                if (folder := posixpath.join(base, layout).rstrip("/")) in self._tree.folders
            ]
        return tuple(dict.fromkeys(found))

    @cached_property
    def _extension_modules(self) -> dict[str, list[str]]:
        """Folder/name to the compiled modules of that name."""
        found: dict[str, list[str]] = {}
        for path in self._tree.git:
            if path.endswith(_EXTENSIONS):
                folder, name = posixpath.split(path)
                found.setdefault(posixpath.join(folder, name.split(".")[0]), []).append(path)
        return found

    def resolve(
        self, wanted: Import, file: str, roots: Sequence[str], *, anywhere: bool
    ) -> list[str]:
        """The files that ``wanted`` in ``file`` loads.

        Args:
            wanted: The import.
            file: Who imports.
            roots: Folders on ``sys.path`` that the code itself tells, the working folder first.
            anywhere: Also search every folder, as ``sys.path`` is computed.
        """
        if wanted.level:
            base = posixpath.dirname(file)
            for _ in range(wanted.level - 1):
                base = posixpath.dirname(base)
            found = self._init_of(base)
            return [*found, *self._with_names(base, wanted)[0]]
        top = wanted.module.split(".")[0]
        is_standard = top in sys.stdlib_module_names
        found, is_complete = self._search([*roots, *self._own_root(file), *self._extra], wanted)
        if not is_complete and not is_standard:
            more, is_complete = self._search(self.project_roots, wanted)
            found += more
        if not is_complete and not is_standard and anywhere:
            found += self._search(self._everywhere(top), wanted)[0]
        return list(dict.fromkeys(found))

    def folders_of(self, package: Import, roots: Iterable[str]) -> list[str]:
        """Folders that hold modules of ``package``."""
        inside = package.module.replace(".", "/")
        found = (posixpath.join(root, inside) for root in (*roots, *self.project_roots))
        return [folder for folder in dict.fromkeys(found) if folder in self._tree.folders]

    def shadows(self, roots: Iterable[str]) -> str:
        """Names in ``roots`` that importing something installed would find first."""
        return " ".join(name for root in sorted(roots) for name in self._shadows_in(root))

    def _shadows_in(self, root: str) -> list[str]:
        if root not in self._shadows:
            self._shadows[root] = [
                posixpath.join(root, name)
                for name in self._tree.folders.get(root, ())
                if name.rstrip("/").partition(".")[0] in self._installed
                and (is_source(name) or self._init_of(posixpath.join(root, name.rstrip("/"))))
            ]
        return self._shadows[root]

    @cached_property
    def _installed(self) -> frozenset[str]:
        """Top-level modules of this environment, and what Python looks for when it starts."""
        found = {*sys.stdlib_module_names, "sitecustomize", "usercustomize"}
        for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
            with contextlib.suppress(OSError):
                found |= {name.partition(".")[0] for name in os.listdir(folder)}  # noqa: PTH208
        return frozenset(found)

    def _search(self, roots: Iterable[str], wanted: Import) -> tuple[list[str], bool]:
        found: list[str] = []
        is_complete = False
        for root in dict.fromkeys(roots):
            files, is_whole = self._with_names(root, wanted)
            found += files
            is_complete = is_complete or is_whole
        return found, is_complete

    def _with_names(self, root: str, wanted: Import) -> tuple[list[str], bool]:
        """The module's files, and those of the names in it that are modules themselves."""
        files, is_complete = self._find(root, wanted.module)
        found = list(files)
        if is_complete or not wanted.module:
            for name in wanted.names:
                if name != "*":
                    dotted = f"{wanted.module}.{name}" if wanted.module else name
                    more, is_module = self._find(root, dotted)
                    found += more
                    is_complete = is_complete or is_module
        return found, is_complete and bool(found)

    def _find(self, root: str, dotted: str) -> tuple[tuple[str, ...], bool]:
        key = (root, dotted)
        if key not in self._found:
            self._found[key] = self._walk(root, dotted)
        return self._found[key]

    def _walk(self, root: str, dotted: str) -> tuple[tuple[str, ...], bool]:
        """Files that importing ``dotted`` from ``root`` loads, and whether all of it is there."""
        tree, found, base = self._tree, [], root
        parts = dotted.split(".") if dotted else []
        for number, part in enumerate(parts):
            here = tree.real(posixpath.join(base, part))
            package = tree.real(f"{here}/__init__.py")
            module = tree.real(f"{posixpath.join(base, part)}.py")
            if package in tree:
                found.append(package)
            elif module in tree or here in self._extension_modules:
                # Python prefers a compiled one beside it, if it is for this platform.
                found += [module] if module in tree else []
                found += self._extension_modules.get(here, ())
                return tuple(found), number == len(parts) - 1
            elif here not in tree.folders:
                return tuple(found), False
            base = here
        return tuple(found), True

    def _init_of(self, folder: str) -> list[str]:
        path = posixpath.join(folder, "__init__.py")
        return [path] if path in self._tree else []

    def _own_root(self, file: str) -> list[str]:
        """The folder above the outermost package that ``file`` belongs to."""
        folder = posixpath.dirname(file)
        if not self._init_of(folder):
            return []
        while folder and self._init_of(folder):
            folder = posixpath.dirname(folder)
        return [folder]

    def _everywhere(self, top: str) -> list[str]:
        files = self._tree.by_name.get(f"{top}.py", ())
        found = [posixpath.dirname(path) for path in files]
        for path in self._tree.by_name.get("__init__.py", ()):
            folder = posixpath.dirname(path)
            if posixpath.basename(folder) == top:
                found.append(posixpath.dirname(folder))
        return found
