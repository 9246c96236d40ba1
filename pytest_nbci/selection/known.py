"""Which files somebody is known to depend on: a change of any other makes everything due."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping

from pytest_nbci.selection.basis import WHOLE
from pytest_nbci.selection.entry import Entry
from pytest_nbci.selection.fingerprint import Analysis
from pytest_nbci.selection.tree import names_below
from pytest_nbci.settings import matches


def known_files(
    analysis: Analysis, bases: Iterable[Mapping[str, str]], entries: Iterable[Entry]
) -> set[str]:
    """Files that something is known to depend on.

    What counts only since everything in its folder does is not known by that: nobody knows who
    else may depend on it.

    Args:
        analysis: Of the tree they are in.
        bases: Files of static bases.
        entries: Results of earlier runs.
    """
    known = _harmless_files(analysis)
    folders: dict[tuple[str, str], None] = {}
    texts = list(bases)
    for entry in entries:
        texts.append(entry.files)
        known |= set(entry.inputs)
        folders.update(dict.fromkeys(entry.listed.items()))
    for files in texts:
        for path, value in files.items():
            if path.endswith("/"):
                folders.setdefault((path[:-1], value))
            elif not value.startswith(WHOLE):
                known.add(path)
    kinds = {(folder, value.partition(":")[0]) for folder, value in folders}
    for folder, kind in kinds:
        known.update(_known_by_name(analysis, folder, kind))
    return known


def _harmless_files(analysis: Analysis) -> set[str]:
    """Files that make nothing due by themselves: notebooks, what is ignored, and such."""
    ignore = analysis.rules.ignore
    found = {path for path in analysis.tree.git if _is_known_kind(path) or matches(path, ignore)}
    return found | set(analysis.tree.sources)


def _is_known_kind(path: str) -> bool:
    """Notebooks, and what pytest itself reads: who depends on them is known."""
    return path.endswith(".ipynb") or posixpath.basename(path) == "conftest.py"


def _known_by_name(analysis: Analysis, folder: str, kind: str) -> Iterable[str]:
    """Files in a folder whose names count, without those that may be meant for everybody.

    Such lie at the top; above notebooks, where libraries look for settings (.env, matplotlibrc),
    they have no suffix.
    """
    if not folder or folder.startswith("/"):
        return ()
    return (
        path
        for path in names_below(analysis.tree, folder, kind)
        if posixpath.splitext(path)[1] or posixpath.dirname(path) not in analysis.above_notebooks
    )
