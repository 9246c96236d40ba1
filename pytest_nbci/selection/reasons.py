"""Why a notebook is due, as a chain from the notebook to what changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_nbci.selection.basis import PRESENT
from pytest_nbci.selection.entry import input_id
from pytest_nbci.selection.tree import ABSENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_nbci.selection.basis import Basis
    from pytest_nbci.selection.entry import Entry
    from pytest_nbci.selection.fingerprint import Analysis
    from pytest_nbci.selection.tree import Tree

# The kernel's name is part of the source too, so it comes first.
_PARTS = {
    "kernel": "its kernel changed",
    "source": "its source changed",
    "project": "the project moved",
    "settings": "its settings changed",
    "parameters": "the values of its parameters changed",
    "data": "there are other files of test data",
    "shadows": "other files of the repository hide installed modules",
    "profile": "it passed with another profile of test data",
    "kernels": "the installed kernels changed",
    "python": "Python or the platform changed",
    "packages": "the installed packages changed",
    "pytest-nbci": "pytest-nbci changed",
}
ARROW = " ← "
_OTHER_NAMES = "lists other files"


def reasons_of(name: str, analysis: Analysis, entry: Entry, differing: Sequence[str]) -> list[str]:
    """Everything that is not as it was when the notebook passed; at least one sentence.

    Args:
        name: The notebook.
        analysis: Of the present tree.
        entry: A result that passed.
        differing: What of the things that run read is not the same now.
    """
    tree, basis = analysis.tree, analysis.basis(analysis.rules.prefix + name)

    def chain(path: str, how: str) -> str:
        links = [*basis.chain(path)[1:-1], _whose(tree, entry, path)]
        return f"{ARROW.join([name, *map(_folder, links)])} {how}"

    found = [sentence for part, sentence in _PARTS.items() if _differs(part, basis, entry)]
    changed = [
        (_how(path, basis, entry), path)
        for path in sorted({*basis.files, *entry.files})
        if basis.files.get(path) != entry.files.get(path)
    ]
    found += [chain(path, how) for how, path in sorted(changed)]
    for path in differing:
        if path.endswith("/**"):
            folder = shown(path[:-3]) or "the repository"
            found.append(f"{folder} changed, and what it reads is not known")
        elif path.endswith("/"):
            found.append(f"{name}{ARROW}{_folder(path)} {_OTHER_NAMES}")
        elif basis.files.get(path) == entry.files.get(path):
            how = "is gone" if input_id(tree, path) == ABSENT else "changed"
            found.append(chain(path, how))
    return found or ["it changed"]


def _differs(part: str, basis: Basis, entry: Entry) -> bool:
    return basis.parts.get(part) != entry.parts.get(part)


def _how(path: str, basis: Basis, entry: Entry) -> str:
    before, now = entry.files.get(path), basis.files.get(path)
    if path.endswith("/") and before is not None and now is not None:
        return _OTHER_NAMES
    if now is None:
        return "is gone" if before != PRESENT else "is no longer there"
    return "is new to it" if before is None else "changed"


def _folder(path: str) -> str:
    return "the repository" if path == "/" else shown(path)


def shown(path: str) -> str:
    """``path`` as a terminal may show it."""
    return "".join(char if char.isprintable() else "?" for char in path)


def _whose(tree: Tree, entry: Entry, path: str) -> str:
    """The file that somebody changed: of test data, the one that is laid at ``path``."""
    laid = tree.data.get(path)
    if laid is None or entry.inputs.get(path, "").startswith(f"{tree.id(path)}+"):
        return path  # the tracked one, below data that are as they were
    return tree.path_of(laid) or str(laid)


def missed_input(name: str, entry: Entry, inputs: Iterable[str], listed: Iterable[str]) -> str:
    """The sentence for a notebook that failed with the inputs of a result that passed.

    Args:
        name: The notebook.
        entry: That result.
        inputs: What the run that failed has read.
        listed: Folders that it listed.
    """
    when = f"on {entry.at[:10]}" + (f" in {entry.commit}" if entry.commit else "")
    said = f"{name} failed, and --nbci-changed would have left it out: it passed {when}"
    new = sorted(path for path in inputs if path not in entry.inputs and path not in entry.files)
    new += sorted(f"{folder or '.'}/" for folder in listed if folder not in entry.listed)
    if new:
        more = f" and {len(new) - 1} more" if len(new) > 1 else ""
        missed = f"{shown(new[0])}{more}, which it did not read then"
        return f"{said}. The input that was missed: {missed}."
    return (
        f"{said}. No other file was seen to be opened: the input that was missed may be outside "
        "git (a server, a variable, the time, or chance), or a file that it only looked for."
    )
