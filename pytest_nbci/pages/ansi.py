"""Terminal text as HTML: a state machine that looks at every character once.

Kept: colours and styles of SGR sequences (ECMA-48 §8.3.117; 16, 256 and true colours), carriage
returns and backspaces as a terminal shows them. Every other control sequence is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from html import escape
from itertools import product
from typing import NamedTuple

from pytest_nbci.pages.text import printable

# An SGR sequence (group 1: its parameters), or any other control sequence, or a lone ESC.
# Strings (OSC, DCS, …) end at the end of the line even where their terminator is missing: a
# notebook that prints half a sequence must not swallow the rest of its output.
_SEQUENCE = re.compile(
    r"\x1b(?:"
    r"\[([0-9;:]{0,200})m"
    r"|\[[0-?]{0,200}[ -/]{0,20}[@-~]?"
    r"|[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?"
    r"|[ -/]{1,4}[0-~]?"
    r"|[0-~]?"
    r")"
)
_NAMES = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_COLOURS = {  # code to what it colours, and the colour; the bright ones bear a b
    base + index: (ground, f"{bright}{name}")
    for base, ground, bright in ((30, "fg", ""), (40, "bg", ""), (90, "fg", "b"), (100, "bg", "b"))
    for index, name in enumerate(_NAMES)
}
_COLOURS |= {39: ("fg", ""), 49: ("bg", "")}
_EXTENDED = {38: "fg", 48: "bg"}
_BY_PALETTE, _BY_RGB = 5, 2
_BRIGHTEST = 255
# xterm's 256 colours: the sixteen named ones, a cube with six levels a side, 24 greys.
_LEVELS = (0x00, 0x5F, 0x87, 0xAF, 0xD7, 0xFF)
_PALETTE = (
    *_NAMES,
    *(f"b{name}" for name in _NAMES),
    *(f"#{r:02x}{g:02x}{b:02x}" for r, g, b in product(_LEVELS, repeat=3)),
    *(f"#{grey:02x}{grey:02x}{grey:02x}" for grey in range(8, 248, 10)),
)
_BOLD, _DIM, _ITALIC, _UNDERLINE, _INVERSE, _HIDDEN, _STRUCK = (1 << bit for bit in range(7))
_FLAG_CLASSES = {
    _BOLD: "a-bold",
    _DIM: "a-dim",
    _ITALIC: "a-italic",
    _UNDERLINE: "a-underline",
    _HIDDEN: "a-hidden",
    _STRUCK: "a-struck",
}
_ON = {
    1: _BOLD,
    2: _DIM,
    3: _ITALIC,
    4: _UNDERLINE,
    7: _INVERSE,
    8: _HIDDEN,
    9: _STRUCK,
    21: _UNDERLINE,
}
_OFF = {
    22: _BOLD | _DIM,
    23: _ITALIC,
    24: _UNDERLINE,
    27: _INVERSE,
    28: _HIDDEN,
    29: _STRUCK,
}


class _Style(NamedTuple):
    """What the next character looks like; a colour is "", a name or ``#rrggbb``."""

    fg: str = ""
    bg: str = ""
    flags: int = 0


_PLAIN = _Style()


def strip(text: str) -> str:
    """``text`` without control sequences; the characters between them are untouched."""
    return _SEQUENCE.sub("", text) if "\x1b" in text else text


def to_lines(text: str, longest: int = 5_000) -> list[str]:
    """The lines of ``text`` as HTML, each complete in itself.

    Linear in the length of ``text``: 5 MB of dense colour changes take about a second.

    Args:
        text: What was written to a terminal.
        longest: Lines of more characters are broken; a browser needs seconds for a line of 1 MB.
    """
    style = _PLAIN
    lines = []
    for line in _each_line(text):
        if "\x1b" in line or "\r" in line or "\b" in line:
            runs, style = _runs(line, style)
        else:
            runs = [(line, style)]
        if len(line) <= longest:
            lines.append("".join(_span(*run) for run in runs))
        else:
            lines += _broken(runs, longest)
    return lines


def _each_line(text: str) -> Iterator[str]:
    r"""``text.split("\n")`` without its list, which takes more than a flood of short lines."""
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]


def _runs(line: str, style: _Style) -> tuple[list[tuple[str, _Style]], _Style]:
    """The stretches of one style in a line, and the style at its end."""
    runs: list[tuple[str, _Style]] = []
    pieces: list[str] = []
    position = 0
    for match in _SEQUENCE.finditer(line):
        pieces.append(line[position : match.start()])
        position = match.end()
        parameters = match[1]
        if parameters is None:
            continue
        changed = _apply(style, parameters)
        if changed is not style:
            pieces = [_add(runs, "".join(pieces), style)]
            style = changed
    pieces.append(line[position:])
    _add(runs, "".join(pieces), style)
    return runs, style


def _add(runs: list[tuple[str, _Style]], run: str, style: _Style) -> str:
    """Put ``run`` at the end of the line.

    A terminal goes back to the first column at a carriage return, and progress bars then write
    the line anew: the last text wins. A return that nothing follows (Windows' line ends) erases
    nothing, so it is handed back to stand before the next run.
    """
    if not run:
        return ""
    text = run.rstrip("\r")
    if "\r" in text:
        runs.clear()
        text = text[text.rindex("\r") + 1 :]
    if "\b" in text:
        text = _backspaced(text)
    runs.append((text, style))
    return "\r" if run.endswith("\r") else ""


def _broken(runs: list[tuple[str, _Style]], longest: int) -> list[str]:
    lines: list[str] = []
    pieces: list[str] = []
    room = longest
    for text, style in runs:
        start = 0
        while len(text) - start > room:
            pieces.append(_span(text[start : start + room], style))
            lines.append("".join(pieces))
            start += room
            pieces, room = [], longest
        pieces.append(_span(text[start:], style))
        room -= len(text) - start
    lines.append("".join(pieces))
    return lines


def _backspaced(text: str) -> str:
    kept: list[str] = []
    for character in text:
        if character != "\b":
            kept.append(character)
        elif kept:
            kept.pop()
    return "".join(kept)


def _span(text: str, style: _Style) -> str:
    if not text:
        return ""
    html = escape(printable(text), quote=False)
    return html if style is _PLAIN else f"{_opening(style)}{html}</span>"


@lru_cache(maxsize=4096)
def _opening(style: _Style) -> str:
    """The start tag; the sixteen named colours are classes, so that themes reach them."""
    fg, bg, flags = style
    classes = ""
    rules = ""
    if flags & _INVERSE:
        fg, bg = bg or "paper", fg or "ink"
    if fg.startswith("#"):
        rules = f"color:{fg}"
    elif fg:
        classes = f"a-fg-{fg}"
    if bg.startswith("#"):
        rules += f"{';' if rules else ''}background-color:{bg}"
    elif bg:
        classes += f" a-bg-{bg}"
    if flags:
        classes += "".join(f" {name}" for flag, name in _FLAG_CLASSES.items() if flags & flag)
    attributes = f' class="{classes.strip()}"' if classes else ""
    if rules:
        attributes += f' style="{rules}"'
    return f"<span{attributes}>"


@lru_cache(maxsize=4096)
def _apply(style: _Style, parameters: str) -> _Style:
    """``style`` after an SGR sequence; unknown parameters change nothing."""
    colours = {"fg": style.fg, "bg": style.bg}
    flags = style.flags
    # Colons separate the parts of one colour (ITU T.416), semicolons everything.
    codes = [int(code) if code else 0 for code in parameters.replace(":", ";").split(";")]
    index = 0
    while index < len(codes):
        code = codes[index]
        index += 1
        if code == 0:
            colours, flags = {"fg": "", "bg": ""}, 0
        elif code in _ON:
            flags |= _ON[code]
        elif code in _OFF:
            flags &= ~_OFF[code]
        elif code in _COLOURS:
            ground, colour = _COLOURS[code]
            colours[ground] = colour
        elif code in _EXTENDED:
            found, index = _extended(codes, index)
            if found is not None:
                colours[_EXTENDED[code]] = found
    changed = _Style(colours["fg"], colours["bg"], flags)
    return _PLAIN if changed == _PLAIN else changed


def _extended(codes: list[int], index: int) -> tuple[str | None, int]:
    """The colour after 38 or 48 (None: there is none), and the index behind it."""
    rest = codes[index + 1 : index + 4]
    match codes[index : index + 1], rest:
        case [kind], [number, *_] if kind == _BY_PALETTE:
            return (_PALETTE[number] if number < len(_PALETTE) else None), index + 2
        case [kind], [red, green, blue] if kind == _BY_RGB:
            known = max(rest) <= _BRIGHTEST
            return (f"#{red:02x}{green:02x}{blue:02x}" if known else None), index + 4
        case _:
            return None, len(codes)
