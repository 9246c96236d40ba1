"""What happened to one notebook: filled by the engine, judged by the verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pytest_nbci.execution.kernel import Exit, Kernel
from pytest_nbci.execution.stack import Hang
from pytest_nbci.notebook import Notebook
from pytest_nbci.records import CellStatus
from pytest_nbci.scrub import Secrets, scrub_notebook, scrub_values

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
        output_limit_bytes: How much of each cell's output is kept.
        cell_timeout_s: For each cell; None for no limit.
        on_cell: Called with the position of each code cell before it runs.
        content: The executed notebook (an nbformat ``NotebookNode``).
        cells: Code cells in order.
        stop: Why the rest did not run; None when all cells are done.
        stopped_at: Index of the cell that decided.
        reply: Content of that cell's execute_reply.
        owner: Module of the object that an AttributeError was about, where the kernel knows it.
        exits_with_text: Whether SystemExit got a text, with which Python ends with code 1.
        exit: How the kernel ended, where it did.
        doubts: Indices of cells that the kernel answered but did not say to be done.
        limit_s: The limit that was passed, where one was.
        left_out: Indices of cells, and what of their outputs is not kept; None for the widgets.
        hang: What the kernel did when it was.
    """

    kernel: Kernel
    timeout_s: float
    output_limit_bytes: int
    cell_timeout_s: float | None = None
    on_cell: Callable[[int], None] = lambda _: None
    content: Any = None
    cells: list[CellRun] = field(default_factory=list)
    stop: Stop | None = None
    stopped_at: int | None = None
    reply: Mapping[str, Any] = field(default_factory=dict)
    owner: str = ""
    exits_with_text: bool = False
    exit: Exit | None = None
    doubts: list[int] = field(default_factory=list)
    limit_s: float | None = None
    left_out: list[tuple[int | None, str]] = field(default_factory=list)
    hang: Hang = field(default_factory=Hang)


def scrub_execution(execution: Execution, secrets: Secrets) -> None:
    """Take the secrets out of it in place, before anybody judges or cuts what it holds."""
    if execution.content is not None:
        scrub_notebook(execution.content, secrets)
    said = {name: execution.reply.get(name) for name in ("ename", "evalue", "traceback")}
    execution.reply = {**execution.reply, **scrub_values(said, secrets)}


def doubtful_cells(notebook: Notebook, execution: Execution) -> list[int]:
    """Numbers of the cells whose outputs may be incomplete."""
    ids = [execution.content.cells[index]["id"] for index in execution.doubts]
    return [notebook.numbers[one] for one in ids if one in notebook.numbers]


def cut_outputs(notebook: Notebook, execution: Execution) -> list[str]:
    """A sentence for each cell of which not all output is kept."""
    return [
        f"Left out of {_cell_name(notebook, execution, index)}: {what}"
        for index, what in execution.left_out
    ]


def _cell_name(notebook: Notebook, execution: Execution, index: int | None) -> str:
    if index is None:
        return "the notebook"
    number = notebook.numbers.get(execution.content.cells[index]["id"])
    return "the parameters cell" if number is None else f"cell {number}"


def exit_payload(reply: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What ``exit()`` left in the reply of an IPython kernel; None where it was not called."""
    payloads = reply.get("payload") or ()
    return next((item for item in payloads if item.get("source") == "ask_exit"), None)


def has_lost_its_shell(cell: Mapping[str, Any]) -> bool:
    """Whether bash_kernel's shell ended in the cell; it begins another one and reports success.

    https://github.com/takluyver/bash_kernel/blob/master/bash_kernel/kernel.py (do_execute)
    """
    outputs = [out for out in cell.get("outputs", ()) if out["output_type"] == "stream"]
    return bool(outputs) and str(outputs[-1]["text"]).rstrip().endswith("Restarting Bash")
