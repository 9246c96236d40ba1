"""What a branch's sessions came to, as one immutable file a session; readers merge the newest.

``<project>/_passed/<branch>/<session>.json`` holds what its session read plus its own results, so
sessions that end at the same moment lose nothing: a reader takes every file that no newer one
says to cover. Files, ids and folders stand once in a table and are referred to by number.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_nbci.errors import NbciError
from pytest_nbci.selection.entry import Entry, newer_first
from pytest_nbci.selection.tree import Tree

SCHEMA = "1.0"
KEPT_ENTRIES = 4
SESSION_NAME = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{1,8}-[0-9a-f]{6}", re.ASCII)

# What reading JSON that we did not write may raise.
_DAMAGES = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)

_PATH_BYTES, _ID_BYTES = 6, 4
_KNOWN = 0x80


@dataclass(frozen=True)
class FileTable:
    """All files of a tree in ten bytes each: is one changed, and was it known to be read?

    Args:
        rows: Hash of a path to the hash of its id, whose first bit says that it was known.
        tree: Hash of all of them: equal tables need no comparison.
    """

    rows: Mapping[bytes, bytes]
    tree: str

    @classmethod
    def of(cls, tree: Tree, known: Iterable[str]) -> FileTable:
        """The table of ``tree``; ``known`` are paths that something is known to depend on."""
        rows = {}
        marked = set(known)
        for path, found in tree.git.items():
            value = bytearray(_hash(found, _ID_BYTES))
            value[0] = value[0] & ~_KNOWN | (_KNOWN if path in marked else 0)
            rows[_hash(path, _PATH_BYTES)] = bytes(value)
        return cls(rows, tree.digest)

    def to_text(self) -> str:
        """Base64 of it."""
        return base64.b64encode(b"".join(key + row for key, row in self.rows.items())).decode()

    @classmethod
    def from_text(cls, text: str, tree: str) -> FileTable:
        """What ``to_text`` wrote.

        Raises:
            ValueError: It is something else.
        """
        data, size = base64.b64decode(text, validate=True), _PATH_BYTES + _ID_BYTES
        if len(data) % size:
            raise ValueError(f"{len(data)} bytes are no rows of {size}")
        rows = {
            data[at : at + _PATH_BYTES]: data[at + _PATH_BYTES : at + size]
            for at in range(0, len(data), size)
        }
        return cls(rows, tree)

    def changes(self, tree: Tree) -> list[Change]:
        """Files that are not as they were, and those that are gone, whose names are not kept."""
        found = []
        left = dict(self.rows)
        for path, value in tree.git.items():
            row = left.pop(_hash(path, _PATH_BYTES), None)
            now = bytearray(_hash(value, _ID_BYTES))
            if row is None:
                found.append(Change(path, "is new", was_known=False))
            elif bytes([row[0] & ~_KNOWN, *row[1:]]) != bytes([now[0] & ~_KNOWN, *now[1:]]):
                found.append(Change(path, "changed", bool(row[0] & _KNOWN)))
        found += [Change(None, "is gone", bool(row[0] & _KNOWN)) for row in left.values()]
        return found

    def has(self, path: str) -> bool:
        """Whether there was a file at ``path``."""
        return _hash(path, _PATH_BYTES) in self.rows


@dataclass(frozen=True)
class Change:
    """One file that is not as it was; ``path`` is None for a file that is gone."""

    path: str | None
    how: str
    was_known: bool


@dataclass(frozen=True)
class State:
    """What one file holds."""

    session: str
    table: FileTable
    entries: tuple[Entry, ...]
    covers: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def newest(self) -> str:
        """When its newest result began."""
        return max((entry.at for entry in self.entries), default="")

    def to_json(self) -> bytes:
        """The file's content."""
        pairs: dict[tuple[str, str], int] = {}

        def numbers(items: Mapping[str, str]) -> list[int]:
            return [pairs.setdefault(item, len(pairs)) for item in items.items()]

        entries = [
            {
                "notebook": entry.notebook,
                "outcome": entry.outcome,
                "at": entry.at,
                "session": entry.session,
                "commit": entry.commit,
                "fingerprint": entry.fingerprint,
                "parts": numbers(entry.parts),
                "files": numbers(entry.files),
                "inputs": numbers(entry.inputs),
                "listed": numbers(entry.listed),
                "every": entry.every,
                "duration_s": entry.duration_s,
            }
            for entry in self.entries
        ]
        data = {
            **self.extra,
            "schema": SCHEMA,
            "session": self.session,
            "covers": self.covers,
            "tree": self.table.tree,
            "files": self.table.to_text(),
            "entries": entries,
            "pairs": list(pairs),
        }
        return json.dumps(data, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, content: bytes) -> State:
        """What ``to_json`` wrote.

        Raises:
            NbciError: It is something else, or of a newer schema.
        """
        try:
            data = json.loads(content)
            if int(data["schema"].split(".")[0]) > int(SCHEMA.split(".", maxsplit=1)[0]):
                raise NbciError(f"schema {data['schema']} is newer than {SCHEMA}")
            pairs = [(_text(key), _text(value)) for key, value in data["pairs"]]
            entries = tuple(_entry(item, pairs) for item in data["entries"])
            table = FileTable.from_text(data["files"], _text(data["tree"]))
            covers = tuple(_session(name) for name in data["covers"])
            return cls(_session(data["session"]), table, entries, covers)
        except _DAMAGES as error:
            raise NbciError(f"This is no record of passed notebooks: {error!r}.") from error


def _entry(data: Mapping[str, Any], pairs: list[tuple[str, str]]) -> Entry:
    def table(name: str) -> dict[str, str]:
        return dict(pairs[number] for number in data[name])

    every = data["every"]
    return Entry(
        notebook=_text(data["notebook"]),
        outcome=_told(data["outcome"]),
        at=_told(data["at"]),
        session=_told(data["session"]),
        commit=_told(data["commit"]),
        fingerprint=_text(data["fingerprint"]),
        parts=table("parts"),
        files=table("files"),
        inputs=table("inputs"),
        listed=table("listed"),
        every=(_text(every[0]), _text(every[1])) if every else None,
        duration_s=_finite(data["duration_s"]),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _told(value: object) -> str:
    """A text that is printed as it stands."""
    if not _text(value).isprintable():
        raise ValueError(f"{value!r} cannot be printed")
    return _text(value)


def _session(value: object) -> str:
    """The name of a session, which becomes one of a file."""
    if not SESSION_NAME.fullmatch(_text(value)):
        raise ValueError(f"{value!r} is not the name of a session")
    return _text(value)


def _finite(value: Any) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{value!r} is no duration")
    return float(value)


def merged(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """The newest few of each notebook, that depended on different things."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.notebook, []).append(entry)
    return tuple(
        entry for name in sorted(groups) for entry in newer_first(groups[name], KEPT_ENTRIES)
    )


def _hash(text: str, size: int) -> bytes:
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=size).digest()
