"""The cells of an executed notebook with what the record says of them, ready for the template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from pytest_nbci.pages import markdown, outputs, widgets
from pytest_nbci.pages.facts import duration
from pytest_nbci.pages.highlight import code_lines
from pytest_nbci.pages.interactive import Drawn
from pytest_nbci.pages.longtext import text_block
from pytest_nbci.pages.text import one_line, straight, text_of

if TYPE_CHECKING:
    from pytest_nbci.records import Cell, Record

_NOTHING = Markup()
_LONG_CODE_LINES = 200  # more are folded: a generated table, an inlined data set


@dataclass(frozen=True)
class CellView:
    """One cell as the template draws it.

    ``status`` is the record's, or "" where it says nothing; ``folded_*`` parts are closed until
    the reader opens them.
    """

    kind: str
    anchor: str
    number: int | None = None
    status: str = ""
    failed: bool = False
    expected: bool = False
    parameters: bool = False
    time: str = ""
    seconds: float = 0.0
    body: Markup = _NOTHING
    outputs: Markup = _NOTHING
    folded_body: str = ""
    folded_outputs: str = ""
    first_line: str = ""
    needs: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Source:
    """One cell of the notebook with its place in it; ``number`` counts the author's code cells."""

    cell: Mapping[str, Any]
    position: int
    number: int | None
    tags: frozenset[str]


@dataclass(frozen=True)
class _Run:
    """What all cells of a notebook share."""

    record: Record
    language: str
    states: widgets.States


def views(notebook: Mapping[str, Any], record: Record) -> list[CellView]:
    """All cells that a reader is to see, in order."""
    metadata = _mapping(notebook.get("metadata"))
    run = _Run(record, language_of(metadata), widgets.states(metadata))
    known = {cell.id: cell for cell in record.cells if cell.id}
    numbered = {cell.number: cell for cell in record.cells if cell.number is not None}
    found = []
    for source in _sources(notebook.get("cells")):
        result = known.get(text_of(source.cell.get("id"))) if source.cell.get("id") else None
        if result is None and source.number is not None:
            result = numbered.get(source.number)
        view = _view(source, result, run)
        if view is not None:
            found.append(view)
    return found


def language_of(metadata: Mapping[str, Any]) -> str:
    """The name under which pygments may know the notebook's language."""
    info = _mapping(metadata.get("language_info"))
    kernel = _mapping(metadata.get("kernelspec"))
    for name in (info.get("name"), kernel.get("language"), info.get("pygments_lexer")):
        if isinstance(name, str) and name:
            return name
    return "python"


def _sources(cells: object) -> list[_Source]:
    sources = []
    number = 0
    for position, cell in enumerate(cells if isinstance(cells, list) else []):
        if not isinstance(cell, dict):
            continue
        metadata = _mapping(cell.get("metadata"))
        tags = metadata.get("tags")
        names = {
            tag.replace("_", "-")
            for tag in (tags if isinstance(tags, list) else [])
            if isinstance(tag, str)
        }
        jupyter = _mapping(metadata.get("jupyter"))
        names |= {"hide-input"} if jupyter.get("source_hidden") is True else set()
        hidden = jupyter.get("outputs_hidden") is True or metadata.get("collapsed") is True
        names |= {"hide-output"} if hidden else set()
        counted = cell.get("cell_type") == "code" and "injected-parameters" not in names
        number += counted
        sources.append(_Source(cell, position, number if counted else None, frozenset(names)))
    return sources


def _view(source: _Source, result: Cell | None, run: _Run) -> CellView | None:
    text = text_of(source.cell.get("source")).replace("\r\n", "\n")
    kind = source.cell.get("cell_type")
    tags = source.tags
    if kind == "code":
        return _code(source, text, result, run)
    if tags & {"remove-cell", "remove-input"}:
        return None
    anchor = f"part-{source.position + 1}"
    folded = "Show this text" if tags & {"hide-cell", "hide-input"} else ""
    if kind == "markdown":
        body = markdown.render(text, _mapping(source.cell.get("attachments")))
        return CellView("markdown", anchor, body=body, folded_body=folded)
    body = Markup('<pre class="raw">\n{}</pre>').format(straight(text))
    return CellView("raw", anchor, body=body, folded_body=folded)


def _code(source: _Source, text: str, result: Cell | None, run: _Run) -> CellView | None:
    failed = _is_failed(source, result, run.record)
    tags = frozenset() if failed else source.tags  # the failed cell is always shown
    if "remove-cell" in tags or {"remove-input", "remove-output"} <= tags:
        return None
    anchor = f"cell-{source.number}" if source.number is not None else "parameters"
    status = straight(result.status) if result is not None else ""
    shown = source.cell.get("outputs")
    drawn = Drawn(_NOTHING)
    if isinstance(shown, list) and shown and "remove-output" not in tags:
        drawn = outputs.draw(shown, f"o{source.position + 1}", run.states)
    body = _NOTHING
    if "remove-input" not in tags:
        body = _code_block(text, run.language, _marked_lines(source.number, run.record))
    seconds = result.duration_s if result is not None else None
    return CellView(
        "code",
        anchor,
        number=source.number,
        status="failed" if failed else status,
        failed=failed,
        expected="raises-exception" in source.tags and not failed,
        parameters="injected-parameters" in source.tags,
        time=duration(seconds) if seconds is not None else "",
        seconds=seconds or 0.0,
        body=body,
        outputs=drawn.html,
        folded_body="Show code" if tags & {"hide-input", "hide-cell"} else "",
        folded_outputs="Show output" if tags & {"hide-output", "hide-cell"} else "",
        first_line=one_line(next((line for line in text.split("\n") if line.strip()), ""), 80),
        needs=drawn.needs,
    )


def _is_failed(source: _Source, result: Cell | None, record: Record) -> bool:
    failed = record.failed_cell
    if failed is None:
        return result is not None and result.status == "failed"
    if failed.id and source.cell.get("id"):
        return bool(failed.id == source.cell["id"])
    return failed.number is not None and failed.number == source.number


def _marked_lines(number: int | None, record: Record) -> dict[int, str]:
    """Line number to its mark: the line an error was raised in, or the one that led there."""
    frames = record.error.frames if record.error is not None else ()
    mine = [frame.line for frame in frames if number is not None and frame.file == f"cell {number}"]
    marks = dict.fromkeys(mine, "led")
    failed = record.failed_cell
    if mine and failed is not None and failed.number == number:
        marks[mine[-1]] = "hit"
    return marks


def _code_block(text: str, language: str, marks: Mapping[int, str]) -> Markup:
    if not text.strip():
        return Markup('<pre class="code empty">\n(empty cell)</pre>')
    lines = code_lines(text.strip("\n"), language)
    offset = len(text) - len(text.lstrip("\n"))
    for number, mark in marks.items():
        index = number - 1 - offset
        if 0 <= index < len(lines):
            lines[index] = f'<mark class="{escape(mark)}">{lines[index]}</mark>'
    if len(lines) > _LONG_CODE_LINES and not marks:
        return text_block(lines, "code")
    html = Markup("\n".join(lines))  # noqa: S704 - escaped by pygments or html.escape
    return Markup('<pre class="code">\n{}</pre>').format(html)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
