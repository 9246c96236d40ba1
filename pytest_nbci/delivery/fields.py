"""A record in MLflow's words: the tags, params, metrics, note and status of its run.

MLflow's own tag names: https://mlflow.org/docs/latest/ml/tracking/tracking-api/#system-tags.
Everything of ours starts with ``nbci.``; docs/mlflow.md lists it.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pytest_nbci.delivery.destination import result_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_nbci.records import Record

RESULT = "nbci.result"
ATTEMPT = "nbci.attempt"  # of a notebook's own run; without it the first
ROLE = "nbci.role"
ROLE_NOTEBOOK = "notebook"
PARENT = "mlflow.parentRunId"

# Of the files that a notebook read; a list of runs brings them all.
MOST_INPUTS = 100

# MLflow 3.17, mlflow/utils/validation.py: MAX_TAG_VAL_LENGTH is 8000, but servers before 2.15
# take 5000; MAX_PARAM_VAL_LENGTH 6000; MAX_ENTITY_KEY_LENGTH 250.
_TAG_LENGTH = 5000
_PARAM_LENGTH = 6000
_KEY_LENGTH = 250
# Characters of a param's name: same file, _VALID_PARAM_AND_METRIC_NAMES; a slash would have to
# make a path, a colon is refused on Windows.
_NOT_IN_A_NAME = re.compile(r"[^\w. -]")
# What Markdown would take for a mark.
_MARKS = re.compile(r"([\\`*_\[\]<>#~|&$])")
_KILLED = frozenset({"timeout", "cell_timeout", "kernel_died", "out_of_memory"})


@dataclass(frozen=True)
class Fields:
    """What is logged of one record.

    Attributes:
        name: The run's name.
        start_ms: Unix time in milliseconds.
        end_ms: Unix time in milliseconds.
        status: FINISHED, FAILED or KILLED.
        child_status: For the notebook's own runs that its last attempt left open.
        tags: MLflow's own and ours.
        params: All of them ours.
        metrics: All of them ours.
    """

    name: str
    start_ms: int
    end_ms: int
    status: str
    child_status: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]

    def status_of_open(self, tags: Mapping[str, str]) -> str:
        """The status for a run with these tags that the notebook left open."""
        is_of_the_last = tags.get(ATTEMPT, "1") == f"{self.metrics['nbci.attempts']:g}"
        return self.child_status if is_of_the_last else "FAILED"


def fields_of(record: Record, result_path: str, links: Mapping[str, str]) -> Fields:
    """Everything that MLflow is told about ``record``.

    Args:
        record: What a notebook came to.
        result_path: Where its executed notebook lies: ``s3://…`` or a file.
        links: Title to URL, for the note: the page, the job.
    """
    start_ms = _milliseconds(record.started_at)
    return Fields(
        name=_run_name(record.notebook),
        start_ms=start_ms,
        end_ms=start_ms + round(record.duration_s * 1000),
        status=status_of(record),
        child_status=_child_status(record),
        tags={key: _cut(value, _TAG_LENGTH) for key, value in _tags(record, result_path, links)},
        params={key: _cut(value, _PARAM_LENGTH) for key, value in _params(record)},
        metrics=dict(_metrics(record)),
    )


def status_of(record: Record) -> str:
    """MLflow's word for the outcome."""
    return {"passed": "FINISHED", "lost": "KILLED"}.get(record.outcome, "FAILED")


def note(record: Record, result_path: str, links: Mapping[str, str]) -> str:
    """The run's description, in Markdown: what happened, where to look, how to do it again."""
    said = f": {_plain(record.message)}" if record.message else ""
    parts = [f"**{record.outcome}**{said}"]
    if record.cure:
        parts.append(_plain(record.cure))
    if links:
        parts.append(" · ".join(f"[{title}](<{url}>)" for title, url in links.items()))
    if record.reproduce:
        parts.append(f"Run it again:\n\n{_code(record.reproduce)}")
    parts.append(f"Executed notebook: {_inline_code(result_path)}")
    if record.commit is not None:
        first_line = record.commit.message.strip().partition("\n")[0]
        said = f"{record.commit.id[:8]}: {first_line} ({record.commit.author})"
        parts.append(f"Commit {_plain(said)}")
    return "\n\n".join(parts)


def _plain(text: str) -> str:
    """One paragraph of Markdown that shows ``text`` as it is."""
    return _MARKS.sub(r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def _inline_code(text: str) -> str:
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{text}{fence}" if fence == "`" else f"{fence} {text} {fence}"


def _tags(record: Record, result_path: str, links: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    commit = record.commit
    known: dict[str, object] = {
        "mlflow.user": commit and commit.author,
        "mlflow.source.name": record.notebook,
        "mlflow.source.type": "NOTEBOOK",
        "mlflow.source.git.commit": commit and commit.id,
        "mlflow.source.git.branch": commit and commit.branch,
        "mlflow.source.git.repoURL": commit and commit.repository,
        "mlflow.source.git.dirty": "true" if record.dirty else None,
        "mlflow.note.content": note(record, result_path, links),
        RESULT: result_id(record.session, record.notebook),
        ROLE: ROLE_NOTEBOOK,
        "nbci.session": record.session,
        "nbci.project": record.project,
        "nbci.notebook": record.notebook,
        "nbci.outcome": record.outcome,
        "nbci.cause": record.cause,
        "nbci.message": record.message,
        "nbci.cure": record.cure,
        "nbci.commit": commit and commit.id,
        "nbci.commit_author": commit and commit.author,
        "nbci.commit_email": commit and commit.email,
        "nbci.commit_message": commit and commit.message,
        "nbci.commit_time": commit and commit.time,
        "nbci.branch": commit and commit.branch,
        "nbci.tested_commit": record.tested_commit,
        "nbci.dirty": "true" if record.dirty else None,
        "nbci.started_at": record.started_at,
        "nbci.duration": f"{record.duration_s:.3f} s",
        "nbci.profile": record.profile,
        "nbci.due": record.due,
        "nbci.flaky": "true" if record.flaky else None,
        "nbci.fingerprint": record.fingerprint,
        "nbci.inputs": _cut_inputs(record),
        "nbci.result_path": result_path,
        "nbci.reproduce": record.reproduce,
        "nbci.job_url": record.job.get("url"),
        "nbci.pipeline": record.job.get("pipeline"),
    }
    return [(key, str(value)) for key, value in known.items() if value not in {None, ""}]


def _cut_inputs(record: Record) -> str | None:
    count = len(record.inputs)
    return f"{count} files, {MOST_INPUTS} of them as datasets" if count > MOST_INPUTS else None


def _params(record: Record) -> Iterable[tuple[str, str]]:
    environment = record.environment
    known: dict[str, object] = {
        "nbci.notebook": record.notebook,
        "nbci.profile": record.profile,
        "nbci.kernel": environment.get("kernel"),
        "nbci.python": environment.get("python"),
        "nbci.platform": environment.get("platform"),
        "nbci.lock_sha256": environment.get("lock_sha256"),
        "nbci.image": environment.get("image"),
    }
    yield from ((key, _text(value)) for key, value in known.items() if value not in {None, ""})
    for name, value in record.parameters.items():
        yield _param_name(f"nbci.param.{name}"), _text(value)


def _metrics(record: Record) -> Iterable[tuple[str, float]]:
    yield "nbci.duration_s", record.duration_s
    yield "nbci.cells", len([cell for cell in record.cells if cell.number is not None])
    yield "nbci.attempts", record.attempts
    if record.peak_memory_bytes is not None:
        yield "nbci.peak_memory_bytes", record.peak_memory_bytes


def _child_status(record: Record) -> str:
    if record.outcome == "lost" or record.cause in _KILLED:
        return "KILLED"
    return status_of(record)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return str(value)


def _cut(text: str, limit: int) -> str:
    """``text`` as every database takes it, and not longer than ``limit`` characters."""
    plain = text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    if len(plain) <= limit:
        return plain
    told = f"… [cut by pytest-nbci: {len(plain)} characters, MLflow takes {limit}]"
    return plain[: limit - len(told)] + told


def _run_name(notebook: str) -> str:
    """The notebook's path; of a long one the end, with its name. The tags have all of it."""
    name = _cut(notebook, _TAG_LENGTH)
    return name if len(name) <= _KEY_LENGTH else f"…{name[1 - _KEY_LENGTH :]}"


def _param_name(name: str) -> str:
    """``name`` as MLflow takes it; a cut one says so, and differs where the whole did."""
    plain = _NOT_IN_A_NAME.sub("_", name)
    if len(plain) <= _KEY_LENGTH:
        return plain
    told = f" - cut {hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return plain[: _KEY_LENGTH - len(told)] + told


def _milliseconds(moment: str) -> int:
    try:
        then = datetime.fromisoformat(moment)
    except ValueError:
        return 0
    return round((then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp() * 1000)
