"""The verdict: what an execution came to, in one sentence with a cure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pytest_nbci.execution.scene import Place
from pytest_nbci.execution.trace import Execution
from pytest_nbci.notebook import Notebook, first_line
from pytest_nbci.records import Cell, FailedCell, Failure, Outcome


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
    from pytest_nbci.execution.case import Case  # with all that only failures need
    from pytest_nbci.execution.judges import JUDGES

    cell = execution.content.cells[execution.stopped_at] if execution.content else {}
    place = FailedCell(
        cell.get("id", ""), notebook.numbers.get(cell.get("id", "")), first_line(cell["source"])
    )
    case = Case(name, notebook, execution, cell, place, cells, ran_in)
    verdict = JUDGES[execution.stop](case)
    if verdict.outcome == "passed":
        return replace(verdict, cells=cells)
    cells = tuple(
        replace(item, status="failed") if item.id == place.id and item.status == "passed" else item
        for item in cells
    )
    return replace(verdict, cells=cells, failed_cell=place)


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
