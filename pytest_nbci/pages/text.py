"""Text from a stranger's notebook, made fit to stand in a valid HTML document."""

from __future__ import annotations

import json
import re

# What HTML forbids in a document (https://html.spec.whatwg.org/#preprocessing-the-input-stream)
# and what Python cannot encode: C0 and C1 controls, lone surrogates, noncharacters.
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
# Every C0 control has a picture in Unicode; the rest becomes the replacement character.
_SIGNS = {
    **{code: 0x2400 + code for code in range(0x20) if code not in {0x09, 0x0A, 0x0D}},
    **dict.fromkeys([*range(0x80, 0xA0), *range(0xD800, 0xE000), *range(0xFDD0, 0xFDF0)], 0xFFFD),
    **dict.fromkeys([0xFFFE, 0xFFFF], 0xFFFD),
    0x7F: 0x2421,
}
# Marks that show text in another order than it is stored: in code and in names they deceive
# (CVE-2021-42574), in prose they are ordinary Arabic or Hebrew.
_REORDERING = re.compile("[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]")
_ELLIPSIS = "…"


def text_of(value: object) -> str:
    """The text of a notebook field: nbformat allows a string or a list of its lines."""
    match value:
        case str():
            return value
        case list() | tuple():
            return "".join(item if isinstance(item, str) else text_of(item) for item in value)
        case None:
            return ""
        case _:
            return as_json(value)


def as_json(value: object) -> str:
    """Indented JSON of ``value``, for reading; anything that JSON cannot hold as its ``str``."""
    try:
        return json.dumps(value, ensure_ascii=False, indent=2, default=str)
    except (TypeError, ValueError, RecursionError):
        return str(value)


def printable(text: str) -> str:
    """``text`` without anything HTML forbids; every such character stays visible as a sign."""
    if _FORBIDDEN.search(text) is None:
        return text
    return text.translate(_SIGNS)


def straight(text: str) -> str:
    """:func:`printable`, and with the marks that reorder text spelled out as ``[U+202E]``."""
    text = printable(text)
    if text.isascii():
        return text
    return _REORDERING.sub(lambda match: f"[U+{ord(match[0]):04X}]", text)


def one_line(value: object, limit: int = 400) -> str:
    """``value`` as one line of at most ``limit`` characters, for headings and facts."""
    text = " ".join(text_of(value).split())
    if len(text) > limit:
        text = text[: limit - 1] + _ELLIPSIS
    return straight(text)


def block(value: object, limit: int = 20_000) -> str:
    """``value`` as text of several lines of at most ``limit`` characters, for facts."""
    text = text_of(value)
    if len(text) > limit:
        text = text[: limit - 1] + _ELLIPSIS
    return straight(text)
