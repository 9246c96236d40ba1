"""A notebook's style sheet reaches the output it came with, and nothing else."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_nbci.pages import css
from tests.pages.builders import budget


def scoped(text: str) -> str:
    return css.scoped(text, "o1", "p-")


def test_pandas_styler_keeps_its_colours():
    sheet = (
        "#T_a1_row0_col1, #T_a1_row1_col0 {\n  background-color: #f7fcf5;\n  color: #000000;\n}\n"
        "#T_a1 th.col_heading:hover { font-weight: bold }"
    )
    assert scoped(sheet) == (
        "#o1 #p-T_a1_row0_col1,#o1 #p-T_a1_row1_col0{background-color:#f7fcf5;color:#000000}\n"
        "#o1 #p-T_a1 th.p-col_heading:hover{font-weight:bold}\n"
    )


def test_pandas_plain_table_rules_are_kept():
    assert "#o1 .p-dataframe tbody tr th:only-of-type{vertical-align:middle}" in scoped(
        ".dataframe tbody tr th:only-of-type { vertical-align: middle; }"
    )


def test_a_media_query_is_kept_with_its_rules():
    assert scoped("@media (prefers-color-scheme: dark) { .a { color: white } }") == (
        "@media (prefers-color-scheme: dark){#o1 .p-a{color:white}\n}"
    )


def test_the_document_means_the_output():
    assert scoped("body { color: red } :root { --x: 1px }") == "#o1{color:red}\n#o1{--x:1px}\n"


@pytest.mark.parametrize(
    "rule",
    [
        "@import 'http://x/y.css';",
        "@import url(http://x/y.css);",
        "@font-face { font-family: x; src: url(http://x) }",
        "a { background: url(http://x) }",
        "a { background: URL('http://x') }",
        r"a { background: u\72l(http://x) }",
        "a { background: image-set('http://x' 1x) }",
        "a { background: -webkit-image-set('http://x' 1x) }",
        "a { color: red; } </style><script>alert(1)</script>".replace("a { color: red; } ", "b "),
        "a { behavior: url(x) }",
        "a { color: expression(alert(1)) }",
        r"\61 { color: red }",
        "a[href^='</style>'] { color: red }",
        "* { content: '</style>' }",
        "a::part(x) { color: red }",
        ":has(a) { color: red }",
        "@layer x { a { color: red } }",
        "a { color: red",
    ],
)
def test_what_could_load_or_leave_is_dropped(rule: str):
    assert scoped(rule) == ""


def test_a_bad_declaration_leaves_its_neighbours():
    assert (
        css.declarations("color: red; background: url(x); width: 10%", css.INLINE)
        == "color:red;width:10%"
    )


def test_inline_style_cannot_move_an_element():
    assert css.declarations("position: fixed; top: 0; color: red", css.INLINE) == "color:red"
    assert css.declarations("position: fixed; top: 0", css.CONFINED) == "position:fixed;top:0"


def test_gradients_of_styler_bars_are_kept():
    value = "linear-gradient(90deg, transparent 20.5%, #d65f5f 20.5%, #d65f5f 40%, transparent 40%)"
    assert css.declarations(f"background: {value}", css.INLINE) == f"background:{value}"


@given(st.text(alphabet=st.sampled_from("ab.#:{}();,@/*\\'\"<> -url\n"), max_size=120))
def test_no_text_opens_a_way_out(text: str):
    result = scoped(text)
    assert not re.search(r"[<\\]|url\(|@(?!media)", result)
    assert result.count("{") == result.count("}")
    for line in result.replace("}", "}\n").splitlines():
        if "{" in line and not line.startswith("@"):
            assert all(part.startswith("#o1") for part in line.split("{")[0].split(","))


@pytest.mark.parametrize(
    "unit",
    ["a{", "}", "a,", "a{color:red}", ".a ", ":hover", "a>", "/*", "@media x{", "--a:b;", "(", "'"],
)
def test_time_is_linear_in_the_length(unit: str):
    start = time.process_time()
    scoped(unit * (300_000 // len(unit)))
    css.declarations("color:" + unit * (300_000 // len(unit)), css.INLINE)
    assert time.process_time() - start < budget(3)
