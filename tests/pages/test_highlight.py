"""Code is shown character by character, each line with whole tags."""

from __future__ import annotations

import html
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_nbci.pages.highlight import code_lines
from pytest_nbci.pages.text import straight
from tests.pages.builders import Parsed, budget


def text_of(lines: list[str]) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", "\n".join(lines)))


def test_python_has_its_colours():
    source = (
        "@app.get\nclass A(B):\n    def f(self, x=1.5e-3):\n        return f'{x!r} ok' if x < 1 else len(x)  # why\n"
        '"""one\ntwo"""\n%matplotlib inline\nx.max()'
    )
    lines = code_lines(source, "python")
    assert text_of(lines) == source
    for found in (
        '<span class="nd">@app.get</span>',
        '<span class="nc">A</span>',
        '<span class="nf">f</span>',
        '<span class="bp">self</span>',
        '<span class="mi">1.5e-3</span>',
        '<span class="si">{x!r}</span>',
        '<span class="nb">len</span>',
        '<span class="c1"># why</span>',
        '<span class="s1">two"""</span>',
        '<span class="nd">%matplotlib inline</span>',
        "x.max()",
    ):
        assert found in "\n".join(lines), found


@pytest.mark.parametrize(
    "language", ["r", "julia", "bash", "sql", "javascript", "c++", "no-such-language"]
)
def test_other_languages_keep_every_character(language: str):
    source = "\n\n  x <- function(a) { b } # <c>\n\ty = 'é'\n\n"
    assert text_of(code_lines(source, language)) == source


def test_a_very_long_cell_is_shown_plain_and_quickly():
    start = time.process_time()
    lines = code_lines("x <- c(1, 2)\n" * 100_000, "r")
    assert time.process_time() - start < budget(2)
    assert len(lines) == 100_001


PYTHON = st.text(st.sampled_from("ab 1.e\"'\\\n#@%!?(){}<>&fr_é\t="), max_size=80)


@given(PYTHON | st.text(st.characters(exclude_characters="\r", categories=None), max_size=40))
def test_no_character_of_python_is_lost(source: str):
    lines = code_lines(source, "python")
    assert text_of(lines) == straight(source)
    for line in lines:
        assert Parsed(line).problems == []


@pytest.mark.parametrize(
    "unit", ['"', '"""', "f'{", "\\", "#", "@a", "%", "a.", "1e", "x ", "(", "a?", "!", "é"]
)
def test_time_is_linear_in_the_length(unit: str):
    start = time.process_time()
    code_lines(unit * (150_000 // len(unit)), "python")
    assert time.process_time() - start < budget(2)
