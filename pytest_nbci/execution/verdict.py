"""The verdict: what an execution came to, in one sentence with a cure.

No single signal decides: a line magic can give an error reply without an error output, an error
while a figure is drawn an ok reply with an error output, and an exit neither. Name and message
come from the error output where there is one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_nbci.execution.diagnosis import Place, Scene, diagnose
from pytest_nbci.execution.kernel import Exit
from pytest_nbci.execution.stack import Call, stacks, tell
from pytest_nbci.execution.trace import Execution, exit_payload
from pytest_nbci.notebook import Notebook, first_line
from pytest_nbci.records import Cell, FailedCell, Failure, Frame, Outcome

_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
# How IPython writes a frame's place:
# https://github.com/ipython/ipython/blob/main/IPython/core/ultratb.py (_format_filename)
_CELL_PLACE = re.compile(r"^(?:Cell|Input) In\s?\[(\d+)\],? line (\d+)(?:, in (\S+?)\(|)")
_FILE_PLACE = re.compile(r"^(?:File )?(.+?):(\d+), in (\S+?)(?:\(|$)")
_CELL_FILE = re.compile(r"ipykernel_\d+/(\d+)\.py$")
_MARKED_LINE = re.compile(r"^-+> ?\d* ?(.*)$")
_LONGEST = 300


@dataclass(frozen=True)
class Verdict:
    """What a notebook came to; the fields are the record's."""

    outcome: Outcome
    cause: str | None = None
    message: str = ""
    cure: str = ""
    error: Failure | None = None
    failed_cell: FailedCell | None = None
    stderr_tail: str = ""
    stack: str = ""
    cells: tuple[Cell, ...] = ()


def judge(name: str, notebook: Notebook, execution: Execution, ran_in: Place) -> Verdict:
    """The verdict on an execution.

    Args:
        name: The notebook's name, as sentences call it.
        notebook: The notebook as it was read.
        execution: What the engine saw.
        ran_in: Where the notebook ran.
    """
    cells = _cells(notebook, execution)
    if execution.stop is None:
        return Verdict("passed", cells=cells)
    cell = execution.content.cells[execution.stopped_at] if execution.content else {}
    place = FailedCell(
        cell.get("id", ""), notebook.numbers.get(cell.get("id", "")), first_line(cell["source"])
    )
    case = _Case(name, notebook, execution, cell, place, cells, ran_in)
    verdict = _JUDGES[execution.stop](case)
    if verdict.outcome == "passed":
        return replace(verdict, cells=cells)
    cells = tuple(
        replace(item, status="failed") if item.id == place.id and item.status == "passed" else item
        for item in cells
    )
    return replace(verdict, cells=cells, failed_cell=place)


@dataclass(frozen=True)
class _Case:
    name: str
    notebook: Notebook
    execution: Execution
    cell: Mapping[str, Any]
    place: FailedCell
    cells: tuple[Cell, ...]
    ran_in: Place

    @property
    def where(self) -> str:
        """``train.ipynb, cell 3 (df.plot())``."""
        called = "the injected parameters cell"
        if self.place.number is not None:
            called = f"cell {self.place.number}"
        return f"{self.name}, {called} ({one_line(self.line, 60)})"

    @property
    def line(self) -> str:
        """The line that failed where the traceback tells it, else the cell's first."""
        own = f"cell {self.place.number}"
        lines = [frame.line for frame in self.failure.frames if frame.file == own]
        source = self.cell["source"].splitlines()
        known = lines and 0 < lines[0] <= len(source) and source[lines[0] - 1].strip()
        return known or self.place.first_line

    @cached_property
    def failure(self) -> Failure:
        """The exception that the cell ended with, or where it hung, as far as there is one."""
        return _hung_at(self) if self.stacks else _failure(self)

    @cached_property
    def stacks(self) -> list[list[Call]]:
        """The stacks of a kernel that hung."""
        hang = self.execution.hang
        return stacks(hang.dump, _own_names(self)) if hang.dump else []


def _cell_error(case: _Case) -> Verdict:
    failure = case.failure
    inner = failure.frames[-1] if failure.frames else None
    deeper = ""
    if inner is not None and not inner.file.startswith("cell "):
        deeper = f" in {inner.file} line {inner.line}"
    value = one_line(failure.value, _LONGEST).rstrip(".")
    said = f"{failure.name}: {value}" if value else failure.name
    found = diagnose(
        Scene(
            notebook=case.notebook,
            failure=failure,
            cell_id=case.place.id,
            place=case.ran_in,
            owner=case.execution.owner,
            traceback="\n".join(_traceback(case)),
        )
    )
    return Verdict(
        "failed",
        found.cause,
        f"{case.where}: {said}{deeper}{found.addition}.",
        found.cure,
        error=failure,
    )


def _exit(case: _Case) -> Verdict:
    code = _exit_code(case)
    missed = [cell for cell in case.cells if cell.status == "not run"]
    if not missed and code in ("", "0", "None", "False"):
        return Verdict("passed")
    what = "exit()" if code == "" else f"sys.exit({code})"
    if not missed:
        return Verdict(
            "failed",
            "exit",
            f"{case.where}: {what} ended the notebook with a non-zero code.",
            "Raise an exception that says what is wrong, or remove the exit.",
        )
    numbers = [str(cell.number) for cell in missed if cell.number is not None]
    span = f"cell {numbers[0]}" if len(numbers) == 1 else f"cells {numbers[0]} to {numbers[-1]}"
    return Verdict(
        "failed",
        "exit",
        f"{case.where}: {what} ended the notebook, so {span} never ran.",
        "Remove the exit, or tag the cells after it skip-execution.",
    )


def _kernel_died(case: _Case) -> Verdict:
    exit_ = case.execution.exit
    reason = exit_.reason if exit_ else "ended"
    tail = exit_.stderr_tail if exit_ else ""
    peak = _peak(exit_)
    if exit_ is not None and exit_.is_out_of_memory:
        return Verdict(
            "failed",
            "out_of_memory",
            f"{case.where}: the system killed the kernel because memory ran out{peak}.",
            "Make it work on less test data, free what is no longer needed, or give the job more "
            "memory.",
            stderr_tail=tail,
        )
    return Verdict(
        "failed",
        "kernel_died",
        f"{case.where}: the kernel {reason}{peak}.",
        "A native library crashed, or the cell ended its own process: run that cell alone, update "
        "or pin the library.",
        stderr_tail=tail,
    )


def _peak(exit_: Exit | None) -> str:
    """``; its memory reached 1,200 MB`` where that is known."""
    if exit_ is None or not exit_.peak_memory_bytes:
        return ""
    return f"; its memory reached {exit_.peak_memory_bytes / 1e6:,.0f} MB"


def _timeout(case: _Case) -> Verdict:
    return Verdict(
        "failed",
        "timeout",
        f"{case.where}: the notebook was not done after {case.execution.limit_s:g} s, "
        f"its timeout; this cell was running{_hung(case)}.",
        "Make it work on less test data, or raise timeout in the notebook's metadata (nbci).",
        error=case.failure if case.stacks else None,
        stack=tell(case.stacks),
    )


def _cell_timeout(case: _Case) -> Verdict:
    return Verdict(
        "failed",
        "cell_timeout",
        f"{case.where}: not done after {case.execution.limit_s:g} s, the cell_timeout"
        f"{_hung(case)}.",
        "Make it work on less test data, or raise cell_timeout.",
        error=case.failure if case.stacks else None,
        stack=tell(case.stacks),
    )


def _hung(case: _Case) -> str:
    """``; it was waiting at ssl.py, line 1134 in read``, as far as the kernel tells it."""
    state = case.execution.hang.state
    if not case.stacks or not case.stacks[0]:
        return f"; {state}" if state else ""
    inner = case.stacks[0][0]
    file = inner.file if inner.is_own else Path(inner.file).name
    return f"; {state or 'it was'} at {file}, line {inner.line} in {inner.function}"


def _hung_at(case: _Case) -> Failure:
    sources = {
        f"cell {cell.number}": content["source"].splitlines()
        for cell in case.cells
        for content in case.execution.content.cells
        if content["id"] == cell.id
    }
    frames = []
    for call in reversed(case.stacks[0]):
        lines = sources.get(call.file, [])
        source = lines[call.line - 1].strip() if 0 < call.line <= len(lines) else ""
        if call.is_own:
            frames.append(Frame(call.file, call.line, call.function, source))
    return Failure("Timeout", _hung(case).removeprefix("; "), tuple(frames))


def _own_names(case: _Case) -> Callable[[str], str | None]:
    """How a file in a stack is called if it is a cell or lies in the checkout."""
    # ipykernel names a cell's file by this hash of its source.
    from ipykernel.compiler import get_tmp_hash_seed, murmur2_x86

    numbers = {cell.id: cell.number for cell in case.cells}
    # The cell that hung comes last: it wins over one with the same source.
    cells = {
        str(murmur2_x86(cell["source"], get_tmp_hash_seed())): (
            f"cell {numbers.get(cell['id']) or 'of the parameters'}"
        )
        for cell in (*case.execution.content.cells, case.cell)
        if cell["cell_type"] == "code"
    }

    def name(file: str) -> str | None:
        match = _CELL_FILE.search(file)
        return cells.get(match[1]) if match else _own_file(file, case.ran_in.checkout)

    return name


def _did_not_raise(case: _Case) -> Verdict:
    return Verdict(
        "failed",
        "did_not_raise",
        f"{case.where}: it is tagged raises-exception, but raised nothing.",
        "Remove the tag, or mend what should be refused.",
    )


def _not_run(case: _Case) -> Verdict:
    return Verdict(
        "failed",
        "not_run",
        f"{case.where}: the kernel did not run this cell.",
        "Run the notebook from a restarted kernel; tag a cell that should not run skip-execution.",
    )


_JUDGES: Mapping[str, Callable[[_Case], Verdict]] = {
    "error": _cell_error,
    "exit": _exit,
    "kernel_died": _kernel_died,
    "timeout": _timeout,
    "cell_timeout": _cell_timeout,
    "did_not_raise": _did_not_raise,
    "aborted": _not_run,
}


def plain_text(text: str) -> str:
    """``text`` without ANSI sequences and control characters other than tab and line feed."""
    return _CONTROL.sub("", _ANSI.sub("", text.replace("\r\n", "\n")))


def one_line(text: str, longest: int) -> str:
    """The first line of ``text`` that says something, plain, cut to ``longest`` characters."""
    line = first_line(plain_text(text))
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def _cells(notebook: Notebook, execution: Execution) -> tuple[Cell, ...]:
    found = []
    for run in execution.cells:
        cell = execution.content.cells[run.index] if execution.content else {}
        found.append(
            Cell(
                id=cell.get("id", ""),
                number=notebook.numbers.get(cell.get("id", "")),
                execution_count=cell.get("execution_count"),
                duration_s=None if run.duration_s is None else round(run.duration_s, 4),
                status=run.status,
            )
        )
    return tuple(found)


def _error_output(cell: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found = [output for output in cell.get("outputs", ()) if output["output_type"] == "error"]
    return found[0] if found else None


def _exit_code(case: _Case) -> str:
    """The code as it was given; empty for ``exit()``.

    IPython hands the argument of ``exit(…)`` on as "keep the kernel"; a number is meant as a code.
    """
    payload = exit_payload(case.execution.reply)
    if payload is not None:
        kept = payload.get("keepkernel")
        return str(kept) if isinstance(kept, int) and not isinstance(kept, bool) else ""
    output = _error_output(case.cell)
    if output is not None and output["ename"] == "SystemExit":
        return str(output["evalue"])
    if case.execution.reply.get("ename") == "SystemExit":
        return str(case.execution.reply.get("evalue") or "0")
    return ""


def _failure(case: _Case) -> Failure:
    output = _error_output(case.cell)
    reply = case.execution.reply
    source = output or reply
    return Failure(
        name=str(source.get("ename") or "error"),
        value=plain_text(str(source.get("evalue") or "")),
        frames=_frames(_traceback(case), case),
    )


def _traceback(case: _Case) -> list[str]:
    source = _error_output(case.cell) or case.execution.reply
    return [plain_text(str(part)) for part in source.get("traceback") or ()]


def _frames(traceback: Sequence[str], case: _Case) -> tuple[Frame, ...]:
    """Frames in cells and in files of the checkout, outermost first."""
    counts = {cell.execution_count: cell for cell in case.cells if cell.execution_count is not None}
    sources = {cell["id"]: cell["source"].splitlines() for cell in case.execution.content.cells}
    frames: list[Frame] = []
    is_own = False
    for line in "\n".join(traceback).splitlines():
        text = line.strip()
        cell_place, file_place = _CELL_PLACE.match(text), _FILE_PLACE.match(text)
        if cell_place:
            cell, number = counts.get(int(cell_place[1])), int(cell_place[2])
            lines = sources[cell.id] if cell else []
            source = lines[number - 1].strip() if 0 < number <= len(lines) else ""
            called = cell.number if cell and cell.number else "of the parameters"
            frames.append(Frame(f"cell {called}", number, cell_place[3] or "", source))
            is_own = True
        elif file_place:
            file = _own_file(file_place[1], case.ran_in.checkout)
            is_own = file is not None
            if file is not None:
                frames.append(Frame(file, int(file_place[2]), file_place[3], ""))
        elif is_own and frames and not frames[-1].source:
            marked = _MARKED_LINE.match(text)
            if marked:
                frames[-1] = replace(frames[-1], source=marked[1].strip())
    return tuple(frames)


def _own_file(place: str, top: Path) -> str | None:
    path = Path(place).expanduser()
    for base in (top, top.resolve()):
        if path.is_absolute() and path.is_relative_to(base):
            relative = path.relative_to(base)
            return None if "site-packages" in relative.parts else relative.as_posix()
    return None
