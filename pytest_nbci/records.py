"""Records: the JSON that every view, list and delivery is rebuilt from.

Two kinds, as laid out in docs/results.md: one record per notebook and session
(``<notebook>.ipynb.json``) and one per session (``_session.json``). Fields are only ever
added; a reader keeps the ones it does not know and refuses a newer major ``schema``.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Self, get_args

from pytest_nbci.errors import NbciError

SCHEMA = "1.0"

Outcome = Literal["passed", "failed", "error", "lost", "skipped"]
CellStatus = Literal["passed", "failed", "skipped", "blank", "not run"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

# Every cause of a failure or error, and what it means to a reader.
CAUSES: Mapping[str, str] = {
    "cell_error": "A cell raised an exception.",
    "missing_data": "A cell reads a file that is neither in git nor among the test data.",
    "missing_module": "A cell imports a package or module that is not there.",
    "hidden_order": "A cell uses a name that no cell above it defines.",
    "changed_library": "A cell uses what the installed version of a library does not have.",
    "service_unavailable": "A cell needs a server that did not answer.",
    "exit": "exit() or sys.exit() ended the notebook before its last cell, or with an error code.",
    "kernel_died": "The kernel's process ended while a cell ran.",
    "out_of_memory": "The system killed the kernel because memory ran out.",
    "timeout": "The notebook was not done within its timeout.",
    "cell_timeout": "A cell was not done within cell_timeout.",
    "not_run": "The kernel left out a cell that no tag excuses.",
    "did_not_raise": "A cell tagged raises-exception raised nothing.",
    "bad_notebook": "The file is no readable notebook, or its own settings are wrong.",
    "checkout_error": "The private checkout could not be made.",
    "test_data_error": "The test data, or a fixture, failed.",
    "unknown_parameter": "A parameter that the notebook lacks, or that its language cannot take.",
    "kernel_start": "No kernel for the notebook, or it did not start.",
    "needs_failed": "A notebook that this one needs did not pass.",
    "lost": "pytest or its worker ended, or the disk was full, before the result was written.",
}

_SESSION_NAME = re.compile(r"(\d{4})(\d\d)(\d\d)T\d{6}Z-[0-9a-f]{1,8}-[0-9a-f]{6}")


@dataclass(frozen=True)
class Commit:
    """The author's commit (not GitLab's merge commit), as git knows it.

    ``repository`` is the URL of the remote ``origin``, without what it holds of credentials.
    """

    id: str
    author: str
    email: str
    message: str
    branch: str | None
    time: str
    repository: str | None = None


@dataclass(frozen=True)
class Frame:
    """One stack frame in the notebook's or the repository's own code.

    ``file`` is ``cell N`` for a cell, else a path relative to the checkout.
    """

    file: str
    line: int
    function: str
    source: str


@dataclass(frozen=True)
class Failure:
    """The exception a cell ended with: its class name, text and the own frames, outermost first."""

    name: str
    value: str
    frames: tuple[Frame, ...] = ()


@dataclass(frozen=True)
class Cell:
    """What one code cell came to; ``number`` is None for the injected parameters cell."""

    id: str
    number: int | None
    execution_count: int | None
    duration_s: float | None
    status: CellStatus


@dataclass(frozen=True)
class FailedCell:
    """The cell that a verdict points at."""

    id: str
    number: int | None
    first_line: str


@dataclass(frozen=True)
class Record:
    """What one notebook came to in one session.

    Times are UTC in ISO 8601, durations in seconds, sizes in bytes. ``cause`` is null exactly
    when ``outcome`` is passed or skipped; docs/verdicts.md lists the causes. All is of the last of
    ``attempts``; ``earlier`` says what those before came to.
    """

    session: str
    project: str
    notebook: str
    outcome: Outcome
    cause: str | None = None
    message: str = ""
    cure: str = ""
    error: Failure | None = None
    stderr_tail: str = ""
    stack: str = ""
    skip_reason: str | None = None
    started_at: str = ""
    duration_s: float = 0.0
    cells: tuple[Cell, ...] = ()
    failed_cell: FailedCell | None = None
    commit: Commit | None = None
    tested_commit: str | None = None
    dirty: bool = False
    job: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    profile: str = "test"
    fingerprint: str | None = None
    due: str = ""
    inputs: tuple[Mapping[str, Any], ...] = ()
    listed: tuple[str, ...] = ()
    depends_on: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    peak_memory_bytes: int | None = None
    source_sha256: str = ""
    attempts: int = 1
    flaky: bool = False
    earlier: tuple[Summary, ...] = ()
    reproduce: str = ""
    warnings: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    schema: str = SCHEMA
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read a record back.

        Raises:
            NbciError: The text is no record, or of a newer major schema.
        """
        data = _read(text, "record")
        return cls(**_known(cls, data))

    def to_json(self) -> str:
        """The record as valid JSON (NaN and infinities become strings)."""
        return dump_json(_with_extra(self))


@dataclass(frozen=True)
class Planned:
    """One notebook of the plan: whether it is due, why, and whose earlier result stands for it."""

    notebook: str
    due: bool
    why: str = ""
    reused_from: str | None = None


@dataclass(frozen=True)
class Summary:
    """The part of a record that a list needs."""

    notebook: str
    outcome: Outcome
    cause: str | None
    message: str
    duration_s: float
    attempts: int = 1
    flaky: bool = False


@dataclass(frozen=True)
class Session:
    """One pytest run: written with ``complete`` false first, replaced at its end."""

    session: str
    project: str
    complete: bool = False
    exit_status: int | None = None
    started_at: str = ""
    ended_at: str | None = None
    host: Mapping[str, Any] = field(default_factory=dict)
    pipeline: str | None = None
    shard: str = "1/1"
    commit: Commit | None = None
    profile: str = "test"
    plan: tuple[Planned, ...] = ()
    results: tuple[Summary, ...] = ()
    schema: str = SCHEMA
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read a session back.

        Raises:
            NbciError: The text is no session, or of a newer major schema.
        """
        data = _read(text, "session")
        return cls(**_known(cls, data))

    def to_json(self) -> str:
        """The session as valid JSON."""
        return dump_json(_with_extra(self))


def summary_of(record: Record) -> Summary:
    """The line that a list shows of ``record``."""
    return Summary(
        notebook=record.notebook,
        outcome=record.outcome,
        cause=record.cause,
        message=record.message,
        duration_s=record.duration_s,
        attempts=record.attempts,
        flaky=record.flaky,
    )


def lost_record(
    session: Session, notebook: str, why: str = "the session was killed before it was done"
) -> Record:
    """The record of a notebook that was planned, and left no result when the session ended."""
    return Record(
        session=session.session,
        project=session.project,
        notebook=notebook,
        outcome="lost",
        cause="lost",
        message=f"{notebook}: {why}.",
        cure="Run it again.",
        started_at=session.started_at,
        commit=session.commit,
        profile=session.profile,
    )


def new_session_name(started: datetime, commit_id: str | None) -> str:
    """``<YYYYMMDDTHHMMSSZ>-<commit8>-<6 random hex>``; zeros stand for "no commit yet"."""
    stamp = started.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{stamp}-{(commit_id or '0' * 8)[:8]}-{secrets.token_hex(3)}"


def session_prefix(project: str, session: str) -> str:
    """``<project>/<YYYY-MM-DD>/<session>``: where all results of a session lie.

    Raises:
        NbciError: ``session`` is not a session's name.
    """
    match = _SESSION_NAME.fullmatch(session)
    if match is None:
        raise NbciError(f"{session!r} is not the name of a session.")
    year, month, day = match.groups()
    return f"{project}/{year}-{month}-{day}/{session}"


def utc_now() -> str:
    """The present time, UTC, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def dump_json(value: object) -> str:
    """Valid JSON (RFC 8259) of ``value``: NaN and infinities as strings, other objects as text."""
    try:
        return json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    except (ValueError, TypeError):
        return json.dumps(_plain(value), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _plain(value: object) -> object:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return str(value)


def _read(text: str | bytes, kind: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
        major = int(str(data["schema"]).split(".")[0])
    except (ValueError, KeyError, TypeError) as error:
        raise NbciError(f"This is not a {kind} of pytest-nbci: {error}.") from error
    if major > int(SCHEMA.split(".", maxsplit=1)[0]):
        raise NbciError(
            f"This {kind} has schema {data['schema']}, newer than {SCHEMA}, which is known here.",
            "Update pytest-nbci.",
        )
    return dict(data)


def _with_extra(value: Record | Session) -> dict[str, Any]:
    data = dataclasses.asdict(value)
    extra = data.pop("extra")
    return {"schema": data.pop("schema"), **data, **extra}


def _known(cls: type[Record | Session], data: dict[str, Any]) -> dict[str, Any]:
    names = {item.name for item in dataclasses.fields(cls)} - {"extra"}
    known = {name: value for name, value in data.items() if name in names}
    nested: dict[str, Any] = {"commit": Commit, "error": Failure, "failed_cell": FailedCell}
    lists: dict[str, Any] = {"cells": Cell, "plan": Planned, "results": Summary, "earlier": Summary}
    for name, value in known.items():
        if name in nested and value is not None:
            known[name] = _build(nested[name], value)
        elif name in lists:
            known[name] = tuple(_build(lists[name], item) for item in value)
        elif isinstance(value, list):
            known[name] = tuple(value)
    if known.get("error") is not None:
        frames = tuple(_build(Frame, frame) for frame in known["error"].frames)
        known["error"] = dataclasses.replace(known["error"], frames=frames)
    known["extra"] = {name: value for name, value in data.items() if name not in names}
    return known


def _build(cls: Any, data: Mapping[str, Any]) -> Any:
    names = {item.name for item in dataclasses.fields(cls)}
    return cls(**{name: value for name, value in data.items() if name in names})
