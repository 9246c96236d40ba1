"""Short ways to notebooks, records and pages for the tests of this folder."""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from typing import Any

from pytest_nbci.pages import render_page
from pytest_nbci.records import Cell, Commit, FailedCell, Failure, Frame, Record

SESSION = "20261024T080132Z-8f3c1d2e-a1b2c3"
COMMIT = Commit(
    id="8f3c1d2e9a7b0000000000000000000000000000",
    author="Aiko Tanaka",
    email="aiko@example.org",
    message="Fit on the October visits\n\nAnd more.",
    branch="october",
    time="2026-10-23T17:20:00+09:00",
)
VOID = {"meta", "link", "img", "br", "hr", "input", "col", "source", "wbr", "path", "area"}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def budget(seconds: float) -> float:
    """What a piece of work may take; coverage makes Python about five times slower."""
    return seconds * 5 if sys.gettrace() is not None else seconds


def code(
    source: str, *outputs: dict[str, Any], tags: list[str] | None = None, **more: Any
) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "source": source,
        "metadata": {"tags": tags} if tags else {},
        "outputs": list(outputs),
        "execution_count": 1,
        **more,
    }


def prose(source: str, tags: list[str] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "cell_type": "markdown",
        "source": source,
        "metadata": {"tags": tags} if tags else {},
        **more,
    }


def stream(text: str, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


def shown(data: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"output_type": "display_data", "data": data, "metadata": metadata}


def error(name: str, value: str, *traceback: str) -> dict[str, Any]:
    return {"output_type": "error", "ename": name, "evalue": value, "traceback": list(traceback)}


def notebook(*cells: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": list(cells)}


def record(**changes: Any) -> Record:
    given: dict[str, Any] = {
        "session": SESSION,
        "project": "clinic/progression",
        "notebook": "notebooks/train.ipynb",
        "outcome": "passed",
        "started_at": "2026-10-24T08:01:32.120+00:00",
        "duration_s": 12.34,
        "commit": COMMIT,
        "reproduce": "pytest --nbci notebooks/train.ipynb",
    }
    return Record(**(given | changes))


def failed_record(
    number: int, *frames: Frame, cells: tuple[Cell, ...] = (), **changes: Any
) -> Record:
    given: dict[str, Any] = {
        "outcome": "failed",
        "cause": "cell_error",
        "message": f"Cell {number} ended with ValueError: no rows.",
        "cure": "Give it rows.",
        "error": Failure("ValueError", "no rows", frames),
        "failed_cell": FailedCell("", number, "load()"),
        "cells": cells,
    }
    return record(**(given | changes))


def page(*cells: dict[str, Any], **changes: Any) -> str:
    return render_page(notebook(*cells), record(**changes))


def main_of(html: str) -> str:
    """The part of a page that shows the notebook."""
    return html[html.index("<main") : html.rindex("</main>")]


class _Strict(HTMLParser):
    """Collects elements and text; complains where tags do not match."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.problems: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if len(dict(attrs)) != len(attrs):
            self.problems.append(f"<{tag}> has an attribute twice")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self.open or self.open[-1] != tag:
            self.problems.append(f"</{tag}> ends {self.open[-3:]}")
            if tag in self.open:
                while self.open.pop() != tag:
                    pass
        else:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if "script" not in self.open and "style" not in self.open:
            self.text.append(data)


class Parsed:
    """An HTML text taken apart."""

    def __init__(self, html: str) -> None:
        parser = _Strict()
        parser.feed(html)
        parser.close()
        self.problems = parser.problems + [f"<{tag}> is never closed" for tag in parser.open]
        self.tags = parser.tags
        self.text = "".join(parser.text)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]
