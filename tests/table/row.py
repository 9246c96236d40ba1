"""A row of the table: what a notebook holds, and what an honest judge says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.project import Cell

TIMEOUT_S = 20


@dataclass(frozen=True)
class Row:
    """``says`` is part of the message or the cure; ``file`` stands for what cells cannot build."""

    cells: tuple[str | Cell, ...]
    outcome: str
    cause: str | None = None
    cell: int | None = None
    says: str = ""
    nbci: Mapping[str, Any] = field(default_factory=dict)
    kernel: str | None = "python3"
    language: str = "python"
    file: bytes | None = None

    @property
    def longest_s(self) -> float:
        """How long its test may take: the issue allows the timeout and 10 s."""
        return float(self.nbci.get("timeout", TIMEOUT_S)) + 10


def passes(*cells: str | Cell, **options: Any) -> Row:
    return Row(cells, "passed", **options)


def fails(
    cause: str,
    cell: int | None,
    says: str,
    *cells: str | Cell,
    file: str | bytes | None = None,
    **options: Any,
) -> Row:
    data = file.encode() if isinstance(file, str) else file
    return Row(cells, "failed", cause, cell, says, file=data, **options)


def cannot_start(cause: str, says: str, *cells: str | Cell, **options: Any) -> Row:
    return Row(cells, "error", cause, None, says, **options)


def raising(source: str) -> Cell:
    """A cell that must raise."""
    return Cell(source, ("raises-exception",))


def skipped(source: str) -> Cell:
    """A cell that is left out."""
    return Cell(source, ("skip-execution",))


def parameters(source: str) -> Cell:
    """The cell of the parameters."""
    return Cell(source, ("parameters",))
