"""A record in MLflow's words: the tags, params, metrics, note and status of its run.

MLflow's own tag names: https://mlflow.org/docs/latest/ml/tracking/tracking-api/#system-tags.
Everything of ours starts with ``nbci.``; docs/mlflow.md lists it.
"""

from __future__ import annotations

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
ROLE = "nbci.role"
ROLE_NOTEBOOK = "notebook"

# MLflow 3.17, mlflow/utils/validation.py: MAX_TAG_VAL_LENGTH is 8000, but servers before 2.15
# take 5000; MAX_PARAM_VAL_LENGTH 6000; MAX_ENTITY_KEY_LENGTH 250.
_TAG_LENGTH = 5000
_PARAM_LENGTH = 6000
_KEY_LENGTH = 250
# Characters of a param's name: same file, _VALID_PARAM_AND_METRIC_NAMES.
_NOT_IN_A_NAME = re.compile(r"[^\w. :/-]")
_KILLED = frozenset({"timeout", "cell_timeout", "kernel_died", "out_of_memory"})


@dataclass(frozen=True)
class Fields:
    """What is logged of one record.

    Attributes:
        name: The run's name.
        start_ms: Unix time in milliseconds.
        end_ms: Unix time in milliseconds.
        status: FINISHED, FAILED or KILLED.
        child_status: For the notebook's own runs that it left open.
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


def fields_of(record: Record, result_path: str, links: Mapping[str, str]) -> Fields:
    """Everything that MLflow is told about ``record``.

    Args:
        record: What a notebook came to.
        result_path: Where its executed notebook lies: ``s3://…`` or a file.
        links: Title to URL, for the note.
    """
    start_ms = _milliseconds(record.started_at)
    return Fields(
        name=_cut(record.notebook, _KEY_LENGTH),
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
    parts = [f"**{record.outcome}**" + (f": {record.message}" if record.message else "")]
    if record.cure:
        parts.append(record.cure)
    if record.failed_cell is not None:
        number = record.failed_cell.number
        name = "the parameters cell" if number is None else f"cell {number}"
        parts.append(f"In {name}:\n\n    {record.failed_cell.first_line}")
    lines = [f"- {title}: [{url}]({url})" for title, url in links.items()]
    lines.append(f"- executed notebook: `{result_path}`")
    parts.append("\n".join(lines))
    if record.reproduce:
        parts.append(f"Again, here:\n\n    {record.reproduce}")
    return "\n\n".join(parts)


def _tags(record: Record, result_path: str, links: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    commit = record.commit
    known: dict[str, object] = {
        "mlflow.user": commit and commit.author,
        "mlflow.source.name": record.notebook,
        "mlflow.source.type": "NOTEBOOK",
        "mlflow.source.git.commit": commit and commit.id,
        "mlflow.source.git.branch": commit and commit.branch,
        "mlflow.source.git.repoURL": record.job.get("repository"),
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
        "nbci.result_path": result_path,
        "nbci.reproduce": record.reproduce,
        "nbci.job_url": record.job.get("url"),
        "nbci.pipeline": record.job.get("pipeline"),
    }
    return [(key, str(value)) for key, value in known.items() if value not in {None, ""}]


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
        key = f"nbci.param.{_NOT_IN_A_NAME.sub('_', str(name))}"
        yield key[:_KEY_LENGTH], _text(value)


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


def _milliseconds(moment: str) -> int:
    try:
        then = datetime.fromisoformat(moment)
    except ValueError:
        return 0
    return round((then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp() * 1000)
