"""What a kernel says on IOPub, kept as Jupyter would show it.

https://jupyter-client.readthedocs.io/en/stable/messaging.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbformat import NotebookNode

from pytest_nbci.execution.cutting import MB, size_of
from pytest_nbci.execution.outputs import CellOutputs, Display, Total

# The whole notebook may put out so many times what one cell may; then a cell has this part of it.
NOTEBOOK_LIMITS = 5
_LEAST = 0.01

KINDS = frozenset(
    ("stream", "error", "display_data", "execute_result", "update_display_data", "clear_output")
)


class NotebookOutputs:
    """The outputs of all cells of a notebook.

    Args:
        limit_bytes: How much of one cell's output is kept.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.setting = f"output_limit = {limit_bytes / MB:g} MB"
        self._whole_limit = limit_bytes * NOTEBOOK_LIMITS
        self._spent = 0
        self._shown = Total()
        self._displays: dict[str, Display] = {}
        self._changed: dict[int, Display] = {}

    def begin(self) -> CellOutputs:
        """The outputs of the next cell."""
        left = max(self._whole_limit - self._spent, int(self.limit_bytes * _LEAST))
        if left >= self.limit_bytes:
            return CellOutputs(self.limit_bytes, self.setting)
        whole = f"{self.setting} a cell, {self._whole_limit / MB:g} MB a notebook"
        return CellOutputs(left, whole)

    def take(self, kind: str, content: Mapping[str, Any], to: CellOutputs) -> None:
        """Keep the content of a message of a type that is one of ``KINDS``."""
        match kind:
            case "stream":
                to.add_text(str(content["name"]), str(content["text"]))
            case "error":
                fields = {name: content.get(name) or "" for name in ("ename", "evalue")}
                traceback = list(content.get("traceback") or ())
                to.add(NotebookNode(output_type=kind, **fields, traceback=traceback))
            case "clear_output":
                to.clear(waits=bool(content.get("wait")))
            case "update_display_data":
                self._update(content, to)
            case _:
                self._show(kind, content, to)

    def end(self, outputs: CellOutputs) -> list[NotebookNode]:
        """The outputs of a cell that is done; what earlier cells display is brought up to date."""
        found = outputs.nodes()
        self._spent += outputs.size_bytes
        for display in self._changed.values():
            display.settle()
        self._changed.clear()
        return found

    def _show(self, kind: str, content: Mapping[str, Any], to: CellOutputs) -> None:
        node = NotebookNode(output_type=kind, **_bundle(content))
        if kind == "execute_result":
            node["execution_count"] = content.get("execution_count")
        display_id = _display_id(content)
        if display_id is None:
            to.add(node)
            return
        self._update(content, to)
        known = self._displays.get(display_id)
        display = known or Display(_bundle(content), size_of(content.get("data")), self._shown)
        self._displays[display_id] = display
        to.add(node, display)

    def _update(self, content: Mapping[str, Any], to: CellOutputs) -> None:
        display = self._displays.get(_display_id(content) or "")
        if display is None:
            return
        bundle = _bundle(content)
        shown = size_of(bundle) * len(display.nodes)
        others = self._shown.size_bytes - display.size_bytes * len(display.nodes)
        if shown > self.limit_bytes or (shown and shown + others > self._whole_limit):
            bundle = NotebookNode(data=to.instead_of(bundle["data"]), metadata=NotebookNode())
        display.change(bundle)
        self._changed[id(display)] = display


def _bundle(content: Mapping[str, Any]) -> NotebookNode:
    return NotebookNode(
        data=NotebookNode(content.get("data") or {}),
        metadata=NotebookNode(content.get("metadata") or {}),
    )


def _display_id(content: Mapping[str, Any]) -> str | None:
    found = (content.get("transient") or {}).get("display_id")
    return None if found is None else str(found)
