"""What a record says, in words and in the order a reader asks for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from markupsafe import Markup, escape

from pytest_nbci.pages import ansi
from pytest_nbci.pages.text import as_json, block, one_line, straight, text_of

if TYPE_CHECKING:
    from pytest_nbci.records import Commit, Record

WORDS = {
    "passed": "Passed",
    "failed": "Failed",
    "error": "Error",
    "lost": "Lost",
    "skipped": "Skipped",
}
_MINUTE, _HOUR = 60, 3600
_STEP = 1024


@dataclass(frozen=True)
class Fact:
    """A name with its value; ``detail`` is said less loudly, ``href`` is a checked http link."""

    name: str
    value: str
    detail: str = ""
    href: str = ""


@dataclass(frozen=True)
class Earlier:
    """An attempt that another one followed; ``href`` is its page, beside this one."""

    name: str
    outcome: str
    time: str
    sentence: str
    href: str


def word(outcome: str) -> str:
    """The outcome as a heading says it."""
    return WORDS.get(outcome, one_line(outcome, 20))


def said(text: object, limit: int = 4000) -> str:
    """A sentence of the record, without the colours of a terminal."""
    return block(ansi.strip(text_of(text)), limit)


def sentence(message: object, notebook: str, limit: int = 4000) -> str:
    """What happened; the notebook's path in front goes, since a page and a list say it above."""
    text = said(message, limit)
    for separator in (", ", ": "):
        if text.startswith(notebook + separator):
            text = text.removeprefix(notebook + separator)
            return text[:1].upper() + text[1:]
    return text


def duration(seconds: float) -> str:
    """A duration as people say it: 12 ms, 3.4 s, 2 min 05 s, 1 h 02 min."""
    if not 0 <= seconds < 10**9:  # also NaN
        return "?"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _HOUR:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(count: float) -> str:
    """A number of bytes as people say it."""
    for unit in ("B", "KB", "MB"):
        if count < _STEP:
            return f"{count:.0f} {unit}"
        count /= _STEP
    return f"{count:.1f} GB"


def moment(text: str) -> str:
    """A time of the record (ISO 8601) to the second, in UTC."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return one_line(text, 60)
    if time.tzinfo is not None:
        time = time.astimezone(UTC)
    return time.strftime("%Y-%m-%d %H:%M:%S UTC")


def facts(record: Record) -> list[Fact]:
    """Where the result comes from, without what is long."""
    found = [Fact("Project", one_line(record.project, 200))]
    if record.commit is not None:
        found += commit_facts(record.commit)
        if record.tested_commit and record.tested_commit != record.commit.id:
            found.append(Fact("Tested as", one_line(record.tested_commit, 80)[:8]))
    if record.dirty:
        found.append(Fact("Working tree", "with changes that are not committed"))
    if record.started_at:
        found.append(Fact("Run at", moment(record.started_at)))
    memory = f"peak memory {size(record.peak_memory_bytes)}" if record.peak_memory_bytes else ""
    found.append(Fact("Took", duration(record.duration_s), memory))
    found.append(Fact("Test data", one_line(record.profile, 80)))
    if record.attempts > 1:
        note = "passed only after a retry" if record.flaky else ""
        found.append(Fact("Attempts", str(record.attempts), note))
    if record.due:
        found.append(Fact("Ran because", one_line(record.due)))
    for key, value in record.job.items() if isinstance(record.job, Mapping) else ():
        if key == "url":
            continue
        href = web_link(record.job.get("url")) if key == "job" else ""
        if value not in (None, ""):
            found.append(Fact(one_line(key, 40).capitalize(), one_line(value, 120), href=href))
    return found


def commit_facts(commit: Commit) -> list[Fact]:
    """A commit: short name, first line of its message, author, branch."""
    message = str(commit.message).strip().split("\n", 1)[0]
    found = [
        Fact("Commit", one_line(commit.id, 80)[:8], one_line(message, 200)),
        Fact("Author", one_line(commit.author, 120)),
    ]
    if commit.branch:
        found.append(Fact("Branch", one_line(commit.branch, 200)))
    return found


def table(values: object) -> list[tuple[str, str]]:
    """The pairs of a mapping as text, for parameters and the environment."""
    if not isinstance(values, Mapping):
        return []
    pairs = []
    for key, value in values.items():
        if value is None:
            continue
        text = value if isinstance(value, str) else as_json(value)
        pairs.append((one_line(str(key), 200), block(text, 4000)))
    return pairs


def inputs(record: Record) -> list[tuple[str, str]]:
    """The files that the notebook read, with their size and where they came from."""
    rows = []
    for item in record.inputs:
        if isinstance(item, Mapping):
            count = item.get("bytes")
            length = size(count) if isinstance(count, int | float) else ""
            origin = one_line(item.get("origin"), 40)
            rows.append((one_line(item.get("path")), ", ".join(filter(None, (length, origin)))))
    return rows


def kept_files(record: Record) -> list[tuple[str, str]]:
    """The kept files, with links to where they lie next to the page."""
    folder = record.notebook.rpartition("/")[2].removesuffix(".ipynb")
    return [
        (one_line(name), quote(straight(f"{folder}.files/{name}")))
        for name in record.kept
        if isinstance(name, str) and ".." not in name.split("/")
    ]


def earlier(record: Record) -> list[Earlier]:
    """The attempts before the last, with links to their pages."""
    folder = record.notebook.rpartition("/")[2].removesuffix(".ipynb")
    return [
        Earlier(
            f"Attempt {number}",
            one.outcome if one.outcome in WORDS else "error",
            duration(one.duration_s),
            sentence(one.message, record.notebook),
            quote(straight(f"{folder}.files/attempt-{number}.html")),
        )
        for number, one in enumerate(record.earlier, 1)
    ]


def breakable(path: str) -> Markup:
    """A path that may be broken after a slash or an underscore."""
    return Markup(re.sub(r"([/_])", r"\1<wbr>", str(escape(path))))  # noqa: S704 - escaped


def web_link(target: object) -> str:
    """``target`` if it is an http or https address, else nothing."""
    if not isinstance(target, str):
        return ""
    try:
        scheme = urlsplit(target).scheme
    except ValueError:
        return ""
    return straight(target) if scheme in {"http", "https"} else ""
