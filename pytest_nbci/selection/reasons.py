"""Why a notebook is due, as a chain from the notebook to what changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_nbci.selection.basis import PRESENT
from pytest_nbci.selection.tree import ABSENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_nbci.selection.basis import Basis
    from pytest_nbci.selection.entry import Entry
    from pytest_nbci.selection.fingerprint import Analysis

_PARTS = {
    "source": "its source changed",
    "project": "the project moved",
    "settings": "its settings changed",
    "parameters": "the values of its parameters changed",
    "data": "there are other files of test data",
    "shadows": "other files of the repository hide installed modules",
    "profile": "it passed with another profile of test data",
    "kernel": "its kernel changed",
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
    basis = analysis.basis(analysis.rules.prefix + name)
    found = [sentence for part, sentence in _PARTS.items() if _differs(part, basis, entry)]
    changed = [
        (_how(path, basis, entry), path)
        for path in sorted({*basis.files, *entry.files})
        if basis.files.get(path) != entry.files.get(path)
    ]
    found += [_chain(name, basis, path, how) for how, path in sorted(changed)]
    for path in differing:
        if path.endswith("/**"):
            folder = shown(path[:-3]) or "the repository"
            found.append(f"{folder} changed, and what it reads is not known")
        elif path.endswith("/"):
            found.append(f"{name}{ARROW}{_folder(path)} {_OTHER_NAMES}")
        elif basis.files.get(path) == entry.files.get(path):
            how = "is gone" if analysis.tree.id(path) == ABSENT else "changed"
            found.append(_chain(name, basis, path, how))
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


def _chain(name: str, basis: Basis, path: str, how: str) -> str:
    chain = basis.chain(path)
    links = [_folder(link) for link in chain[1:] or [path]]
    return f"{ARROW.join([name, *links])} {how}"


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
        return f"{said}. The input that was missed: {new[0]}{more}, which it did not read then."
    return (
        f"{said} with the same files. The input that was missed is not in git (a server, a "
        "variable, the time, or chance), or a file that it looked for and did not open."
    )
