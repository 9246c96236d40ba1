"""How a failed notebook reads at the terminal and in JUnit."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from _pytest._code.code import (
    ReprEntryNative,
    ReprExceptionInfo,
    ReprFileLocation,
    ReprTraceback,
)

from pytest_nbci.execution.text import plain_text
from pytest_nbci.execution.verdict import Verdict

if TYPE_CHECKING:
    from pytest_nbci.collection import NotebookItem
    from pytest_nbci.records import Record, Summary

_SOURCE_LINES = 12
_STACK_LINES = 12
_LINE_CHARACTERS = 1_000
# https://docs.pytest.org/en/stable/reference/reference.html (expressions of -k)
_KEYWORD = re.compile(r"[\w:+.\-\[\]]+")
_OPERATORS = ("and", "or", "not")


class NotebookFailure(Exception):  # noqa: N818 - it is reported, not handled
    """The notebook ran and did not pass; the verdict says why."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.message)
        self.verdict = verdict


def reproduce_line(item: NotebookItem) -> str:
    """The command that runs this notebook alone, from the folder pytest was started in."""
    config = item.config
    flag = "--nbci " if config.getoption("nbci") else ""
    try:
        path = str(item.path.relative_to(config.invocation_params.dir))
    except ValueError:
        path = str(item.path)
    if "[" in path or "::" in path:
        # pytest reads both in an argument as its own; -k matches the file's name by its words.
        words = [word for word in _KEYWORD.findall(item.path.name) if word not in _OPERATORS]
        return f"pytest {flag}-k {shlex.quote(' and '.join(words))}"
    if path.startswith("-"):
        path = f"./{path}"
    return f"pytest {flag}{shlex.quote(path)}"


def told_attempts(record: Record) -> list[str]:
    """What came of the attempts before the last, for JUnit; nothing where there was one."""
    if not record.earlier:
        return []
    head = f"{record.notebook}: {record.outcome} on attempt {record.attempts}"
    return [f"{head}, flaky" if record.flaky else head, *_told(record.earlier, record.message)]


def _told(earlier: Sequence[Summary], message: str) -> list[str]:
    """A line for each of ``earlier``; one that ended with ``message`` too does not repeat it."""
    lines = []
    for number, one in enumerate(earlier, 1):
        said = f"{one.outcome}, with the same message" if one.message == message else one.message
        lines.append(f"attempt {number} ({one.duration_s:.1f} s): {plain_text(said)}")
    return lines


def terminal_repr(
    item: NotebookItem,
    verdict: Verdict,
    content: Mapping[str, Any] | None,
    earlier: Sequence[Summary],
) -> ReprExceptionInfo:
    """A short section: the sentence, the cell with the failing line marked, error, cure, page."""
    lines = [verdict.message, ""]
    if verdict.failed_cell is not None and content is not None:
        lines += [*_source(verdict, content), ""]
    if verdict.error is not None and not verdict.stack:  # which the sentence told already
        lines += [
            f"{verdict.error.name}: {line}" if number == 0 else line
            for number, line in enumerate((verdict.error.value or "").splitlines()[:8] or [""])
        ]
    if verdict.stderr_tail:
        lines += ["last lines of the kernel's stderr:"]
        lines += [f"  {plain_text(line)}" for line in verdict.stderr_tail.splitlines()[-8:]]
    lines += verdict.stack.splitlines()[:_STACK_LINES]
    lines += _told(earlier, verdict.message)
    if verdict.cure:
        lines.append(f"cure: {verdict.cure}")
    if content is not None:
        lines.append(f"page: {item.page_place}")
    lines.append(f"reproduce: {reproduce_line(item)}")
    entry = ReprEntryNative([f"{_short(line)}\n" for line in lines])
    crash = ReprFileLocation(str(item.path), 1, verdict.message)
    return ReprExceptionInfo(ReprTraceback([entry], None, "native"), crash)


def lost_repr(name: str, record: Record | None, worker: str) -> ReprExceptionInfo:
    """A section for a notebook whose xdist worker ended; ``record`` is None if it was written."""
    message = f"{name}: the xdist worker {worker} ended just after the result was written."
    cure = "Its end was not the notebook's, so look what else ran in that worker."
    if record is not None:
        message = f"{name} is lost: the xdist worker {worker} ended while it ran."
        cure = "Run it again; with fewer workers (-n) if memory ran out."
    entry = ReprEntryNative([f"{message}\n", "\n", f"cure: {cure}\n"])
    crash = ReprFileLocation(name, 1, message)
    return ReprExceptionInfo(ReprTraceback([entry], None, "native"), crash)


def _short(line: str) -> str:
    """A line that does not flood the terminal; the record and the page have it whole."""
    if len(line) <= _LINE_CHARACTERS:
        return line
    return f"{line[:_LINE_CHARACTERS]}… ({len(line):,} characters)"


def _source(verdict: Verdict, content: Mapping[str, Any]) -> list[str]:
    """The failed cell around its failing line, numbered."""
    place = verdict.failed_cell
    assert place is not None  # noqa: S101 - the caller looked
    cell = next((cell for cell in content["cells"] if cell.get("id") == place.id), None)
    if cell is None:
        return []
    source = plain_text(cell["source"]).splitlines()
    failing = 0
    if verdict.error is not None and place.number is not None:
        own = [frame.line for frame in verdict.error.frames if frame.file == f"cell {place.number}"]
        failing = own[0] if own else 0
    first = max(0, min(failing - _SOURCE_LINES // 2, len(source) - _SOURCE_LINES))
    shown = source[first : first + _SOURCE_LINES]
    lines = [
        f"{'>' if number == failing else ' '} {number:3d}  {text}"
        for number, text in enumerate(shown, first + 1)
    ]
    if len(source) > len(shown):
        lines.append(f"       ({len(source)} lines in all)")
    return lines
