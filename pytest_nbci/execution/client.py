"""nbclient's client with a deadline for the whole notebook; it reads as fast as a kernel writes.

nbclient keeps the widgets and the hooks of their outputs; how a cell is waited for is ours: its own
way takes three tasks and a dozen wake-ups for each cell, and half the time of a short one.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Mapping
from typing import Any

import zmq
from nbclient.client import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbclient.output_widget import OutputWidget
from nbformat import NotebookNode

from pytest_nbci.execution.cutting import megabytes, shorten_error, size_of
from pytest_nbci.execution.kernel import NATIVE
from pytest_nbci.execution.messages import KINDS, NotebookOutputs
from pytest_nbci.execution.outputs import ERROR_PART, CellOutputs
from pytest_nbci.execution.trace import Execution, Stop

# The wait for a cell's last outputs after its reply; nbclient's 4 s are short for big figures.
_LAST_OUTPUTS_S = 60
# Timeouts, interruptions and the kernel's end are looked for so often: while messages come without
# a pause, and while none comes.
_TURN_S = 0.02
_PAUSE_S = 0.05
# Messages that may wait on our side of the socket, where the kernel waits for us.
_MESSAGES = 16
# https://jupyter-client.readthedocs.io/en/stable/messaging.html#the-wire-protocol
_DELIMITER = b"<IDS|MSG>"


class Client(NotebookClient):  # type: ignore[misc]
    """Runs cells for the engine, and keeps their outputs, replies and widgets."""

    def __init__(self, content: NotebookNode, execution: Execution) -> None:
        super().__init__(
            content,
            km=execution.kernel.manager,
            store_widget_state=True,
        )
        self.kc = execution.kernel.client
        # Nobody can answer: input() and debuggers are an error at once instead of a hang.
        self.kc.allow_stdin = False
        self.reset_execution_trackers()
        self.widget_registry = {"@jupyter-widgets/output": {"OutputModel": _OutputWidget}}
        self.reply: Mapping[str, Any] = {}
        self.is_idle = False
        self.kept = NotebookOutputs(execution.output_limit_bytes)
        self._cell_limit = execution.cell_timeout_s
        self._deadline = time.monotonic() + execution.timeout_s
        self._cell = NotebookNode()
        self._outputs = self.kept.begin()
        self._request = ""
        # zmq's own asyncio socket makes several futures for each message.
        self._published: Any = zmq.Socket.shadow(self.kc.iopub_channel.socket.underlying)
        self._shell: Any = zmq.Socket.shadow(self.kc.shell_channel.socket.underlying)
        self._poller = zmq.Poller()
        self._poller.register(self._published, zmq.POLLIN)
        self._poller.register(self._shell, zmq.POLLIN)
        if execution.kernel.choice.name == NATIVE:
            self._published.setsockopt(zmq.RCVHWM, _MESSAGES)

    def limit(self) -> tuple[float, Stop]:
        """Seconds that the next cell may take, and which limit that is."""
        left = max(self._deadline - time.monotonic(), 0.001)
        if self._cell_limit is not None and self._cell_limit < left:
            return self._cell_limit, "cell_timeout"
        return left, "timeout"

    def begin_cell(self, cell: NotebookNode) -> None:
        """Forget the last cell."""
        self._cell, self._outputs, self._request = cell, self.kept.begin(), ""
        self.reply, self.is_idle = {}, False

    def end_cell(self) -> str:
        """Give the cell its outputs.

        Returns:
            What is missing among them, in words; empty where nothing is.
        """
        if self._request and not self.is_idle:
            self._take_outputs()  # what had arrived when the kernel died, or the time was up
        for widget in self.comm_objects.values():
            widget.settle(self.widget_state)
        self._cell["outputs"] = self.kept.end(self._outputs)
        left_out, setting = self._outputs.left_out, self._outputs.setting
        self._outputs = self.kept.begin()  # a second copy of the cell's output is not needed
        return f"{left_out} ({setting})" if any(vars(left_out).values()) else ""

    def end_notebook(self) -> str:
        """Store the states of the widgets, for the page; what is missing, as in ``end_cell``."""
        size = size_of(self.widget_state) + size_of(
            [list(buffers.values()) for buffers in self.widget_buffers.values()]
        )
        if size > self.kept.limit_bytes:
            return f"{megabytes(size)} of widget states ({self.kept.setting})"
        self.set_widgets_metadata()
        return ""

    async def run_cell(self, source: str) -> None:
        """Have the kernel run ``source``, and take what comes of it until the kernel is done.

        Raises:
            CellTimeoutError: Its limit is over.
            DeadKernelError: The kernel ended.
        """
        limit_s = self.limit()[0]
        until = time.monotonic() + limit_s
        self._request = self.kc.execute(source, stop_on_error=False)
        is_dead = False
        while not (self.reply and self.is_idle):
            had_reply = bool(self.reply)
            # The reply first: a cell that ended in time is no timeout while its flood still comes.
            if any([self._take_reply(), self._take_outputs()]):
                is_dead = False
            elif not self._wait(math.ceil(min(_PAUSE_S, limit_s) * 1000)):
                if is_dead:  # and what it sent before has arrived
                    raise DeadKernelError("Kernel died")
                is_dead = not await self.km.is_alive()
            await asyncio.sleep(0)  # an interruption cancels this task
            if self.reply and not had_reply:
                until = time.monotonic() + min(limit_s, _LAST_OUTPUTS_S)
            if time.monotonic() > until:
                if self.reply:
                    return
                raise CellTimeoutError("The limit of the cell is over")

    def _wait(self, milliseconds: int) -> bool:
        """Wait for what is still to come; what is put out after a cell's end is left alone."""
        awaited = self._shell if self.is_idle else self._poller
        return bool(awaited.poll(milliseconds))

    def _take_reply(self) -> bool:
        """Take an answer that has arrived; False where none has."""
        parts = _receive(self._shell)
        if parts is None:
            return False
        _, parent, content, _ = parts
        if self._request.encode() in parent:
            self._keep_reply(_loads(content))
        return True

    def _keep_reply(self, content: dict[str, Any]) -> None:
        self.reply = content
        fields = {name: self.reply.get(name) for name in ("ename", "evalue", "traceback")}
        if self.reply.get("status") == "error":
            shorten_error(fields, self.kept.limit_bytes // ERROR_PART, self.kept.setting)
            self.reply.update(fields)

    def _take_outputs(self) -> bool:
        """Take messages that have arrived, for a turn at most; False where none has."""
        until = time.monotonic() + _TURN_S
        count = 0
        while not self.is_idle and time.monotonic() < until and self._take_next():
            count += 1
        return count > 0

    def _take_next(self) -> bool:
        """Take a message that has arrived; False where none has."""
        parts = _receive(self._published)
        if parts is None:
            return False
        header, parent, content, buffers = parts
        # Compared before anything is parsed: of another cell's flood, nothing is needed.
        if self._request.encode() in parent:
            message = {
                "header": _loads(header),
                "parent_header": _loads(parent),
                "content": _loads(content),
                "buffers": buffers,
            }
            message["msg_type"] = message["header"]["msg_type"]
            self._take(message)
        return True

    def _take(self, message: dict[str, Any]) -> None:
        kind, content = message["msg_type"], message["content"]
        if kind == "status":
            self.is_idle = content["execution_state"] == "idle"
        elif kind.startswith("comm_"):
            self.handle_comm_msg(self._cell["outputs"], message, 0)
        elif kind in KINDS:
            hooks = self.output_hook_stack[self._request]
            if hooks:
                hooks[-1].begin(message["parent_header"])
            self.kept.take(kind, content, hooks[-1].kept if hooks else self._outputs)
        if "execution_count" in content:
            self._cell["execution_count"] = content["execution_count"]


class _OutputWidget(OutputWidget):  # type: ignore[misc]
    """An Output widget: it holds outputs as a cell does.

    Kernel and page are told at the end of the cell; a kernel that runs a cell hears it no sooner.
    """

    def __init__(self, comm_id: str, state: dict[str, Any], kernel: Any, executor: Client) -> None:
        super().__init__(comm_id, state, kernel, executor)
        self.msg_id = ""
        self.parent_header: Mapping[str, Any] = {}
        self.kept: CellOutputs = executor.kept.begin()
        self._has_changed = False

    def begin(self, parent_header: Mapping[str, Any]) -> None:
        """An output comes."""
        self.parent_header = parent_header
        self._has_changed = True

    def set_state(self, state: dict[str, Any]) -> None:
        """What the kernel says of the widget; it may give outputs itself (``append_stdout``)."""
        if "outputs" in state:
            self.kept.clear(waits=False)
            for output in state["outputs"]:
                if output["output_type"] == "stream":
                    self.kept.add_text(output["name"], output["text"])
                else:
                    self.kept.add(NotebookNode(output))
        super().set_state(state)

    def settle(self, states: Mapping[str, dict[str, Any]]) -> None:
        """Tell the kernel and the page's state what the widget shows."""
        if self._has_changed:
            self.outputs = states[self.comm_id]["outputs"] = self.kept.nodes()
            self.sync_state()
            self._has_changed = False


def _receive(channel: Any) -> tuple[bytes, bytes, bytes, list[bytes]] | None:
    """Header, parent's header, content and buffers of a message; None where none has arrived.

    The signature is not looked at: the socket is a file in a folder of ours.
    """
    try:
        frames = channel.recv_multipart(zmq.NOBLOCK)
    except zmq.Again:
        return None
    start = frames.index(_DELIMITER) + 2
    header, parent, _, content, *buffers = frames[start:]
    return header, parent, content, buffers


def _loads(data: bytes) -> Any:
    return json.loads(data.decode("utf-8", "replace"))
