"""Source code as HTML lines with the colours of its language."""

from __future__ import annotations

import io
import re
from functools import cache
from html import escape
from typing import TYPE_CHECKING

from pytest_nbci.pages.pythonsource import python_lines
from pytest_nbci.pages.text import straight

if TYPE_CHECKING:
    from pygments.formatters import HtmlFormatter
    from pygments.lexer import Lexer

# A lexer takes about a second a megabyte; such a cell is generated text that nobody reads.
_LONGEST = 200_000
_PYTHON = frozenset({"python", "python3", "py", "ipython", "ipython2", "ipython3"})
_MAGIC = re.compile(r"(?:[ \t]*\n)*%%(\w+)[^\n]*\n")
_MAGIC_LANGUAGES = {
    "bash": "bash",
    "sh": "bash",
    "script": "bash",
    "html": "html",
    "HTML": "html",
    "svg": "xml",
    "SVG": "xml",
    "js": "javascript",
    "javascript": "javascript",
    "latex": "latex",
    "markdown": "markdown",
    "sql": "sql",
    "R": "r",
    "perl": "perl",
    "ruby": "ruby",
}


def code_lines(source: str, language: str) -> list[str]:
    """``source`` as HTML, one string a line, each with complete tags.

    Args:
        source: The code; a cell magic such as ``%%bash`` changes the language of what follows.
        language: A name that pygments knows; an unknown one leaves the code plain.
    """
    source = straight(source)
    magic = _MAGIC.match(source) if language.lower() in _PYTHON else None
    if magic is not None and magic[1] in _MAGIC_LANGUAGES:
        head = [f'<span class="nd">{escape(line)}</span>' for line in magic[0].split("\n")[:-1]]
        return head + code_lines(source[magic.end() :], _MAGIC_LANGUAGES[magic[1]])
    if language.lower() in _PYTHON:
        return python_lines(source)
    lexer = _lexer(language)
    if lexer is None or len(source) > _LONGEST:
        return escape(source, quote=False).split("\n")
    lines = io.StringIO()
    try:
        _formatter().format(lexer.get_tokens(source), lines)
    except Exception:  # noqa: BLE001 - some lexers of pygments raise on broken code of any kind
        return escape(source, quote=False).split("\n")
    html = lines.getvalue()
    if not source.endswith("\n"):
        html = html.removesuffix("\n")  # the formatter ends every line
    return html.split("\n")


@cache
def _lexer(language: str) -> Lexer | None:
    """The lexer of a language: finding one costs more than a short cell takes to highlight."""
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    name = {"ir": "r"}.get(language.lower(), language.lower())
    try:
        return get_lexer_by_name(name, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None


@cache
def _formatter() -> HtmlFormatter[str]:
    from pygments.formatters import HtmlFormatter

    return HtmlFormatter(nowrap=True)
