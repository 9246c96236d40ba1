"""The evidence on a notebook: the cell that decided, its error, what it printed, where it hung."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_nbci.execution.frames import CellSource, own_file, own_frames
from pytest_nbci.execution.scene import Place
from pytest_nbci.execution.stack import Call, stacks
from pytest_nbci.execution.text import one_line, plain_text
from pytest_nbci.execution.trace import Execution
from pytest_nbci.notebook import Notebook
from pytest_nbci.records import Cell, FailedCell, Failure, Frame

_CELL_FILE = re.compile(r"ipykernel_\d+/(\d+)\.py$")


@dataclass(frozen=True)
class Case:
    """A notebook that did not run to its end as it should, and the cell that decided."""

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

    @cached_property
    def error_output(self) -> Mapping[str, Any] | None:
        """The cell's first error output."""
        outputs = self.cell.get("outputs", ())
        return next((out for out in outputs if out["output_type"] == "error"), None)

    @property
    def traceback(self) -> str:
        """The error's whole traceback as plain text."""
        source = self.error_output or self.execution.reply
        return "\n".join(plain_text(str(part)) for part in source.get("traceback") or ())

    @property
    def printed(self) -> str:
        """All that the cell printed, plain."""
        streams = (out for out in self.cell.get("outputs", ()) if out["output_type"] == "stream")
        return plain_text("".join(str(out["text"]) for out in streams))

    @property
    def hung(self) -> str:
        """``; it was waiting at ssl.py, line 1134 in read``, as far as the kernel tells it."""
        state = self.execution.hang.state
        if not self.stacks or not self.stacks[0]:
            return f"; {state}" if state else ""
        inner = self.stacks[0][0]
        file = inner.file if inner.is_own else Path(inner.file).name
        return f"; {state or 'it was'} at {file}, line {inner.line} in {inner.function}"


def _failure(case: Case) -> Failure:
    source = case.error_output or case.execution.reply
    name, value = str(source.get("ename") or ""), plain_text(str(source.get("evalue") or ""))
    if not name and value.isdigit():  # bash_kernel's; what went wrong was printed
        lines = case.printed.strip().splitlines()
        name, value = f"exit code {value}", lines[-1] if lines else ""
    return Failure(
        name=name or "error",
        value=value,
        frames=own_frames(case.traceback, _cell_sources(case), case.ran_in.checkout),
    )


def _hung_at(case: Case) -> Failure:
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
    return Failure("Timeout", case.hung.removeprefix("; "), tuple(frames))


def _own_names(case: Case) -> Callable[[str], str | None]:
    """How a file in a stack is called if it is a cell or lies in the checkout."""
    # ipykernel names a cell's file by this hash of its source.
    from ipykernel.compiler import get_tmp_hash_seed, murmur2_x86

    numbers = {cell.id: cell.number for cell in case.cells}
    # As committed: the executed copy is without secrets. The cell that hung comes last: it wins
    # over one with the same source.
    sources = sorted(case.notebook.content["cells"], key=lambda cell: cell["id"] == case.place.id)
    cells = {
        str(murmur2_x86(cell["source"], get_tmp_hash_seed())): (
            f"cell {numbers.get(cell['id']) or 'of the parameters'}"
        )
        for cell in sources
        if cell["cell_type"] == "code"
    }

    def name(file: str) -> str | None:
        match = _CELL_FILE.search(file)
        return cells.get(match[1]) if match else own_file(file, case.ran_in.checkout)

    return name


def _cell_sources(case: Case) -> dict[int, CellSource]:
    """The cells by their execution count."""
    lines = {cell["id"]: cell["source"].splitlines() for cell in case.execution.content.cells}
    return {
        cell.execution_count: CellSource(
            f"cell {cell.number or 'of the parameters'}", lines[cell.id]
        )
        for cell in case.cells
        if cell.execution_count is not None
    }
