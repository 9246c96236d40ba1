"""nbclient's client with a deadline for the whole notebook; it reads as fast as a kernel writes."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

import zmq
from nbclient.client import NotebookClient
from nbclient.output_widget import OutputWidget
from nbformat import NotebookNode

from pytest_nbci.execution.cutting import megabytes, shorten_error, size_of
from pytest_nbci.execution.kernel import NATIVE
from pytest_nbci.execution.messages import KINDS, NotebookOutputs
from pytest_nbci.execution.outputs import ERROR_PART, CellOutputs
from pytest_nbci.execution.trace import Execution, Stop

# The wait for a cell's last outputs after its reply; nbclient's 4 s are short for big figures.
LAST_OUTPUTS_S = 60
# Timeouts and the kernel's end are looked for so often while messages come without a pause.
_TURN_S = 0.02
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
            timeout_func=lambda _: self.limit()[0],
            allow_errors=True,
            iopub_timeout=LAST_OUTPUTS_S,
            store_widget_state=True,
            record_timing=False,
        )
        self.kc = execution.kernel.client
        # Nobody can answer: input() and debuggers are an error at once instead of a hang.
        self.kc.allow_stdin = False
        self.reset_execution_trackers()
        self.widget_registry = {"@jupyter-widgets/output": {"OutputModel": _OutputWidget}}
        self.reply: Mapping[str, Any] = {}
        self.is_idle = False
        self.on_cell_executed = self._keep_reply
        self.kept = NotebookOutputs(execution.output_limit_bytes)
        self._cell_limit = execution.cell_timeout_s
        self._deadline = time.monotonic() + execution.timeout_s
        self._cell = NotebookNode()
        self._outputs = self.kept.begin()
        self._request = ""
        # zmq's own asyncio socket makes several futures for each message.
        self._socket: Any = zmq.Socket.shadow(self.kc.iopub_channel.socket.underlying)
        if execution.kernel.choice.name == NATIVE:
            self._socket.setsockopt(zmq.RCVHWM, _MESSAGES)

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
            self._take_what_is_there()
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

    def _keep_reply(self, execute_reply: Mapping[str, Any], **_: Any) -> None:
        self.reply = dict(execute_reply["content"])
        fields = {name: self.reply.get(name) for name in ("ename", "evalue", "traceback")}
        if self.reply.get("status") == "error":
            shorten_error(fields, self.kept.limit_bytes // ERROR_PART, self.kept.setting)
            self.reply.update(fields)

    async def _async_poll_output_msg(
        self,
        parent_msg_id: str,
        cell: NotebookNode,  # noqa: ARG002 - nbclient's protocol
        cell_index: int,  # noqa: ARG002 - the same
    ) -> None:
        """Take messages until the cell is done; nbclient's own wakes up for each one."""
        self._request = parent_msg_id
        while True:
            until = time.monotonic() + _TURN_S
            while not self.is_idle and time.monotonic() < until and self._take_next():
                pass
            if self.is_idle:
                return
            if time.monotonic() < until:
                await self.kc.iopub_channel.socket.poll()
            else:
                await asyncio.sleep(0)

    def _take_what_is_there(self) -> None:
        """What had arrived when the kernel died, or the time was up."""
        until = time.monotonic() + _TURN_S
        while not self.is_idle and time.monotonic() < until and self._take_next():
            pass

    def _take_next(self) -> bool:
        """Take a message that has arrived; False where none has."""
        try:
            frames = self._socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return False
        # The signature is not looked at: the socket is a file in a folder of ours.
        start = frames.index(_DELIMITER) + 2
        header, parent, _, content, *buffers = frames[start:]
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


def _loads(data: bytes) -> Any:
    return json.loads(data.decode("utf-8", "replace"))
