"""Small real repositories whose notebooks are analysed without being run."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pytest_nbci import settings
from pytest_nbci.delivery import Destination
from pytest_nbci.records import Record, new_session_name, utc_now
from pytest_nbci.repository import Repository, find_repository
from pytest_nbci.selecting import Ground, Selector, analyse
from pytest_nbci.selection import Analysis, Choice, Readings, gather
from pytest_nbci.trees import TreePart
from tests.project import Project


@dataclass
class Analysed:
    """A project, what is known of its present commit, and sessions that only pretend to run."""

    project: Project

    @property
    def repository(self) -> Repository:
        return find_repository(self.project.root)

    @property
    def ground(self) -> Ground:
        table = settings.read_table(self.project.root)
        return Ground(self.repository, table, settings.resolve_profile("test", "", table))

    def analysis(self, revision: str = "HEAD", cache: Path | None = None) -> Analysis:
        return analyse(self.ground, [TreePart(self.project.root, revision)], cache)

    def files(self, notebook: str) -> set[str]:
        """Files that the notebook statically depends on, without those of the environment."""
        analysis = self.analysis()
        found = {path for path in analysis.basis(notebook).files if path != "pyproject.toml"}
        analysis.sources.close()
        return found

    def fingerprint(self, notebook: str) -> str:
        analysis = self.analysis()
        found = analysis.fingerprint(notebook)
        analysis.sources.close()
        return found

    def selector(self) -> Selector:
        state = self.project.root / ".nbci"
        state.mkdir(exist_ok=True)
        (state / ".gitignore").write_text("*\n")
        destination = Destination(state / "results", state, None, "", None, "x")
        return Selector(self.ground, destination, "p")

    def choose(self, **kwargs: str) -> Choice:
        """What selection says of the present commit."""
        analysis = self.analysis()
        try:
            return self.selector().choose(analysis, self.repository.notebooks(), **kwargs)
        finally:
            analysis.sources.close()

    def due(self) -> dict[str, str]:
        """Notebooks that are due, and why."""
        return {one.notebook: one.why for one in self.choose().decisions if one.due}

    def passes(
        self,
        reads: dict[str, Readings] | None = None,
        outcome: str = "passed",
        only: Collection[str] | None = None,
    ) -> None:
        """A session in which every notebook that is due (of ``only``) comes to ``outcome``.

        ``reads`` says what they read; a notebook that is not in it reads nothing.
        """
        analysis, selector = self.analysis(), self.selector()
        choice = selector.choose(analysis, self.repository.notebooks())
        records = []
        for decision in choice.decisions:
            if decision.due and (only is None or decision.notebook in only):
                nothing = Readings((), ())
                path = analysis.rules.prefix + decision.notebook
                read = (reads or {}).get(decision.notebook, nothing)
                evidence = gather(analysis, path, read)
                records.append(
                    Record(
                        session="s",
                        project="p",
                        notebook=decision.notebook,
                        outcome=outcome,
                        started_at=utc_now(),
                        fingerprint=evidence.basis.fingerprint,
                        depends_on=evidence.to_plain(),
                    )
                )
        selector.write(analysis, new_name(), records)
        analysis.sources.close()


def new_name() -> str:
    from datetime import UTC, datetime

    return new_session_name(datetime.now(UTC), None)


def passed_folder(repo: Analysed) -> Path:
    """Where sessions of the main branch leave what passed."""
    return repo.project.root / ".nbci/results/p/_passed/main"


def make(root: Path) -> Analysed:
    return Analysed(Project.create(root))
