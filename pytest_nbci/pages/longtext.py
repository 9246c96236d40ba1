"""Long text, shown so that a reader finds its ends and a browser stays quick.

The first and the last lines stand open, the rest is folded between them. The folded part is cut
into chunks with ``content-visibility: auto``: 20 MB in one ``<pre>`` took Chromium 36 s and 5 GB,
in chunks of 500 lines 0.3 s and 163 MB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_OPEN_LINES = 40  # shown whole up to here
_HEAD_LINES, _TAIL_LINES = 15, 15
_OPEN_CHARACTERS = 20_000
_CHUNK_LINES = 500
_CHUNK_CHARACTERS = 100_000


def text_block(lines: Sequence[str], kind: str) -> Markup:
    """Lines of HTML as preformatted text.

    Args:
        lines: Safe HTML, each line complete in itself.
        kind: The CSS classes of the text.
    """
    size = sum(map(len, lines))
    if len(lines) <= _OPEN_LINES and size <= _OPEN_CHARACTERS:
        return _pre(lines, kind)
    start = _fitting(lines[:_HEAD_LINES])
    end = len(lines) - _fitting(lines[max(start, len(lines) - _TAIL_LINES) :][::-1])
    chunks = Markup().join(_pre(chunk, f"{kind} chunk") for chunk in _chunks(lines, start, end))
    return Markup("{}<details class=more><summary>{} more {}</summary>{}</details>{}").format(
        _pre(lines[:start], kind) if start else "",
        f"{end - start:,}",
        "line" if end - start == 1 else "lines",
        chunks,
        _pre(lines[end:], kind) if end < len(lines) else "",
    )


def _fitting(lines: Sequence[str]) -> int:
    """How many of ``lines`` stay below half of what is shown open."""
    size = 0
    for count, line in enumerate(lines):
        size += len(line)
        if size > _OPEN_CHARACTERS // 2:
            return count
    return len(lines)


def _chunks(lines: Sequence[str], start: int, end: int) -> Iterator[Sequence[str]]:
    """The lines from ``start`` to ``end``, one chunk at a time: a flood has millions."""
    size = 0
    for index in range(start, end):
        size += len(lines[index])
        if index - start >= _CHUNK_LINES or size > _CHUNK_CHARACTERS:
            if index > start:
                yield lines[start:index]
            start, size = index, len(lines[index])
    yield lines[start:end]


def _pre(lines: Sequence[str], kind: str) -> Markup:
    # The newline after the tag is dropped by the parser; without it a first empty line would be.
    html = "\n".join(lines)
    return Markup(f'<pre class="{kind}">\n{html}</pre>')  # noqa: S704 - lines are safe HTML
