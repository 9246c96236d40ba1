"""A server that writes down whoever calls it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class Listener:
    """A server on 127.0.0.1: ``calls`` are all connections, with the path where one was asked."""

    port: int
    calls: list[str] = field(default_factory=list)
    pages: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def leaks(self) -> list[str]:
        own = {f"GET {path}" for path in self.pages}
        return [call for call in self.calls if call not in own]


@pytest.fixture
def listener() -> Iterator[Listener]:
    found: Listener

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.calls.append(f"{self.command} {self.path}")
            body = found.pages.get(self.path, "").encode()
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_HEAD = do_OPTIONS = do_GET

        def log_message(self, *arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A browser that hangs up is no error of the test."""

    with Server(("127.0.0.1", 0), Handler) as server:
        found = Listener(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()
