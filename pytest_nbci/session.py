"""A pytest run as a session: its context, its results folder, its record from plan to end.

The controller owns a ``Session``; the context and the snapshot travel to xdist workers as plain
values. Only the controller writes ``_session.json``; whoever ran a notebook writes its results.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_nbci import records
from pytest_nbci.delivery import Destination, prepare_tracking, stand_in
from pytest_nbci.errors import NbciError
from pytest_nbci.execution.checkout import Snapshot, make_snapshot
from pytest_nbci.execution.run import Bench
from pytest_nbci.execution.scratch import make_scratch, remove_scratch
from pytest_nbci.notebook import Notebook
from pytest_nbci.records import Commit, Planned, Record, Summary
from pytest_nbci.repository import Repository, printable
from pytest_nbci.settings import DataProfile, Table, matches, resolve_profile
from pytest_nbci.store import FolderStore

STATE_FOLDER = ".nbci"
INDEX = "index.html"
_SELECTED = "selected"
_BEGUN = "begun"
_MLFLOW = "mlflow"

_LOCK_FILES = (
    "*.lock",
    "requirements*.txt",
    "constraints*.txt",
    "environment.y*ml",
    "pyproject.toml",
    "package-lock.json",
    "renv.lock",
)


@dataclass(frozen=True)
class Context:
    """All that running a notebook needs to know of the session; the same in every worker."""

    repository: Repository
    table: Table
    profile: DataProfile
    project: str
    session: str
    destination: Destination
    publishes: bool
    notebooks: tuple[str, ...]
    timeout_flag: float | None
    started_at: str
    commit: Commit | None = None
    dirty: bool = False
    state_note: str = ""

    @property
    def store(self) -> FolderStore:
        """The results folder."""
        return FolderStore(self.destination.results)

    @property
    def prefix(self) -> str:
        """Where this session's results lie in the store."""
        return records.session_prefix(self.project, self.session)

    def to_plain(self) -> dict[str, Any]:
        """Values that can be sent to an xdist worker."""
        return {
            "top": os.fsencode(self.repository.top),
            "prefix": os.fsencode(self.repository.prefix),
            "profile": self.profile.name,
            "project": self.project,
            "session": self.session,
            "destination": {
                name: os.fsencode(value) if isinstance(value, Path) else value
                for name, value in vars(self.destination).items()
            },
            "publishes": self.publishes,
            "notebooks": [os.fsencode(path) for path in self.notebooks],
            "timeout_flag": self.timeout_flag,
            "started_at": self.started_at,
            "commit": dataclasses.asdict(self.commit) if self.commit else None,
            "dirty": self.dirty,
        }

    @classmethod
    def from_plain(cls, data: Mapping[str, Any], table: Table) -> Context:
        """The context that ``to_plain`` described; ``table`` is read again from its file."""
        repository = Repository(Path(os.fsdecode(data["top"])), os.fsdecode(data["prefix"]))
        destination: dict[str, Any] = {
            name: Path(os.fsdecode(value)) if isinstance(value, bytes) else value
            for name, value in data["destination"].items()
        }
        return cls(
            repository=repository,
            table=table,
            profile=resolve_profile(data["profile"], "the controller", table),
            project=data["project"],
            session=data["session"],
            destination=Destination(**destination),
            publishes=data["publishes"],
            notebooks=tuple(os.fsdecode(path) for path in data["notebooks"]),
            timeout_flag=data["timeout_flag"],
            started_at=data["started_at"],
            commit=Commit(**data["commit"]) if data["commit"] else None,
            dirty=data["dirty"],
        )


class Session:
    """The controller's side: snapshot, session record, and what is removed at the end."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.snapshot: Snapshot | None = None
        self.results: dict[str, Summary] = {}
        self._scratch: tuple[Path, int] | None = None
        self._plan: tuple[Planned, ...] = ()

    @property
    def scratch(self) -> Path:
        """The scratch folder; ``begin`` made it."""
        assert self._scratch is not None  # noqa: S101 - a caller's mistake, not a user's
        return self._scratch[0]

    @property
    def is_planned(self) -> bool:
        """Whether the session's record is written."""
        return bool(self._plan)

    def begin(self) -> Snapshot:
        """Make the scratch folder and the snapshot, once.

        Raises:
            UsageError: The index is unmerged.
            CheckoutError: The working tree cannot be read.
        """
        if self.snapshot is None:
            repository = self.context.repository
            self._scratch = make_scratch(repository.top)
            self.snapshot = make_snapshot(repository, self.scratch / "snapshot")
            head = self.snapshot.head
            dirty = head is not None and repository.tree_of(head) != self.snapshot.tree
            self.context = dataclasses.replace(
                self.context, commit=repository.author_commit(os.environ), dirty=dirty
            )
        return self.snapshot

    def plan(self, selected: Sequence[str]) -> None:
        """Write the session's record with the notebooks that will run.

        Raises:
            DeliveryError: The results folder cannot be written.
        """
        chosen = {printable(path) for path in selected}
        self._plan = tuple(
            Planned(name, due=name in chosen, why="" if name in chosen else "deselected")
            for name in sorted({printable(path) for path in self.context.notebooks} | chosen)
        )
        self._write(self._session(None))

    def finish(self, exit_status: int) -> list[str]:
        """Replace the session's record by the complete one.

        Returns:
            Notebooks that began and left no result (Ctrl-C, a crashed worker): they are lost.

        Raises:
            DeliveryError: The results folder cannot be written.
        """
        if not self._plan:
            return []
        session = self._session(exit_status)
        begun = {
            name.decode()
            for path in self.scratch.glob(f"*/{_BEGUN}")
            for name in path.read_bytes().split(b"\0")[:-1]
        }
        lost = sorted(begun - set(self.results))
        for name in lost:
            record = records.lost_record(session, name, "pytest or its worker ended")
            key = f"{self.context.prefix}/{name}.json"
            self.context.store.put(key, record.to_json().encode("utf-8", "backslashreplace"))
            self.results[name] = records.summary_of(record)
        session = self._session(exit_status)
        self._write(session)
        self._write_index(session)
        return lost

    def close(self) -> None:
        """Remove the scratch folder."""
        if self._scratch is not None:
            remove_scratch(*self._scratch)
            self._scratch = None

    def _write_index(self, session: records.Session) -> None:
        """A page that lists the results: a view for this folder, so it is not published."""
        from pytest_nbci.pages import render_index

        context = self.context
        found = [context.store.get(f"{context.prefix}/{name}.json") for name in self.results]
        read = [Record.from_json(content) for content in found if content is not None]
        page = render_index(session, read).encode("utf-8", "xmlcharrefreplace")
        context.store.put(f"{context.prefix}/{INDEX}", page)

    def _session(self, exit_status: int | None) -> records.Session:
        """The session as it is now; without an exit status it has not ended."""
        context, is_over = self.context, exit_status is not None
        return records.Session(
            session=context.session,
            project=context.project,
            complete=is_over,
            exit_status=exit_status,
            started_at=context.started_at,
            ended_at=records.utc_now() if is_over else None,
            host=records.this_host(),
            pipeline=os.environ.get("CI_PIPELINE_ID"),
            commit=context.commit,
            profile=context.profile.name,
            plan=self._plan,
            results=tuple(self.results[name] for name in sorted(self.results)),
        )

    def _write(self, session: records.Session) -> None:
        data = session.to_json().encode("utf-8", "backslashreplace")
        self.context.store.put(f"{self.context.prefix}/_session.json", data)


class Worker:
    """Where notebooks run: the one process of a serial session, or one xdist worker."""

    def __init__(self, context: Context, snapshot: Snapshot, folder: Path) -> None:
        self.context = context
        self.snapshot = snapshot
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._tracking = context.destination

    def note_begun(self, name: str) -> None:
        """A notebook begins: should its result never come, the controller knows it is lost."""
        with (self._folder / _BEGUN).open("ab") as file:
            file.write(name.encode() + b"\0")

    def announce(self, selected: Sequence[str]) -> None:
        """Tell the controller what was collected: node ids alone do not name files safely."""
        data = b"\0".join(os.fsencode(path) for path in selected)
        (self._folder / _SELECTED).write_bytes(data)

    @cached_property
    def bench(self) -> Bench:
        """Made when the first notebook runs."""
        return Bench(self.snapshot, self.context.repository.prefix, self._folder)

    def tracking_for(self, read: Notebook) -> Destination:
        """Where the notebook's own MLflow runs go, ready before its kernel starts.

        The embedded database is made here, since kernels would race to make it. It stands in for
        a server that does not answer, for the rest of the session; and at the desk, where nothing
        is published: a later ``nbci publish`` brings the runs with the result.
        """
        if self._tracking.tracking_uri is None or not self._may_log(read):
            return self._tracking
        if self.context.publishes:
            self._tracking = stand_in(self._tracking)
        else:
            self._tracking = self._tracking.embedded()
        # What is wrong there, the notebook's own logging and the delivery say.
        with contextlib.suppress(NbciError):
            prepare_tracking(self._tracking)
        return self._tracking

    def _may_log(self, read: Notebook) -> bool:
        """Whether the notebook, or any module that it could import, names MLflow."""
        named = any(_MLFLOW in cell["source"] for cell in read.content["cells"])
        return named or self._modules_log

    @cached_property
    def _modules_log(self) -> bool:
        return self.context.repository.mentions(_MLFLOW, "*.py")

    @cached_property
    def environment(self) -> dict[str, Any]:
        """What the record says of this machine and interpreter."""
        return {
            "python": platform.python_version(),
            "platform": platform.platform(),
            "image": os.environ.get("CI_JOB_IMAGE"),
            "lock_sha256": _lock_sha256(self.context.repository),
            "executable": sys.executable,
        }

    def write(
        self,
        record: Record,
        content: Mapping[str, Any] | None,
        kept: Mapping[str, Path],
    ) -> None:
        """Write one notebook's results, the record last: where it is, the rest is.

        Raises:
            DeliveryError: The results folder cannot be written.
        """
        base = f"{self.context.prefix}/{record.notebook}"
        store = self.context.store
        for name, path in kept.items():
            store.put(f"{base.removesuffix('.ipynb')}.files/{name}", path)
        if content is not None:
            text = records.dump_json(content)
            # A lone surrogate is no UTF-8, but its escape is valid JSON.
            store.put(base, text.encode("utf-8", "backslashreplace"))
        record = self._write_page(f"{base}.html", content or {}, record)
        store.put(f"{base}.json", record.to_json().encode("utf-8", "backslashreplace"))

    def _write_page(self, key: str, content: Mapping[str, Any], record: Record) -> Record:
        """Write the page; where it cannot be drawn the record says so, the verdict stays."""
        from pytest_nbci.pages import render_page

        try:
            page = render_page(content, record)
        except Exception as error:  # noqa: BLE001 - half a dozen libraries draw what users made
            said = f"The page could not be drawn: {type(error).__name__}: {error}"
            return dataclasses.replace(record, warnings=(*record.warnings, said))
        self.context.store.put(key, page.encode("utf-8", "xmlcharrefreplace"))
        return record


def read_selected(folder: Path) -> list[str]:
    """What the worker with this folder announced."""
    data = (folder / _SELECTED).read_bytes()
    return [os.fsdecode(path) for path in data.split(b"\0") if path]


def new_session_name(repository: Repository) -> tuple[str, str]:
    """A session's name and its start (UTC, ISO 8601)."""
    now = datetime.now(UTC)
    started = now.isoformat(timespec="milliseconds")
    return records.new_session_name(now, repository.head), started


def state_folder(root: Path, environment: Mapping[str, str]) -> Path:
    """Where all that this project writes lies: ``NBCI_DIR``, else ``.nbci`` in the root."""
    named = environment.get("NBCI_DIR")
    return Path(named).absolute() if named else root / STATE_FOLDER


def make_state_folder(root: Path, environment: Mapping[str, str]) -> tuple[Path, str]:
    """The folder for all that this project writes, and a note where it is not the usual one.

    Where ``state_folder`` cannot be written it is a new temporary one.
    """
    wanted = state_folder(root, environment)
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        if wanted == root / STATE_FOLDER:
            _ignore_all(wanted)
        with tempfile.TemporaryFile(dir=wanted):
            return wanted, ""
    except OSError as error:
        folder = Path(tempfile.mkdtemp(prefix="nbci-results-"))
        said = error.strerror or str(error)
        return folder, f"{wanted} cannot be written ({said}): the results are in {folder}"


def _ignore_all(folder: Path) -> None:
    """A .gitignore of its own keeps the folder out of the user's git status."""
    path = folder / ".gitignore"
    if not path.exists():
        path.write_text("*\n", encoding="utf-8")


def _lock_sha256(repository: Repository) -> str | None:
    digest = hashlib.sha256()
    found = sorted(entry.path for entry in repository.index if matches(entry.path, _LOCK_FILES))
    for path in found:
        try:
            content = (repository.top / path).read_bytes()
        except OSError:
            continue
        digest.update(os.fsencode(path) + b"\0" + hashlib.sha256(content).digest())
    return digest.hexdigest() if found else None
