"""The plan of a session: the tracked notebooks of the project that no ``exclude`` leaves out."""

from __future__ import annotations

from collections.abc import Collection

from pytest_nbci.repository import Repository, printable
from pytest_nbci.settings import Table, excluded


def plan_notebooks(repository: Repository, table: Table, named: Collection[str]) -> tuple[str, ...]:
    """Notebooks to be collected, relative to the project root, sorted.

    Args:
        repository: The repository, its project root set.
        table: The project's table.
        named: Notebooks named as arguments, which are collected also when untracked or excluded.
    """
    tracked = {path for path in repository.notebooks() if not excluded(table, printable(path))}
    return tuple(sorted(tracked | set(named)))
