"""Text of kernels and exceptions as a terminal, a sentence and XML can hold it."""

from __future__ import annotations

import re

from pytest_nbci.notebook import first_line
from pytest_nbci.scrub import ANSI

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def plain_text(text: str) -> str:
    """``text`` without ANSI sequences and control characters other than tab and line feed.

    Lone surrogates, which no terminal and no XML can hold, are spelled out.
    """
    spelled = text.encode("utf-8", "backslashreplace").decode()
    return _CONTROL.sub("", ANSI.sub("", spelled.replace("\r\n", "\n")))


def one_line(text: str, longest: int) -> str:
    """The first line of ``text`` that says something, plain, cut to ``longest`` characters."""
    line = first_line(plain_text(text))
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
