"""When a kernel is ready: it answers, and what it publishes arrives.

jupyter_client's own wait ends with a pause of 0.2 s, and can lose the first cell's messages: the
subscription to the kernel's output may be made after the first answer.
https://jupyter-client.readthedocs.io/en/stable/messaging.html (kernel info, iopub_welcome)
"""

from __future__ import annotations

import time
from queue import Empty
from typing import Any

_ALIVE_S = 0.05
_JOIN_S = 0.05


class Readiness:
    """Asks a kernel at once; ``wait`` takes the answer.

    Args:
        client: Its channels for requests and for output are started.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._asked = {client.kernel_info()}

    async def wait(self, manager: Any, timeout_s: float) -> None:
        """Wait until the kernel answers and its output arrives.

        Raises:
            RuntimeError: It ended, or did not answer in time.
        """
        client = self._client
        deadline = time.monotonic() + timeout_s
        is_answered = is_heard = False
        patience_s = 0.0  # a kernel that was asked long ago has nothing more to say
        while not (is_answered and is_heard):
            if not await manager.is_alive():
                raise RuntimeError("it ended before it answered")
            if time.monotonic() > deadline:
                raise RuntimeError("it did not answer")
            if not is_answered:
                try:
                    message = await client.shell_channel.get_msg(timeout=_ALIVE_S)
                except Empty:
                    continue
                is_answered = message["msg_type"] == "kernel_info_reply"
                if is_answered:
                    client._handle_kernel_info_reply(message)  # noqa: SLF001 - its version counts
                continue
            try:
                message = await client.iopub_channel.get_msg(timeout=patience_s)
            except Empty:
                self._asked.add(client.kernel_info())
                patience_s = _JOIN_S
                continue
            parent = message["parent_header"].get("msg_id")
            is_heard = message["msg_type"] == "iopub_welcome" or parent in self._asked
