"""What happened to one notebook: filled by the engine, judged by the verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pytest_nbci.execution.kernel import Exit, Kernel
from pytest_nbci.execution.stack import Hang
from pytest_nbci.notebook import Notebook
from pytest_nbci.records import CellStatus

Stop = Literal[
    "error", "exit", "kernel_died", "timeout", "cell_timeout", "did_not_raise", "aborted"
]


@dataclass
class CellRun:
    """What happened to one code cell (``index`` counts all cells of the executed notebook)."""

    index: int
    status: CellStatus
    duration_s: float | None = None


@dataclass
class Execution:
    """What happened to one notebook.

    Attributes:
        kernel: The running kernel.
        timeout_s: For all cells together.
        cell_timeout_s: For each cell; None for no limit.
        on_cell: Called with the position of each code cell before it runs.
        content: The executed notebook (an nbformat ``NotebookNode``).
        cells: Code cells in order.
        stop: Why the rest did not run; None when all cells are done.
        stopped_at: Index of the cell that decided.
        reply: Content of that cell's execute_reply.
        owner: Module of the object that an AttributeError was about, where the kernel knows it.
        exit: How the kernel ended, where it did.
        doubts: Indices of cells that the kernel answered but did not say to be done.
        limit_s: The limit that was passed, where one was.
        hang: What the kernel did when it was.
    """

    kernel: Kernel
    timeout_s: float
    cell_timeout_s: float | None = None
    on_cell: Callable[[int], None] = lambda _: None
    content: Any = None
    cells: list[CellRun] = field(default_factory=list)
    stop: Stop | None = None
    stopped_at: int | None = None
    reply: Mapping[str, Any] = field(default_factory=dict)
    owner: str = ""
    exit: Exit | None = None
    doubts: list[int] = field(default_factory=list)
    limit_s: float | None = None
    hang: Hang = field(default_factory=Hang)


def doubtful_cells(notebook: Notebook, execution: Execution) -> list[int]:
    """Numbers of the cells whose outputs may be incomplete."""
    ids = [execution.content.cells[index]["id"] for index in execution.doubts]
    return [notebook.numbers[one] for one in ids if one in notebook.numbers]


def exit_payload(reply: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What ``exit()`` left in the reply of an IPython kernel; None where it was not called."""
    payloads = reply.get("payload") or ()
    return next((item for item in payloads if item.get("source") == "ask_exit"), None)
