"""Runs inside a Python kernel of ours: it ends, and no later than it must.

Executed as a text with ``kernel`` defined, as kernel_output.py is.
"""

# ruff: noqa: SLF001 - ipykernel has no public way to it
import contextlib
import os
from collections.abc import Callable
from typing import Any

import zmq

_LOOK_MS = 20


def look_for_children_only_where_there_are_any(kernel: Any) -> None:
    """At its end a kernel ends its children, for which it reads of every process there is."""
    children = kernel._process_children

    def process_children() -> Any:
        with contextlib.suppress(AttributeError):  # macOS has no waitid
            try:
                os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return []
        return children()

    kernel._process_children = process_children


def wait_for_no_thread_that_has_ended(thread: Any) -> None:
    """What is told to the output thread as it ends is dropped.

    ipykernel looks whether it lives, then waits until it takes the signal: for good, where it ended
    between the two. https://github.com/ipython/ipykernel/blob/main/ipykernel/iostream.py (schedule)
    """

    def schedule(call: Callable[[], Any]) -> None:
        if not thread.thread.is_alive():
            call()
            return
        thread._events.append(call)
        pipe = thread._event_pipe
        while True:
            try:
                pipe.send(b"", zmq.NOBLOCK)
            except zmq.Again:
                if not thread.thread.is_alive():
                    return
                pipe.poll(_LOOK_MS, zmq.POLLOUT)
            else:
                return

    thread.schedule = schedule


look_for_children_only_where_there_are_any(globals()["kernel"])
wait_for_no_thread_that_has_ended(globals()["kernel"].iopub_thread)
