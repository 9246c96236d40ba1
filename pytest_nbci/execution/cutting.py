"""Sizes of outputs, and cutting what is too big for the limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MB = 1_000_000
# A cut goes to the end of a line, where one is so near.
_NEAR_CHARACTERS = 1 << 12
_NUMBER_BYTES = 8


def size_of(value: Any) -> int:
    """About how many bytes ``value`` (JSON) takes in a file."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(_encode(value))
    if isinstance(value, Mapping):
        return sum(len(key) + size_of(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return sum(map(size_of, value))
    return _NUMBER_BYTES


def megabytes(size_bytes: float) -> str:
    """``189.3 MB``, or ``2.5 KB`` where that says more."""
    if size_bytes < MB / 10:
        return f"{size_bytes / 1000:.1f} KB"
    return f"{size_bytes / MB:,.1f} MB"


def shorten_error(fields: dict[str, Any], limit_bytes: int, setting: str) -> None:
    """Cut each field of an error (an output or a reply) that is longer than ``limit_bytes``."""
    for name, value in fields.items():
        text = "\n".join(map(str, value)) if isinstance(value, list) else str(value)
        if size_of(value) > limit_bytes:
            start, end = beginning(text, limit_bytes // 2), end_of(text, limit_bytes // 2)
            lost = megabytes(size_of(text) - size_of(start) - size_of(end))
            cut = f"{start}\n{notice(f'{lost} of output', setting)}\n{end}"
            fields[name] = cut.split("\n") if isinstance(value, list) else cut


def notice(what: str, setting: str) -> str:
    """The line that stands for ``what``."""
    # In ASCII: one other character doubles the memory of a text.
    return f"[... {what} left out by nbci ({setting}) ...]"


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _is_inside(data: bytes, index: int) -> bool:
    """Whether ``index`` is inside a character of UTF-8."""
    return 0 < index < len(data) and data[index] & 0xC0 == 0x80  # noqa: PLR2004 - RFC 3629


def beginning(text: str, size: int) -> str:
    """At most the first ``size`` bytes of ``text``, up to the end of a line where one is near."""
    data = _encode(text)
    stop = max(size, 0)
    while _is_inside(data, stop):
        stop -= 1
    found = data[:stop].decode("utf-8", "surrogatepass")
    return found[: found.rfind("\n", max(len(found) - _NEAR_CHARACTERS, 0)) + 1] or found


def end_of(text: str, size: int) -> str:
    """At most the last ``size`` bytes of ``text``, from the start of a line where one is near."""
    data = _encode(text)
    start = max(len(data) - max(size, 0), 0)
    while _is_inside(data, start):
        start += 1
    found = data[start:].decode("utf-8", "surrogatepass")
    return found[found.find("\n", 0, _NEAR_CHARACTERS) + 1 :] or found
