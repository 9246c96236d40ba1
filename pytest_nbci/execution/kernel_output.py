"""Runs inside a Python kernel of ours: what it puts out neither piles up there nor gets lost.

As ipykernel does it, output that nobody has fetched yet piles up without bound in the kernel and
is dropped without a word above a number of messages; IPython keeps a copy of all of it. A lone
surrogate loses what was printed around it. What a subprocess writes is decoded in blocks of 1,000
bytes, which breaks characters, and its end is lost where the cell ends sooner. Here a full queue
holds the notebook up, and nothing is lost.

Executed as a text with ``kernel`` defined, so that the notebook's modules stay its own.
"""

# ruff: noqa: SLF001 - ipykernel has no public way to any of this
import codecs
import contextlib
import fcntl
import json
import os
import select
import struct
import sys
import termios
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import zmq
from ipykernel.iostream import OutStream
from jupyter_client.jsonutil import json_default

# Messages that may wait on our side of the socket. Text goes in pieces, so this is a size, too.
_MESSAGES = 16
_PIECE_CHARACTERS = 250_000
_BIG_BYTES = 1_000_000
_READ_BYTES = 1 << 16
# The kernel's own stderr is a file, to which ipykernel copies what comes from file descriptors.
_FILE_BYTES = 4_000_000
_LAST_OUTPUT_S = 2.0

_write = OutStream.write
_flush = OutStream.flush
_send_buffers = OutStream._flush


def write(stream: Any, string: Any) -> Any:
    """``OutStream.write``, which waits for the queue once a piece is full."""
    if isinstance(string, str) and len(string) > _PIECE_CHARACTERS:
        for start in range(0, len(string), _PIECE_CHARACTERS):
            write(stream, string[start : start + _PIECE_CHARACTERS])
        return len(string)
    written = _write(stream, string)
    unsent = getattr(stream, "_nbci_unsent", 0) + (written or 0)
    stream._nbci_unsent = unsent % _PIECE_CHARACTERS
    if unsent >= _PIECE_CHARACTERS:
        stream.flush()
    return written


def flush(stream: Any) -> None:
    """``OutStream.flush``; it waits for another thread, though there be nothing to send."""
    # In this order: the other thread says that it is sending before it takes the buffers.
    if stream._buffers or getattr(stream, "_nbci_is_sending", False):
        _flush(stream)


def send_buffers(stream: Any) -> None:
    """``OutStream._flush``, which takes the buffers before their messages are in the queue."""
    stream._nbci_is_sending = True
    try:
        _send_buffers(stream)
    finally:
        stream._nbci_is_sending = False


class _Forgetful(defaultdict[int, list[Any]]):
    """IPython's copy of all outputs, for ``%notebook``; it would hold a flood forever."""

    def __missing__(self, key: int) -> list[Any]:
        return []

    def setdefault(self, key: int, default: Any = None) -> Any:  # noqa: ARG002 - dict's own
        return default


def hold_up_when_full(thread: Any) -> None:
    """Make a full queue wait for its reader (ZMQ_XPUB_NODROP in zmq_setsockopt(3)).

    A message of many MB waits until it is sent, or a loop would queue a thousand figures.
    """
    thread.socket.setsockopt(zmq.SNDHWM, _MESSAGES)
    thread.socket.setsockopt(zmq.XPUB_NODROP, 1)
    send = thread.send_multipart

    def send_multipart(message: Any, *args: Any, **kwargs: Any) -> None:
        send(message, *args, **kwargs)
        is_big = sum(map(len, message)) > _BIG_BYTES
        if is_big and thread.thread.is_alive() and threading.current_thread() is not thread.thread:
            sent = threading.Event()
            thread.schedule(sent.set)
            sent.wait(OutStream.flush_timeout)

    thread.send_multipart = send_multipart


def open_event_pipes(kernel: Any) -> None:
    """Each thread that puts something out has a socket for it, else made at its first output.

    By then the notebook may have left no file descriptor for it, and the thread would end.
    """
    thread = kernel.iopub_thread
    thread.schedule(lambda: thread._event_pipe)
    if kernel.control_thread is not None:
        kernel.control_thread.io_loop.add_callback(lambda: thread._event_pipe)


def keep_lone_surrogates(session: Any) -> None:
    """They are no UTF-8, but JSON has an escape for them."""
    pack: Callable[[Any], bytes] = session.pack

    def pack_any(value: Any) -> bytes:
        try:
            text = json.dumps(value, default=json_default, ensure_ascii=False, allow_nan=False)
            return text.encode()
        except UnicodeEncodeError:
            return json.dumps(value, default=json_default, allow_nan=False).encode()
        except (TypeError, ValueError):
            return pack(value)

    session.pack = pack_any


class Watcher:
    """Reads what other than Python code writes to the file descriptor of ``stream``."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._copied = 0
        # As OutStream.close does it.
        stream._should_watch = False
        os.write(stream._original_stdstream_fd, b"\0")
        stream.watch_fd_thread.join()
        stream._should_watch = True
        stream.watch_fd_thread = threading.Thread(target=self._watch, daemon=True)
        stream.watch_fd_thread.start()

    def _watch(self) -> None:
        stream, decoder = self._stream, codecs.getincrementaldecoder("utf-8")("replace")
        _ = stream.pub_thread._event_pipe  # as open_event_pipes does it
        while True:
            select.select([stream._fid], [], [])
            with self._lock:
                data = os.read(stream._fid, _READ_BYTES)
                if not data or not stream._should_watch:
                    return
                self._copy(data)
                stream.write(decoder.decode(data))

    def _copy(self, data: bytes) -> None:
        """Copy to the kernel's own stderr, of which only the end is ever read."""
        file = self._stream._original_stdstream_copy
        self._copied += len(data)
        with contextlib.suppress(OSError):  # a full disk; the notebook's own output goes on
            if self._copied > _FILE_BYTES:
                os.lseek(file, 0, os.SEEK_SET)
                os.ftruncate(file, 0)
                self._copied = 0
            os.write(file, data)

    def wait(self, *_: Any) -> None:
        """Wait until all is read that was written before the cell's end."""
        until = time.monotonic() + _LAST_OUTPUT_S
        while time.monotonic() < until:
            with self._lock:
                waiting = fcntl.ioctl(self._stream._fid, termios.FIONREAD, bytes(4))
            if struct.unpack("i", waiting)[0] == 0:
                return
            time.sleep(0.001)


def prepare(kernel: Any) -> None:
    """All of it for one kernel."""
    shell = kernel.shell
    hold_up_when_full(kernel.iopub_thread)
    open_event_pipes(kernel)
    keep_lone_surrogates(kernel.session)
    kernel._execute_sleep = 0  # hides that output may be late, and here none is
    shell.history_manager.outputs = _Forgetful()
    shell._tee = lambda channel: contextlib.nullcontext()  # noqa: ARG005 - it fills that copy
    OutStream.write, OutStream.flush, OutStream._flush = write, flush, send_buffers
    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, OutStream)]

    def first_cell(*_: Any) -> None:
        shell.events.unregister("pre_execute", first_cell)
        for stream in streams:  # the _tee around this code leaves the former method there
            vars(stream).pop("write", None)

    shell.events.register("pre_execute", first_cell)
    for stream in streams:
        if stream._should_watch:
            shell.events.register("post_run_cell", Watcher(stream).wait)


prepare(globals()["kernel"])
