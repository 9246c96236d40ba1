"""Selection of a session: analyses its tree, reads what passed before, writes what passes now."""

from __future__ import annotations

import contextlib
import os
import posixpath
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_nbci import settings
from pytest_nbci.delivery import Destination
from pytest_nbci.errors import DataError, NbciError, UsageError
from pytest_nbci.execution.test_data import NotebookData, list_files
from pytest_nbci.records import Record
from pytest_nbci.repository import Repository, printable
from pytest_nbci.scrub import find_secrets, scrub_text
from pytest_nbci.selection import (
    Analysis,
    Choice,
    Decision,
    Entry,
    FileTable,
    Passed,
    Rules,
    Sources,
    State,
    choose,
    entry_of,
    known_files,
    merged,
    missed_input,
    passed_key,
    read_kept,
    read_passed,
    read_tree,
    since,
    write_kept,
)
from pytest_nbci.settings import DataProfile, NotebookSettings, Table
from pytest_nbci.store import FolderStore, Store, open_s3_store
from pytest_nbci.trees import TreePart

_CACHE = "selection"
# Local files of passed results; a bucket keeps as many as its own rules say.
_KEPT_FILES = 20
_FAST_S = 8.0
_REASONS_AT_MOST = 10


@dataclass(frozen=True)
class Ground:
    """What is the same for every tree that a session looks at.

    Args:
        repository: The repository, its project root set.
        table: The project's table.
        profile: The profile of test data.
    """

    repository: Repository
    table: Table
    profile: DataProfile


def analyse(ground: Ground, parts: Sequence[TreePart], cache: Path | None = None) -> Analysis:
    """The analysis of one tree.

    Args:
        ground: The project.
        parts: The tree and those of its submodules.
        cache: The folder that this project may write; None: nothing is kept.

    Raises:
        NbciError: A tree does not exist.
    """
    repository, table, profile = ground.repository, ground.table, ground.profile
    prefix = printable(repository.prefix)
    data = NotebookData(files=profile.files, root=profile.root)
    laid: dict[str, Path] = {}
    with contextlib.suppress(DataError):  # what is wrong there, the run says
        for name, file in list_files(data, repository.root):
            laid[posixpath.normpath(repository.prefix + name)] = file

    def settings_of(path: str, metadata: Any) -> NotebookSettings:
        # --nbci-timeout is of one session: what passed with it holds for others.
        return settings.resolve_notebook(table, path.removeprefix(prefix), metadata, None)

    rules = Rules(
        prefix=prefix,
        settings_of=settings_of,
        profile=profile,
        ignore=settings.ignored(table),
        key=repr((table.values, table.rules)),
    )
    kept = None if cache is None else cache / _CACHE / "sources.json"
    return Analysis(read_tree(parts, laid), Sources(kept), rules)


class Selector:
    """What a session remembers of earlier ones, chooses, and hands on.

    Args:
        ground: The project.
        destination: Where results lie.
        project: The project's name.
    """

    def __init__(self, ground: Ground, destination: Destination, project: str) -> None:
        self._ground = ground
        self._destination = destination
        self._project = project
        self._passed: Passed | None = None
        self._stores: list[Store] = []
        self.choice: Choice | None = None
        self.problems: list[str] = []

    @property
    def reasons(self) -> dict[str, str]:
        """Notebooks that are due, and why; empty where all of them run."""
        found = () if self.choice is None else self.choice.decisions
        return {one.notebook: one.why for one in found if one.due}

    @property
    def left_out(self) -> tuple[Decision, ...]:
        """Notebooks that are not due."""
        found = () if self.choice is None else self.choice.decisions
        return tuple(one for one in found if not one.due)

    def lines(self, is_asked: Callable[[str], bool] = lambda _: True) -> list[str]:
        """What the summary tells of the choice, as far as it is of notebooks asked for."""
        if self.choice is None:
            return []
        decisions = [one for one in self.choice.decisions if is_asked(one.notebook)]
        if not decisions:
            return self.problems
        left_out = [one for one in decisions if not one.due]
        total, rest = len(decisions), len(left_out)
        passed = sum(1 for one in left_out if one.entry is not None)
        noun = "notebook" if total == 1 else "notebooks"
        said = f"{total - rest} of {total} {noun} due; {passed} passed before with the same inputs"
        if rest > passed:
            said += f"; {rest - passed} not changed since the base"
        reasons = [f"  {one.sentence()}" for one in decisions if one.due]
        if self.choice.note:
            reasons = [f"  everything is due: {self.choice.note}"]
        elif len(reasons) > _REASONS_AT_MOST:
            more = len(reasons) - _REASONS_AT_MOST
            reasons[_REASONS_AT_MOST:] = [f"  and {more} more (nbci why lists them)"]
        return [said, *reasons, *self.problems]

    def read(self) -> Passed:
        """What passed before, in the store and here."""
        if self._passed is None:
            self._stores = [FolderStore(self._destination.results)]
            if self._destination.store_url is not None:
                try:
                    url, origin = self._destination.store_url, self._destination.store_origin
                    self._stores.append(open_s3_store(url, origin, patience_s=_FAST_S, tries=2))
                except NbciError as error:
                    self.problems.append(str(error))
            repository = self._ground.repository
            branches = (repository.branch(os.environ), repository.default_branch(os.environ))
            prefix = printable(repository.prefix)
            self._passed = read_passed(self._stores, self._project, branches, prefix)
            self.problems += self._passed.problems
        return self._passed

    def durations_s(self) -> dict[str, float]:
        """How long notebooks took when they ran last, by name, from what is at hand.

        A store far away is not asked for the sake of it: it may not answer.
        """
        is_at_hand = self._passed is not None or self._destination.store_url is None
        found: dict[str, float] = {}
        for state in self.read().states if is_at_hand else ():
            for entry in state.entries:
                found.setdefault(entry.notebook, entry.duration_s)
        return found

    def upload(self, key: str, content: bytes) -> None:
        """Write to the store beside the results folder, where it is open already.

        Raises:
            DeliveryError: It did not take it.
        """
        for store in self._stores[1:]:
            store.put(key, content)

    def place(self, key: str) -> str:
        """Where a reader finds what lies at ``key``: here, if it is here, else in the store."""
        here = FolderStore(self._destination.results)
        if here.path(key).exists() or self._destination.store_url is None:
            return settings.describe(here.path(key))
        return f"{self._destination.store_url.rstrip('/')}/{key}"

    def choose(
        self,
        analysis: Analysis,
        notebooks: Iterable[str],
        named: Iterable[str] = (),
        reference: str | None = None,
    ) -> Choice:
        """Decide for each notebook; those named as arguments are due in any case.

        Args:
            analysis: Of the tree to be tested.
            notebooks: Relative to the project root.
            named: The same.
            reference: A commit to compare with those that have no result yet.

        Raises:
            UsageError: There is no such commit.
        """
        wanted = {printable(path) for path in named}
        names = [printable(path) for path in notebooks if printable(path) not in wanted]
        base, why_not = base_analysis(self._ground, reference, analysis)
        self.problems += filter(None, [why_not])
        states = self.read().states
        with _remembered(analysis, self._destination.state):
            if base is None:
                found = choose(analysis, names, states)
            else:
                found = choose(analysis, names, states, since(analysis, base, str(reference)))
        asked = tuple(Decision(name, due=True, why="named as an argument") for name in wanted)
        secrets = find_secrets(os.environ, self._destination.scrub)  # the reason of a skip
        told = (replace(one, why=scrub_text(one.why, secrets)) for one in found.decisions)
        decisions = tuple(sorted((*told, *asked), key=lambda one: one.notebook))
        self.choice = replace(found, decisions=decisions)
        return self.choice

    def missed(
        self, analysis: Analysis, notebooks: Iterable[str], records: Iterable[Record]
    ) -> list[str]:
        """Failed notebooks that selection would have left out, and which input it did not know.

        Only where every notebook ran: that is what such a run is for.

        Args:
            analysis: Of the tree that was tested.
            notebooks: All that were to be run: what is known depends on each.
            records: What they came to.
        """
        failed = [record for record in records if record.outcome == "failed"]
        if self.choice is not None or not failed:
            return []
        names = [printable(path) for path in notebooks]
        found = choose(analysis, names, self.read().states)
        kept = {one.notebook: one.entry for one in found.decisions if not one.due}
        return [
            missed_input(
                record.notebook,
                entry,
                record.depends_on.get("inputs", {}),
                record.depends_on.get("listed", {}),
            )
            for record in failed
            if (entry := kept.get(record.notebook)) is not None
        ]

    def write(self, analysis: Analysis, session: str, records: Iterable[Record]) -> None:
        """Keep what this session came to, with what it read, for later ones.

        Raises:
            DeliveryError: The results folder cannot be written.
        """
        new = [entry_of(record) for record in records if record.outcome != "skipped"]
        new = [entry for entry in new if entry.fingerprint or entry.outcome != "passed"]
        if not new:
            return
        handed_on: tuple[Entry, ...] = ()
        covered: Iterable[str] = ()
        if self.choice is not None:
            # What does not hold any more was judged, and need not be looked at again.
            handed_on, covered = self.choice.entries, self.read().names
        elif self._destination.store_url is None:
            # Every notebook ran, and the results folder is quickly read.
            found = choose(analysis, (), self.read().states)
            handed_on, covered = found.entries, found.sessions
        covers = tuple(sorted(covered))
        prefix = analysis.rules.prefix
        kept = [entry for entry in handed_on if prefix + entry.notebook in analysis.tree]
        entries = merged([*kept, *new])
        known = known_files(analysis, (), entries)
        state = State(session, FileTable.of(analysis.tree, known), entries, covers)
        branch = self._ground.repository.branch(os.environ)
        key = passed_key(self._project, branch, session, prefix)
        store = FolderStore(self._destination.results)
        store.put(key, state.to_json())
        if self._destination.store_url is None:
            self._clear(store, key, covers)

    def _clear(self, store: FolderStore, key: str, covers: Sequence[str]) -> None:
        """Remove older files that the new one covers; a bucket has rules of its own for that."""
        folder = store.path(key).parent
        for session in sorted(covers)[:-_KEPT_FILES]:
            with contextlib.suppress(OSError):
                (folder / f"{session}.json").unlink()


def base_analysis(
    ground: Ground, reference: str | None, analysis: Analysis
) -> tuple[Analysis | None, str]:
    """The analysis of another commit's tree; None, and why where a shallow clone lacks it.

    Raises:
        UsageError: There is no such commit.
    """
    if reference is None:
        return None, ""
    repository = ground.repository
    try:
        tree = repository.tree_of(reference)
    except NbciError as error:
        is_name = not reference.startswith("-")
        if (repository.is_shallow and is_name) or not reference.strip("0"):
            return None, f"the base {reference} is not in this clone"
        raise UsageError(
            f"The base {reference!r} is not a commit in {repository.top}.",
            "Name a commit, branch or tag; git fetch may bring it.",
        ) from error
    found = analyse(ground, [TreePart(repository.top, tree)])
    return Analysis(found.tree, analysis.sources, analysis.rules), ""


@contextlib.contextmanager
def _remembered(analysis: Analysis, state: Path) -> Any:
    """Fingerprints of the last analysis of an equal tree are taken, and these are kept."""
    file = state / _CACHE / "fingerprints.json"
    analysis.fingerprints.update(read_kept(file, analysis.key))
    before = len(analysis.fingerprints)
    yield
    if state.is_dir() and len(analysis.fingerprints) > before:
        write_kept(file, analysis.key, analysis.fingerprints)
