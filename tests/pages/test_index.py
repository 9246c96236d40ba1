"""The list of a session: failures first, links that work from a folder and from a server."""

from __future__ import annotations

import re

import pytest

from pytest_nbci.pages import render_index
from pytest_nbci.pages.index import page_link
from pytest_nbci.records import Planned, Session, Summary
from tests.pages.builders import COMMIT, SESSION, Parsed, failed_record, record


def index(*records: object, **changes: object) -> str:
    given = {
        "session": SESSION,
        "project": "clinic/progression",
        "complete": True,
        "commit": COMMIT,
        **changes,
    }
    return render_index(Session(**given), list(records))  # type: ignore[arg-type]


def test_failures_come_first():
    html = index(
        record(notebook="a.ipynb"),
        failed_record(1, notebook="z.ipynb"),
        record(notebook="b.ipynb", outcome="skipped", skip_reason="needs a GPU"),
        record(notebook="y.ipynb", outcome="error", message="The fixture failed."),
    )
    parsed = Parsed(html)
    assert parsed.problems == []
    links = [link["href"] for link in parsed.all("a")]
    assert links == ["z.ipynb.html", "y.ipynb.html", "a.ipynb.html", "b.ipynb.html"]
    text = re.sub(r"\s+", " ", parsed.text)
    for said in (
        "2 of 3 notebooks failed",
        "Cell 1 ended with ValueError: no rows.",
        "needs a GPU",
        "1 failed",
        "1 passed",
    ):
        assert said in text, said


@pytest.mark.parametrize(
    ("notebook", "link"),
    [
        ("a/b.ipynb", "a/b.ipynb.html"),
        ("日本 語/#1?.ipynb", "%E6%97%A5%E6%9C%AC%20%E8%AA%9E/%231%3F.ipynb.html"),
        ("javascript:x.ipynb", "javascript%3Ax.ipynb.html"),
        ("//evil/x.ipynb", ".///evil/x.ipynb.html"),
        ('"><b>.ipynb', "%22%3E%3Cb%3E.ipynb.html"),
        ("\udce9.ipynb", "%E9.ipynb.html"),
    ],
)
def test_links_are_relative_and_quoted(notebook: str, link: str):
    assert page_link(notebook) == link
    assert f'href="{link}"' in index(record(notebook=notebook))


def test_what_has_no_record_is_listed_too():
    html = index(
        plan=(
            Planned("due.ipynb", True),
            Planned("same.ipynb", False, "passed with the same inputs"),
        ),
        results=(Summary("lost.ipynb", "lost", "killed", "The session was killed.", 3.0),),
        complete=False,
    )
    text = re.sub(r"\s+", " ", Parsed(html).text)
    for said in (
        "has not ended",
        "No result due",
        "Not due same.ipynb passed with the same inputs",
        "The session was killed.",
    ):
        assert said in text, said


def test_an_empty_session_has_a_page():
    assert "No notebook ran" in index()
    assert "The notebook passed" in index(record())
    assert "All 2 notebooks passed" in index(record(), record(notebook="b.ipynb"))


def test_five_thousand_notebooks_are_listed_quickly():
    html = index(*(record(notebook=f"folder/{n}.ipynb") for n in range(5000)))
    assert html.count('href="folder/') == 5000
