"""Is a notebook due? It is, unless it passed with the very same inputs; and why."""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_nbci.errors import NotebookError
from pytest_nbci.selection.entry import Entry, input_id
from pytest_nbci.selection.fingerprint import Analysis
from pytest_nbci.selection.known import known_files
from pytest_nbci.selection.reasons import ARROW, reasons_of, shown
from pytest_nbci.selection.state import Change, State, merged
from pytest_nbci.selection.tree import DATA, is_source
from pytest_nbci.settings import matches

PASSED = "passed"
_ENDED = {"failed": "it failed", "error": "it ended in an error", "lost": "it was lost"}


@dataclass(frozen=True)
class Decision:
    """Whether a notebook is due, why, and which result stands for it if it is not.

    ``more`` are further reasons.
    """

    notebook: str
    due: bool
    why: str
    entry: Entry | None = None
    more: tuple[str, ...] = ()

    def sentence(self) -> str:
        """The notebook and why; a chain begins with the notebook itself."""
        is_chain = self.why.startswith(f"{self.notebook}{ARROW}")
        return self.why if is_chain else f"{self.notebook}: {self.why}"


@dataclass(frozen=True)
class Choice:
    """The decisions of a session.

    Args:
        decisions: One for each notebook, in the order they were given.
        note: Why everything is due, where one reason holds for all; empty otherwise.
        entries: Results that hold for this tree, to be handed on to later sessions.
        sessions: Sessions all of whose results are among them.
    """

    decisions: tuple[Decision, ...]
    note: str = ""
    entries: tuple[Entry, ...] = ()
    sessions: frozenset[str] = frozenset()


def choose(
    analysis: Analysis,
    notebooks: Sequence[str],
    states: Sequence[State],
    fallback: Callable[[str], str | None] = lambda _: None,
) -> Choice:
    """Decide for each of ``notebooks``.

    Args:
        analysis: Of the tree to be tested.
        notebooks: Their names relative to the project root, as they are printed.
        states: What earlier sessions left, the newest first.
        fallback: Says why a notebook without a result need not run all the same; None if it must.
    """
    usable, note = _usable(analysis, notebooks, states)
    held = {id(state) for state in usable}
    entries = merged(
        entry
        for state in states
        for entry in state.entries
        if id(state) in held or entry.outcome != PASSED  # red stays due until it passes
    )
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.notebook, []).append(entry)
    older = merged(entry for state in states for entry in state.entries) if note else ()
    had = {entry.notebook: entry for entry in reversed(older)}
    decisions = []
    is_all = bool(note) and bool(notebooks)
    for name in notebooks:
        found = groups.get(name, [])
        decision = _decide(analysis, name, found)
        if not found and name in had:
            decision = _decide(analysis, name, [had[name]])
            decision = decision if decision.due else Decision(name, due=True, why=note)
        else:
            is_all = False
        if decision.due and not found and name not in had:
            why = fallback(name)
            if why is not None:
                decision = Decision(name, due=False, why=why)
        decisions.append(decision)
    sessions = {name for state in usable for name in (state.session, *state.covers)}
    return Choice(tuple(decisions), note if is_all else "", entries, frozenset(sessions))


def _usable(
    analysis: Analysis, notebooks: Sequence[str], states: Sequence[State]
) -> tuple[list[State], str]:
    """States since which no file changed that belongs to nothing known; else which one did."""
    tree = analysis.tree
    usable: list[State] = []
    note = ""
    known: set[str] | None = None
    for state in states:
        if state.table.tree == tree.digest:
            usable.append(state)
            continue
        changes = state.table.changes(tree)
        if known is None:
            bases = (analysis.basis(analysis.rules.prefix + name) for name in notebooks)
            entries = (entry for one in states for entry in one.entries)
            known = known_files(analysis, [basis.files for basis in bases], entries)
        strange = [change for change in changes if not (change.was_known or change.path in known)]
        if strange:
            note = note or _told(strange)
        else:
            usable.append(state)
    return usable, note


def _told(changes: Sequence[Change]) -> str:
    named = [change for change in changes if change.path is not None]
    more = f" (and {len(changes) - 1} more)" if len(changes) > 1 else ""
    if not named:
        return f"a file is gone that belongs to nothing known{more}"
    return f"{shown(str(named[0].path))} {named[0].how} and belongs to nothing known{more}"


def _decide(analysis: Analysis, name: str, entries: Sequence[Entry]) -> Decision:
    path = analysis.rules.prefix + name
    fingerprint = analysis.fingerprint(path)
    same = [one for one in entries if one.fingerprint in (fingerprint, "")]  # lost ones have none
    # A red result may have read more than an older one that passed.
    for entry in itertools.takewhile(lambda one: one.outcome == PASSED, same):
        if not differing(analysis, entry):
            return Decision(name, due=False, why=said(entry), entry=entry)
    held_back = _held_back(analysis, path, entries)
    if held_back:
        return Decision(name, due=True, why=held_back)
    passed = next((entry for entry in entries if entry.outcome == PASSED), None)
    if passed is None or (same and same[0].outcome != PASSED):
        why = _ended((same or entries)[0]) if entries else "it has no result yet"
        return Decision(name, due=True, why=why)
    reasons = reasons_of(name, analysis, passed, differing(analysis, passed))
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return Decision(name, True, f"{reasons[0]}{more}", passed, tuple(reasons[1:]))  # noqa: FBT003


def _held_back(analysis: Analysis, path: str, entries: Sequence[Entry]) -> str:
    """What of the settings of a notebook keeps it from ever having passed; mostly nothing."""
    try:
        own = analysis.settings_of(path)
    except NotebookError:
        return ""
    if own.skip is not None:
        return f"it is skipped: {shown(own.skip)}"
    if "skip" in own.marks:
        return "it is skipped"
    return "it is expected to fail" if "xfail" in own.marks and not entries else ""


def said(entry: Entry) -> str:
    """The sentence for a result that still holds."""
    return f"passed with the same inputs {_when(entry)}"


def _ended(entry: Entry) -> str:
    how = _ENDED.get(entry.outcome, f"it ended as {entry.outcome}")
    return f"{how} {_when(entry)}"


def _when(entry: Entry) -> str:
    return f"on {entry.at[:10]}" + (f" in {entry.commit}" if entry.commit else "")


def differing(analysis: Analysis, entry: Entry) -> list[str]:
    """Files and folders (with a slash) that the run read and that are not the same now."""
    tree = analysis.tree
    found = [path for path, value in entry.inputs.items() if input_id(tree, path) != value]
    for folder, value in entry.listed.items():
        kind = value.partition(":")[0]
        if analysis.listing(folder, kind) != value:
            found.append(f"{folder}/")
    if entry.every is not None and analysis.digest_of(entry.every[0]) != entry.every[1]:
        found.append(f"{entry.every[0]}/**")
    return found


def since(analysis: Analysis, base: Analysis, reference: str) -> Callable[[str], str | None]:
    """Says why a notebook without a result need not run: nothing that it may read has changed.

    Args:
        analysis: Of the tree to be tested.
        base: Of the tree of ``reference``.
        reference: What the user called it.
    """
    before, now = base.tree.git, analysis.tree.git
    changed = [path for path in sorted({*before, *now}) if before.get(path) != now.get(path)]
    # A whole folder that is ignored may hold data.
    ignore = [pattern for pattern in analysis.rules.ignore if not pattern.endswith("/")]

    def unchanged(name: str) -> str | None:
        path = analysis.rules.prefix + name
        if path not in base.tree or analysis.fingerprint(path) != base.fingerprint(path):
            return None
        # Without a result nobody knows what data it reads: any that changed may be meant.
        basis, folder = analysis.basis(path), posixpath.dirname(path)
        named = [one for one, kind in basis.folders.items() if not kind.startswith(DATA)]

        def may_be_read(changed_file: str) -> bool:
            if changed_file in basis.files:
                return True
            if is_source(changed_file):
                inside = (not one or changed_file.startswith(f"{one}/") for one in named)
                return basis.lists or basis.unpickles or any(inside)
            is_near = changed_file.startswith(f"{folder}/") if folder else "/" not in changed_file
            return is_near or not matches(changed_file, ignore)

        if any(may_be_read(one) for one in changed if one != path):
            return None
        return f"unchanged since {reference}"

    return unchanged
