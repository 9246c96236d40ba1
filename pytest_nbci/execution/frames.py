"""The reader's own frames in a traceback as IPython writes it: cells and files of the checkout."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_nbci.records import Frame

# How IPython writes a frame's place:
# https://github.com/ipython/ipython/blob/main/IPython/core/ultratb.py (_format_filename)
_CELL_PLACE = re.compile(r"^(?:Cell|Input) In\s?\[(\d+)\],? line (\d+)(?:, in (\S+?)\(|)")
_FILE_PLACE = re.compile(r"^File ([~/].*?):(\d+)(?:, in (\S+?)(?:\(|$)|$)")
_MARKED_LINE = re.compile(r"^-+> ?\d* ?(.*)$")
# Endless recursion has a thousand frames that say the same.
_OUTERMOST = _INNERMOST = 20


@dataclass(frozen=True)
class CellSource:
    """A cell as frames name it (``cell 3``), and its lines."""

    called: str
    lines: Sequence[str]


def own_frames(
    traceback: str, cells: Mapping[int, CellSource], checkout: Path
) -> tuple[Frame, ...]:
    """Frames in cells and in files of the checkout, outermost first.

    Args:
        traceback: Plain text.
        cells: By execution count. What a magic ran as a cell of its own (``%%capture``) has a
            count that is none of theirs, and no lines that can be told.
        checkout: Top of the checkout.
    """
    found = list(_frames(traceback.splitlines(), cells, checkout))
    if len(found) <= _OUTERMOST + _INNERMOST:
        return tuple(found)
    return (*found[:_OUTERMOST], *found[-_INNERMOST:])


def _frames(
    lines: Sequence[str], cells: Mapping[int, CellSource], checkout: Path
) -> Iterator[Frame]:
    waiting: Frame | None = None  # for its source line, which the traceback shows below it
    for line in lines:
        text = line.strip()
        marked = _MARKED_LINE.match(text)
        if waiting is not None and marked:
            yield replace(waiting, source=marked[1].strip())
            waiting = None
        cell_place, file_place = _CELL_PLACE.match(text), _FILE_PLACE.match(text)
        if waiting is not None and (cell_place or file_place):
            yield waiting
            waiting = None
        if cell_place and int(cell_place[1]) in cells:
            cell, number = cells[int(cell_place[1])], int(cell_place[2])
            source = cell.lines[number - 1].strip() if 0 < number <= len(cell.lines) else ""
            yield Frame(cell.called, number, cell_place[3] or "", source)
        elif file_place:
            file = own_file(file_place[1], checkout)
            if file is not None:
                waiting = Frame(file, int(file_place[2]), file_place[3] or "<module>", "")
    if waiting is not None:
        yield waiting


def own_file(place: str, top: Path) -> str | None:
    """A file's name relative to the checkout at ``top``; None if it is not the reader's own."""
    path = Path(place).expanduser()
    for base in (top, top.resolve()):
        if path.is_absolute() and path.is_relative_to(base):
            relative = path.relative_to(base)
            return None if "site-packages" in relative.parts else relative.as_posix()
    return None
