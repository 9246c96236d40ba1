"""From one file to all that it depends on: the files, and which file led to each.

The text is followed transitively through imports, ``%run``, shell words and strings that name
tracked files. Where it computes what it imports, the whole folder it stands in counts.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence
from functools import cached_property

from pytest_nbci.selection.facts import CWD, SELF, Facts, Import, Place, named_folder
from pytest_nbci.selection.modules import Modules
from pytest_nbci.selection.reach import (
    Context,
    Reach,
    Step,
    add_named,
    add_step,
    meant_kind,
    names_no_folder,
)
from pytest_nbci.selection.sources import CONFIG, NOTEBOOK, PYTHON, Sources, kind_of
from pytest_nbci.selection.tree import ALL, BELOW, DATA, SOURCES, Tree, is_outside, is_source

_INIT = "__init__.py"


class Graph:
    """Follows dependencies in one tree; what a file leads to is worked out once per context.

    Args:
        tree: The files.
        sources: Their parsed texts.
        modules: Its modules.
        root: The project root, a folder that names may be relative to.
    """

    def __init__(self, tree: Tree, sources: Sources, modules: Modules, root: str) -> None:
        self._tree = tree
        self._sources = sources
        self._modules = modules
        self._root = root
        self._contexts: dict[tuple[tuple[str, ...], tuple[str, ...], bool], Context] = {}

    def reach(self, start: str, given: Sequence[str] = ()) -> Reach:
        """All that the file ``start`` reaches, itself included; ``given`` are strings it gets."""
        folder = posixpath.dirname(start)
        context = self._context((folder,), (folder,), anywhere=False)
        while True:
            found, steps = self._follow(start, context, given)
            roots = [root for step in steps for root in (*step.roots, *step.working)]
            working = [folder for step in steps for folder in step.working]
            wider = self._context(
                tuple(dict.fromkeys([*context.roots, *roots])),
                tuple(dict.fromkeys([*context.working, *working])),
                anywhere=any(step.computes_roots for step in steps),
            )
            if wider is context:
                if any(step.probes for step in steps) and names_no_folder(found, context):
                    self._add_looked_for(found, steps, context)
                return found
            context = wider

    def _add_looked_for(self, reach: Reach, steps: Sequence[Step], context: Context) -> None:
        """Add the names of what may be looked for, where no folder that is there is named.

        git keeps no empty folder, so one that is named may have lost its last file: then only what
        is called so counts, unless the code goes to another folder from there.
        """
        missing = {one for one in reach.missing if posixpath.dirname(one) not in context.working}
        if not missing or any(step.beside for step in steps):
            reach.add_folder("", DATA + BELOW)
            return
        for path in missing:
            folder, name = posixpath.split(path)
            beginning = [one for one in self._tree.folders[folder] if one.startswith(name)]
            reach.present |= {posixpath.join(folder, one) for one in beginning}

    def _context(
        self, roots: tuple[str, ...], working: tuple[str, ...], *, anywhere: bool
    ) -> Context:
        key = (roots, working, anywhere)
        if key not in self._contexts:
            self._contexts[key] = Context(*key)
        return self._contexts[key]

    def _folders_of(self, places: Iterable[Place], folder: str, file: str) -> list[str]:
        found = [self._located(place, folder, file) for place in places]
        return [path for path in found if path is not None and path in self._tree.folders]

    def _located(self, place: Place, folder: str, file: str) -> str | None:
        """The path relative to the top; None where it is outside."""
        if place.path.startswith("/"):
            top = str(self._tree.parts[0].top)
            if not (place.path == top or place.path.startswith(f"{top}/")):
                return None
            path = place.path[len(top) + 1 :]
        else:
            base = folder if place.base == CWD else posixpath.dirname(file)
            path = posixpath.join(base, place.path)
        path = posixpath.normpath(path) if path else ""
        if is_outside(path):
            return None
        found = self._tree.real("" if path == "." else path)
        return None if is_outside(found) else found

    def _follow(
        self, start: str, context: Context, given: Sequence[str]
    ) -> tuple[Reach, list[Step]]:
        reach = Reach(files={start: start}, roots=set(context.roots))
        if (real := self._tree.real(start)) in self._tree:
            reach.files.setdefault(real, start)
        files, taken = reach.files, []
        pending: list[tuple[str, str | None]] = [(start, None)]
        if given:
            facts = Facts(probes=self._sources.facts(self._tree, start).probes)
            for text in given:
                facts.add_word(text)
            wanted: dict[str, None] = {}
            named = Reach()
            self._name(start, facts, context.working, wanted, named)
            files |= dict.fromkeys(wanted, start)
            pending += [(file, None) for file in wanted]
            add_step(reach, named)
        executed: set[str] = set()
        for path, kind in pending:  # which grows
            step = context.steps.get((path, kind))
            if step is None:
                step = context.steps[path, kind] = self._step(path, kind, context)
            taken.append(step)
            for file in step.files:
                if file not in files:
                    files[file] = path
                    pending.append((file, None))
            for file in step.scripts:
                files.setdefault(file, path)
                if file not in executed:
                    executed.add(file)
                    pending.append((file, PYTHON))
            add_step(reach, step.named)
        return reach, taken

    def _step(self, path: str, kind: str | None, context: Context) -> Step:
        facts = self._sources.facts(self._tree, path, kind)
        files: dict[str, None] = {}
        roots = context.roots
        if kind_of(path) != NOTEBOOK:  # a script that is run has its own folder on sys.path
            roots = (*roots, posixpath.dirname(path))
        for wanted in facts.imports:
            for file in self._imported(wanted, path, roots, anywhere=context.anywhere):
                files.setdefault(file)
        named = Reach(lists=facts.lists or facts.computes, unpickles=facts.unpickles)
        self._name(path, facts, context.working, files, named)
        self._list(path, facts, context.working, named)
        folder = context.working[0]
        more_roots = self._folders_of(facts.roots, folder, path)
        named.present |= {f"{root}/" for root in more_roots if root}
        for package in facts.packages:
            self._add_package(Import(0, package), path, context, files, named)
        if facts.computes:
            named.whole[posixpath.dirname(path)] = path
        if facts.computes or facts.computes_roots:
            named.add_folder("", SOURCES + BELOW)
        scripts = (self._located(place, folder, path) for place in facts.scripts)
        return Step(
            tuple(files),
            tuple(script for script in scripts if script is not None and script in self._tree),
            named,
            tuple(more_roots),
            tuple(self._folders_of(facts.folders, folder, path)),
            facts.computes_roots,
            facts.probes,
            facts.beside,
        )

    def _add_package(
        self, wanted: Import, path: str, context: Context, files: dict[str, None], named: Reach
    ) -> None:
        """Add all files of a package, and their names."""
        roots = (*context.roots, posixpath.dirname(path))
        for file in self._imported(wanted, path, roots, anywhere=context.anywhere):
            files.setdefault(file)
        folders = self._modules.folders_of(wanted, roots)
        for folder in folders if wanted.module else [posixpath.dirname(path)]:
            named.whole[folder] = path
            named.add_folder(folder, ALL + BELOW)

    def _list(self, path: str, facts: Facts, working: Sequence[str], named: Reach) -> None:
        """Add the folders that are listed: all names in them count."""
        for place in facts.listings:
            here = Place(place.base, place.path.removesuffix(BELOW))
            for base in working:
                folder = self._located(here, base, path)
                if folder is not None:
                    named.add_folder(folder, ALL + BELOW if place.path.endswith(BELOW) else ALL)

    def _imported(
        self, wanted: Import, path: str, roots: Sequence[str], *, anywhere: bool
    ) -> list[str]:
        found = self._modules.resolve(wanted, path, roots, anywhere=anywhere)
        if "*" in wanted.names:
            # A package's __all__ may name modules: its strings are words of that file.
            for file in list(found):
                if posixpath.basename(file) == _INIT:
                    base = posixpath.dirname(file)
                    for word in self._sources.facts(self._tree, file).words:
                        module = posixpath.join(base, f"{word}.py")
                        package = posixpath.join(base, word, _INIT)
                        found += [one for one in (module, package) if one in self._tree]
        return found

    def _name(
        self,
        path: str,
        facts: Facts,
        working: Sequence[str],
        files: dict[str, None],
        named: Reach,
    ) -> None:
        """Add the files that strings name; names that are looked for, and folders.

        Of a folder that is named, or that a name known in part is in, all data count by name, and
        all else that may be meant.
        """
        bases = tuple(dict.fromkeys([*working, posixpath.dirname(path), self._root, ""]))
        is_config = kind_of(path) == CONFIG
        places = [
            *(Place(CWD, word) for word in facts.words if not is_config or self._may_name(word)),
            *facts.places,
            *facts.scripts,
        ]
        names_sources = any(is_source(place.path) for place in places)
        for place in places:
            if place.path.startswith("/") and self._located(place, "", path) is None:
                named.outside.add(place.path)
            partly = named_folder(place.path)
            wanted = place if partly is None else Place(place.base, partly)
            is_found = False
            for base in working if partly == "." else bases:
                found = self._located(wanted, base, path)
                if found is None or found == path:
                    continue
                if found in self._tree and partly is None:
                    files.setdefault(found)
                    is_found = True
                elif found in self._tree.folders:
                    # What looks around where it stands itself seldom looks for modules.
                    is_open = partly is None or posixpath.basename(place.path) == SELF
                    is_own = is_open and f"{path}/".startswith(f"{found}/" if found else "")
                    probes = facts.probes and (names_sources or not is_own)
                    kind = meant_kind(place.path, probes=probes)
                    is_found = add_named(found, partly, kind, named)
            if not is_found and partly is None:
                named.present |= self._called(place.path, path)
            if not is_found and "/" in place.path and not posixpath.splitext(wanted.path)[1]:
                found_at = (self._located(wanted, base, path) for base in bases)
                named.missing |= {one for one in found_at if one and self._may_come(one)}

    def _may_come(self, path: str) -> bool:
        """Whether the folder that ``path`` would be in is there, and not the top."""
        folder = posixpath.dirname(path)
        return bool(folder) and folder in self._tree.folders

    def _may_name(self, word: str) -> bool:
        """Whether anything in the tree is called like the end of ``word``: most are no names."""
        folder, name = posixpath.split(word.rstrip("/"))
        return (
            name in self._tree.by_name
            or name in self._folder_names
            or posixpath.basename(folder) in self._folder_names
        )

    @cached_property
    def _folder_names(self) -> set[str]:
        return {posixpath.basename(folder) for folder in self._tree.folders}

    def _called(self, text: str, file: str) -> set[str]:
        """Tracked files whose path ends in ``text``, which has a suffix."""
        name = posixpath.basename(text)
        suffix = posixpath.splitext(name)[1]
        if not 1 < len(suffix) <= len(".parquet") + 1 or not suffix[1:].isalnum():
            return set()
        ending = "/" + re.sub(r"^/*(\.\./)*", "", posixpath.normpath(text))
        return {
            path
            for path in self._tree.by_name.get(name, ())
            if path != file and f"/{path}".endswith(ending)
        }
