"""Whatever a notebook and its record hold, there is a page, and it is HTML that a browser reads as meant."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_nbci.pages import render_index, render_page
from pytest_nbci.pages.text import printable
from pytest_nbci.records import Cell, Commit, FailedCell, Failure, Frame, Record, Session
from tests.pages.builders import Parsed, code, main_of, notebook, record, stream

ANYTHING = st.characters(categories=None)  # surrogates and controls too
TEXT = st.one_of(
    st.text(ANYTHING, max_size=30),
    st.sampled_from(
        [
            "<script>x</script>",
            "</pre>",
            "-->",
            "]]>",
            "&lt;",
            '"',
            "'><b>",
            "{{ 7 * 7 }}",
            "{% x %}",
            "\x1b[31m",
            "$x$",
            "\u202e",
            "\ud800",
            "\x00",
        ]
    ),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT),
    lambda children: st.one_of(
        st.lists(children, max_size=4), st.dictionaries(TEXT, children, max_size=4)
    ),
    max_leaves=8,
)
KINDS = st.one_of(
    st.sampled_from(
        [
            "text/plain",
            "text/html",
            "text/markdown",
            "text/latex",
            "image/png",
            "image/svg+xml",
            "application/json",
            "application/pdf",
            "application/javascript",
            "application/vnd.plotly.v1+json",
            "application/vnd.vegalite.v5+json",
            "application/vnd.jupyter.widget-view+json",
        ]
    ),
    TEXT,
)
OUTPUT = st.one_of(
    JSON,
    st.fixed_dictionaries(
        {
            "output_type": st.just("stream"),
            "name": st.one_of(st.sampled_from(["stdout", "stderr"]), TEXT),
            "text": JSON,
        }
    ),
    st.fixed_dictionaries(
        {
            "output_type": st.sampled_from(["display_data", "execute_result"]),
            "data": st.dictionaries(KINDS, JSON, max_size=3),
            "metadata": JSON,
        }
    ),
    st.fixed_dictionaries(
        {"output_type": st.just("error"), "ename": JSON, "evalue": JSON, "traceback": JSON}
    ),
)
TAGS = st.lists(
    st.one_of(
        st.sampled_from(["remove-cell", "hide-input", "injected-parameters", "raises-exception"]),
        TEXT,
    ),
    max_size=2,
)
CELL = st.one_of(
    JSON,
    st.fixed_dictionaries(
        {"cell_type": st.sampled_from(["code", "markdown", "raw", "heading"])},
        optional={
            "source": st.one_of(TEXT, JSON),
            "outputs": st.one_of(st.lists(OUTPUT, max_size=3), JSON),
            "id": JSON,
            "attachments": JSON,
            "metadata": st.one_of(st.fixed_dictionaries({"tags": TAGS}), JSON),
        },
    ),
)
NUMBERS = st.one_of(st.none(), st.integers(0, 5))
RECORD = st.builds(
    Record,
    session=TEXT,
    project=TEXT,
    notebook=TEXT,
    outcome=st.one_of(st.sampled_from(["passed", "failed", "error", "lost", "skipped"]), TEXT),
    cause=st.none() | TEXT,
    message=TEXT,
    cure=TEXT,
    error=st.none()
    | st.builds(
        Failure,
        TEXT,
        TEXT,
        st.lists(
            st.builds(
                Frame, st.sampled_from(["cell 1", "x"]) | TEXT, st.integers(-3, 5), TEXT, TEXT
            ),
            max_size=2,
        ).map(tuple),
    ),
    stderr_tail=TEXT,
    skip_reason=st.none() | TEXT,
    started_at=TEXT,
    duration_s=st.floats(),
    cells=st.lists(
        st.builds(
            Cell,
            TEXT,
            NUMBERS,
            NUMBERS,
            st.none() | st.floats(),
            st.sampled_from(["passed", "failed", "not run", "\x1f"]) | TEXT,
        ),
        max_size=3,
    ).map(tuple),
    failed_cell=st.none() | st.builds(FailedCell, TEXT, NUMBERS, TEXT),
    commit=st.none() | st.builds(Commit, TEXT, TEXT, TEXT, TEXT, st.none() | TEXT, TEXT),
    job=st.dictionaries(TEXT | st.just("url"), JSON, max_size=2),
    parameters=st.dictionaries(TEXT, JSON, max_size=2),
    environment=st.dictionaries(TEXT, JSON, max_size=2),
    inputs=st.lists(st.dictionaries(TEXT, JSON, max_size=2), max_size=2).map(tuple),
    reproduce=TEXT,
    warnings=st.lists(TEXT, max_size=2).map(tuple),
    kept=st.lists(JSON, max_size=2).map(tuple),
)
QUIET = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def check(html: str) -> Parsed:
    html.encode("utf-8")
    assert FORBIDDEN.search(html) is None
    parsed = Parsed(html)
    assert parsed.problems == []
    executed = [script for script in parsed.all("script") if not script]
    assert len(executed) <= 1
    for tag, attributes in parsed.tags:
        assert tag not in {"iframe", "object", "embed", "form", "base"}
        assert not [name for name in attributes if name.startswith("on")]
        target = str(attributes.get("href") or "")
        assert not re.match(r"\s*(javascript|vbscript):", target, re.IGNORECASE)
        assert tag == "a" or not target or target.startswith("data:image/svg+xml,%3Csvg")
        source = str(attributes.get("src") or "data:")
        assert source.startswith("data:")
    return parsed


@QUIET
@given(
    st.fixed_dictionaries(
        {"cells": st.lists(CELL, max_size=4) | JSON}, optional={"metadata": JSON}
    ),
    RECORD,
)
def test_every_notebook_has_a_valid_page(nb: dict[str, Any], given_record: Record):
    check(render_page(nb, given_record))


@settings(QUIET, max_examples=40)
@given(st.lists(RECORD, max_size=3), TEXT)
def test_every_session_has_a_valid_index(records: list[Record], text: str):
    check(
        render_index(Session(session=text, project=text, started_at=text, pipeline=text), records)
    )


@QUIET
@given(
    st.text(ANYTHING, max_size=60),
    st.text(st.characters(exclude_characters="\x1b\r\b", categories=None), max_size=60),
)
def test_source_and_text_are_shown_character_by_character(source: str, text: str):
    html = render_page(notebook(code(source, stream(text))), record())
    shown = Parsed(main_of(html)).text
    meant = printable(text.removesuffix("\n"))
    if meant.strip():
        assert meant in shown
    for line in source.splitlines():
        if line.isalnum() and line.isascii():
            assert line in shown
