"""What one cell put out, kept within a limit: its beginning and its end.

A line in the middle says how much is missing. What cannot be cut (a figure) is replaced by such a
line. Time is linear in what is put out, memory in what is kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from nbformat import NotebookNode

from pytest_nbci.execution.cutting import (
    beginning,
    end_of,
    megabytes,
    notice,
    shorten_error,
    size_of,
)

# What an output counts beyond its content, so that the limit bounds the number of outputs, too.
_OUTPUT_BYTES = 1_000
# Text is dropped in pieces of this size at most; smaller ones are merged, since a string takes 50
# bytes more than its text.
_PIECE_CHARACTERS = 1 << 16
_MERGED_CHARACTERS = 1 << 13
# Name, value and traceback of an error may each take this part of the limit.
ERROR_PART = 8


@dataclass
class Total:
    """A number of bytes that several count together."""

    size_bytes: int = 0


@dataclass(eq=False)
class Display:
    """What all outputs with one display id show; ``settle`` writes it into them."""

    bundle: NotebookNode
    size_bytes: int
    total: Total
    nodes: dict[int, NotebookNode] = field(default_factory=dict)

    def show_in(self, node: NotebookNode) -> None:
        """``node`` shows this from now on."""
        node.update(self.bundle)
        self.nodes[id(node)] = node
        self.total.size_bytes += self.size_bytes

    def forget(self, node: NotebookNode) -> None:
        """``node`` is no longer kept."""
        if self.nodes.pop(id(node), None) is not None:
            self.total.size_bytes -= self.size_bytes

    def change(self, bundle: NotebookNode) -> None:
        """Show ``bundle``."""
        size = size_of(bundle)
        self.total.size_bytes += (size - self.size_bytes) * len(self.nodes)
        self.bundle, self.size_bytes = bundle, size

    def settle(self) -> None:
        """Bring the outputs up to date."""
        for node in self.nodes.values():
            node.update(self.bundle)


@dataclass(frozen=True)
class LeftOut:
    """What was put out and is not kept; ``outputs`` counts those that were not mere text."""

    size_bytes: int = 0
    outputs: int = 0

    def plus(self, size_bytes: int, outputs: int = 0) -> LeftOut:
        """This and some more."""
        return LeftOut(self.size_bytes + size_bytes, self.outputs + outputs)

    def __str__(self) -> str:
        """``189.3 MB of output``, or ``2,000 outputs (3.1 MB)``."""
        if not self.outputs:
            return f"{megabytes(self.size_bytes)} of output"
        plural = "output" if self.outputs == 1 else "outputs"
        return f"{self.outputs:,} {plural} ({megabytes(self.size_bytes)})"


_NOTHING = LeftOut()


@dataclass(eq=False, slots=True)
class _Text:
    """A stream output in the making."""

    name: str
    pieces: deque[str] = field(default_factory=deque)

    def add(self, piece: str) -> None:
        if self.pieces and len(self.pieces[-1]) + len(piece) < _MERGED_CHARACTERS:
            self.pieces[-1] += piece
        else:
            self.pieces.append(piece)


@dataclass(eq=False, slots=True)
class _Whole:
    """An output that is kept whole or not at all."""

    node: NotebookNode
    size: int
    display: Display | None = None


_Entry = _Text | _Whole


class CellOutputs:
    """What one cell (or one Output widget) put out so far.

    Args:
        limit_bytes: How much of it is kept.
        setting: The setting that the limit comes from, as the reader is told.
    """

    def __init__(self, limit_bytes: int, setting: str) -> None:
        self._limit = limit_bytes
        self.setting = setting
        self._clears_next = False
        self._start()

    def _start(self) -> None:
        # Once the head is full it stays; the tail loses in front what it gains at its end.
        self._head: list[_Entry] = []
        self._head_size = 0
        self._is_head_full = False
        self._tail: deque[_Entry] = deque()
        self._tail_size = 0
        self._error: _Whole | None = None
        self._middle = _NOTHING
        self._replaced = _NOTHING

    @property
    def left_out(self) -> LeftOut:
        """What is missing in the middle, or was replaced by a line."""
        return self._middle.plus(self._replaced.size_bytes, self._replaced.outputs)

    @property
    def size_bytes(self) -> int:
        """How much is kept."""
        return self._head_size + self._tail_size

    def add_text(self, name: str, text: str) -> None:
        """Text on the stream ``name``."""
        self._clear_if_due()
        for start in range(0, len(text), _PIECE_CHARACTERS):
            self._add_piece(name, text[start : start + _PIECE_CHARACTERS])
            self._trim()

    def add(self, node: NotebookNode, display: Display | None = None) -> None:
        """An output of any other type."""
        self._clear_if_due()
        size = size_of(node) + _OUTPUT_BYTES
        fits_head = not self._is_head_full and self._head_size + size <= self._limit // 2
        if node.output_type == "error":
            shorten_error(node, self._limit // ERROR_PART, self.setting)
            size = size_of(node) + _OUTPUT_BYTES
        elif not fits_head and size > self._limit - self._head_size:
            node["data"], node["metadata"] = self.instead_of(node["data"]), NotebookNode()
            size, display = _OUTPUT_BYTES, None
        if display is not None:
            display.show_in(node)
        entry = _Whole(node, size, display)
        if not self._is_head_full and self._head_size + size <= self._limit // 2:
            self._head.append(entry)
            self._head_size += size
            return
        self._is_head_full = True
        self._tail.append(entry)
        self._tail_size += size
        self._trim()

    def clear(self, *, waits: bool) -> None:
        """``clear_output``: now, or when the next output comes."""
        self._clears_next = waits
        if not waits:
            for entry in (*self._head, *self._tail):
                _forget(entry)
            self._start()

    def instead_of(self, data: Mapping[str, Any]) -> NotebookNode:
        """What stands for ``data``, which is too big: its type and size."""
        self._replaced = self._replaced.plus(size_of(data), 1)
        kind = max(data, key=lambda one: size_of(data[one]), default="an output")
        said = notice(f"{kind} of {megabytes(size_of(data))}", self.setting)
        return NotebookNode({"text/plain": said})

    def nodes(self) -> list[NotebookNode]:
        """The outputs as a notebook holds them."""
        self._trim_exactly()
        found: list[NotebookNode] = []
        for name, group in groupby(self._entries(), key=_stream_name):
            if name is None:
                found += [entry.node for entry in group if isinstance(entry, _Whole)]
            else:
                pieces = (entry.pieces for entry in group if isinstance(entry, _Text))
                text = "".join(piece for some in pieces for piece in some)
                found.append(NotebookNode(output_type="stream", name=name, text=text))
        return found

    def _entries(self) -> Iterator[_Entry]:
        yield from self._head
        if self._error is not None:
            yield self._error
        if self._middle != _NOTHING:
            yield self._gap()
        yield from self._tail

    def _gap(self) -> _Text:
        """The line in the middle; part of the text around it, where there is text."""
        said = f"{notice(str(self._middle), self.setting)}\n"
        before = self._head[-1] if self._head and self._error is None else None
        after = self._tail[0] if self._tail else None
        if isinstance(before, _Text):
            is_in_line = before.pieces and not before.pieces[-1].endswith("\n")
            return _Text(before.name, deque(["\n" + said if is_in_line else said]))
        return _Text(after.name if isinstance(after, _Text) else "stdout", deque([said]))

    def _clear_if_due(self) -> None:
        if self._clears_next:
            self.clear(waits=False)

    def _add_piece(self, name: str, piece: str) -> None:
        if not self._is_head_full:
            taken = self._add_to_head(name, piece)
            if taken == len(piece):
                return
            self._is_head_full = True
            piece = piece[taken:]
        size = size_of(piece)
        if not self._tail or _stream_name(self._tail[-1]) != name:
            self._tail.append(_Text(name))
            size += _OUTPUT_BYTES
        last = self._tail[-1]
        assert isinstance(last, _Text)  # noqa: S101 - by its name
        last.add(piece)
        self._tail_size += size

    def _add_to_head(self, name: str, piece: str) -> int:
        """How many characters of ``piece`` the head had room for."""
        last = self._head[-1] if self._head else None
        is_new = not isinstance(last, _Text) or last.name != name
        extra = _OUTPUT_BYTES if is_new else 0
        room = self._limit // 2 - self._head_size - extra
        size = size_of(piece)
        if size > room:
            piece = beginning(piece, room)
            size = size_of(piece)
        if piece:
            if is_new:
                last = _Text(name)
                self._head.append(last)
            assert isinstance(last, _Text)  # noqa: S101 - by its name
            last.add(piece)
            self._head_size += size + extra
        return len(piece)

    def _trim(self) -> None:
        """Drop from the tail's front what there is no room for, but no part of a piece."""
        room = self._limit - self._head_size
        while self._tail_size > room:
            first = self._tail[0]
            if isinstance(first, _Whole):
                self._drop(first)
                continue
            size = size_of(first.pieces[0])
            if self._tail_size - size < room:
                return
            first.pieces.popleft()
            self._lose(size)
            if not first.pieces:
                self._tail.popleft()
                self._tail_size -= _OUTPUT_BYTES

    def _trim_exactly(self) -> None:
        excess = self._tail_size - (self._limit - self._head_size)
        if excess > 0 and isinstance(first := self._tail[0], _Text):
            piece = first.pieces[0]
            first.pieces[0] = end_of(piece, size_of(piece) - excess)
            self._lose(size_of(piece) - size_of(first.pieces[0]))

    def _drop(self, entry: _Whole) -> None:
        self._tail.popleft()
        self._tail_size -= entry.size
        if entry.node.output_type == "error" and self._error is None:
            self._error = entry  # the verdict is about it
            return
        _forget(entry)
        self._middle = self._middle.plus(entry.size - _OUTPUT_BYTES, 1)

    def _lose(self, size: int) -> None:
        self._tail_size -= size
        self._middle = self._middle.plus(size)


def _stream_name(entry: _Entry) -> str | None:
    return entry.name if isinstance(entry, _Text) else None


def _forget(entry: _Entry) -> None:
    if isinstance(entry, _Whole) and entry.display is not None:
        entry.display.forget(entry.node)
