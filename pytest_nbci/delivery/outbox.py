"""What lies in the results folder, and what of it a destination does not have yet.

A result is complete when its record exists, as that is written last. A file's stamp is its size
and time of change, so a file that was replaced (``_session.json`` at the end of a session, a
page rendered anew) is delivered again, and nothing else is.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_nbci.delivery.journal import journal_path, read_marks
from pytest_nbci.errors import DeliveryError
from pytest_nbci.store import PART_SUFFIX, FolderStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pytest_nbci.delivery.destination import Destination

RECORD = ".json"
TRACKED = ".mlflow.json"
PASSED = "_passed"  # fingerprints, no project's results
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_SESSION = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{1,8}-[0-9a-f]{6}")


@dataclass(frozen=True)
class Folder:
    """One session's folder below the results folder.

    Attributes:
        results: The results folder.
        project: The project's name, which may hold slashes.
        session: The session's name.
    """

    results: Path
    project: str
    session: str

    @property
    def prefix(self) -> str:
        """The key of the folder, with a final slash."""
        day = self.session
        return f"{self.project}/{day[:4]}-{day[4:6]}-{day[6:8]}/{self.session}/"

    def key(self, name: str) -> str:
        """The key of a file whose name is relative to the session's folder."""
        return self.prefix + name

    def path(self, name: str) -> Path:
        """The file whose name is relative to the session's folder."""
        return FolderStore(self.results).path(self.key(name))


def sessions(results: Path) -> Iterator[Folder]:
    """All sessions in the results folder, oldest first within a project."""
    for parent, names, _ in os.walk(results):
        names.sort()
        days = [name for name in names if _DATE.fullmatch(name)]
        names[:] = [name for name in names if name not in days and name != PASSED]
        project = os.path.relpath(parent, results).replace(os.sep, "/")
        for day in days:
            for session in sorted(_listed(f"{parent}/{day}")):
                if _SESSION.fullmatch(session):
                    yield Folder(results, project, session)


def find(results: Path, session: str) -> Folder | None:
    """The folder of ``session``; None while nothing of it was written."""
    day = f"{session[:4]}-{session[4:6]}-{session[6:8]}"
    for parent, names, _ in os.walk(results):
        if day in names and os.path.isdir(f"{parent}/{day}/{session}"):  # noqa: PTH112 - a walk
            return Folder(results, os.path.relpath(parent, results).replace(os.sep, "/"), session)
        names[:] = [n for n in names if not _DATE.fullmatch(n) and n != PASSED]
    return None


def notebooks(folder: Folder) -> list[str]:
    """Notebooks whose result is complete, sorted; their kept files are not searched."""
    found = []
    root = folder.path("")
    for parent, names, files in os.walk(root):
        base = os.path.relpath(parent, root).replace(os.sep, "/")
        here = "" if base == "." else f"{base}/"
        present = set(files)
        found += [
            here + name.removesuffix(RECORD) for name in files if name.endswith(f".ipynb{RECORD}")
        ]
        names[:] = [n for n in names if f"{n.removesuffix('.files')}.ipynb{RECORD}" not in present]
    return sorted(found)


def files_of(folder: Folder, notebook: str) -> dict[str, Path]:
    """Key to file of everything that belongs to the result; the record comes last.

    Raises:
        DeliveryError: There is no such result.
    """
    found = {}
    kept = notebook.removesuffix(".ipynb") + ".files"
    for parent, names, files in os.walk(folder.path(kept)):
        names.sort()
        for name in sorted(name for name in files if not name.endswith(PART_SUFFIX)):
            path = folder.path(kept) / os.path.relpath(f"{parent}/{name}", folder.path(kept))
            inner = path.relative_to(folder.path("")).as_posix()
            found[folder.key(inner)] = path
    for name in (notebook, f"{notebook}.html", f"{notebook}{TRACKED}", f"{notebook}{RECORD}"):
        path = folder.path(name)
        if path.is_file():
            found[folder.key(name)] = path
    if folder.key(notebook + RECORD) not in found:
        raise DeliveryError(f"{folder.path(notebook + RECORD)} does not exist.")
    return found


def session_files(folder: Folder) -> dict[str, Path]:
    """Key to file of what belongs to the session as a whole, ``_session.json`` last."""
    found = {}
    passed = folder.results.joinpath(*folder.project.split("/"), "_passed")
    for path in sorted(passed.rglob(f"{folder.session}.json")):
        found[path.relative_to(folder.results).as_posix()] = path
    summary = folder.path("_session.json")
    if summary.is_file():
        found[folder.key("_session.json")] = summary
    return found


def stamp(path: Path) -> str:
    """Size and time of change of a file; empty where there is none."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_size}-{status.st_mtime_ns}"


def stale(
    files: Mapping[str, Path], destination: str, marks: Mapping[tuple[str, str], str]
) -> dict[str, Path]:
    """Those of ``files`` that ``destination`` does not have as they are."""
    return {
        key: path for key, path in files.items() if marks.get((destination, key)) != stamp(path)
    }


def count_waiting(destination: Destination) -> int:
    """How many notebooks in the results folder lack a part, in the store or in MLflow."""
    return sum(
        len(
            set().union(
                *undelivered(
                    folder,
                    destination,
                    read_marks(journal_path(destination.journals, folder.session)),
                )
            )
        )
        for folder in sessions(destination.results)
    )


def undelivered(
    folder: Folder, destination: Destination, marks: Mapping[tuple[str, str], str]
) -> tuple[set[str], set[str]]:
    """Notebooks that the store, and that MLflow, do not have yet."""
    every = notebooks(folder)
    store = destination.store_mark
    tracking = destination.tracking_mark
    return (
        {n for n in every if store and stale(files_of(folder, n), store, marks)},
        {
            n
            for n in every
            if tracking and marks.get((tracking, folder.key(n))) != stamp(folder.path(n + RECORD))
        },
    )


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names, not paths
    except OSError:
        return []
