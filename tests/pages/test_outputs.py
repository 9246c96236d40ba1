"""Each kind of output is drawn, the best representation first; none can break the page."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from pytest_nbci.pages import outputs
from tests.pages.builders import PIXEL, Parsed, error, shown, stream

PLOTLY = "application/vnd.plotly.v1+json"


def draw(*given: Any, states: dict[str, Any] | None = None) -> outputs.Drawn:
    drawn = outputs.draw(list(given), "o1", states or {})
    assert Parsed(drawn.html).problems == []
    return drawn


def html_of(*given: Any) -> str:
    return str(draw(*given).html)


def test_pieces_of_a_stream_are_joined_and_stderr_is_set_apart():
    html = html_of(stream("a"), stream("b\n"), stream("w", "stderr"), stream("c"))
    assert html.count('class="output"') == 3
    assert "ab" in html
    assert html.count("stderr</span>") == 1


def test_text_may_be_a_list_of_lines():
    assert "one\ntwo" in html_of(
        {"output_type": "stream", "name": "stdout", "text": ["one\n", "two"]}
    )


def test_long_text_shows_both_ends_and_folds_the_middle():
    html = html_of(stream("\n".join(f"line {n}" for n in range(2000))))
    head, rest = html.split("<details", 1)
    middle, tail = rest.rsplit("</details>", 1)
    assert "line 14" in head
    assert "line 15" not in head
    assert "line 1985" in tail
    assert "1,970 more lines" in middle
    assert middle.count('class="text chunk"') == 4
    assert all(f"line {n}\n" in html or f"line {n}<" in html for n in range(2000))


def test_a_first_empty_line_is_not_lost():
    assert '<pre class="text">\n\na</pre>' in html_of(stream("\na"))


def test_html_is_shown_in_its_own_scope():
    html = html_of(
        shown(
            {
                "text/html": "<style>#T_1 td{color:red}</style><table id=T_1><td>1</table>",
                "text/plain": "x",
            }
        )
    )
    assert "#o1-0 #o1-0-T_1 td{color:red}" in html
    assert 'id="o1-0-T_1"' in html


def test_html_with_scripts_waits_for_a_click():
    drawn = draw(shown({"text/html": "<b>still</b><script>x</script>"}))
    assert 'class="runnable"' in drawn.html
    assert "<b>still</b>" in drawn.html
    assert "Run this output" in drawn.html
    assert "\\u003cscript\\u003e" in drawn.html
    assert not drawn.needs


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (
            {"text/plain": "<IPython.core.display.HTML object>"},
            "This output is drawn by its scripts.",
        ),
        ({}, "This output is drawn by its scripts."),
        ({"text/plain": "Map(center=1)"}, "Map(center=1)"),
        ({"image/png": PIXEL, "text/plain": "x"}, "data:image/png"),
    ],
)
def test_html_of_scripts_alone_has_something_to_show(more: dict[str, str], expected: str):
    assert expected in html_of(shown({"text/html": "<div id=a></div><script>x</script>", **more}))


def test_a_diagram_of_scikit_learn_needs_no_click():
    html = html_of(
        shown(
            {"text/html": '<div class="sk-top-container sk-global">Ridge()</div><script>x</script>'}
        )
    )
    assert "Run this output" not in html
    assert "o1-0-light" in html


@pytest.mark.parametrize(
    ("data", "library"),
    [
        ({PLOTLY: {"data": [{"type": "bar", "y": [1]}], "layout": {}}}, "plotly"),
        ({PLOTLY: {"data": [{"y": [1]}]}}, "plotly"),
        ({PLOTLY: {"data": [{"type": "surface"}]}}, "plotly-all"),
        ({"application/vnd.vegalite.v5+json": {"mark": "bar"}}, "vega"),
        ({"application/vnd.vegalite.v6.json": {"mark": "bar"}}, "vega"),
        ({"application/vnd.vega.v5+json": {"marks": []}}, "vega"),
        ({PLOTLY: "no figure"}, "plotly"),
        ({PLOTLY: {"data": [None, 3, {"type": []}]}}, "plotly-all"),
    ],
)
def test_a_figure_names_its_library(data: dict[str, Any], library: str):
    drawn = draw(shown({**data, "text/html": "<script>x</script>", "text/plain": "Figure()"}))
    assert drawn.needs == {library}
    assert "Run this output" not in drawn.html


def test_a_figure_keeps_its_picture_for_paper():
    html = html_of(shown({PLOTLY: {"data": []}, "image/png": PIXEL}))
    assert f"data:image/png;base64,{PIXEL}" in html


def test_altair_html_is_drawn_by_our_library():
    spec = {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "mark": "bar",
        "title": "T",
    }
    html = f'<div id=a></div><script>(function(spec, o){{ loadScript(\'vega-embed\'); }})({json.dumps(spec)}, {{"mode": "vega-lite"}});</script>'
    drawn = draw(shown({"text/html": html}))
    assert drawn.needs == {"vega"}
    assert "Vega-Lite figure: T" in drawn.html


def test_plotly_html_is_drawn_by_our_library():
    html = '<div id=\'x\'></div><script>Plotly.newPlot(\n \'x\', [{"type": "bar"}],\n {"title": {"text": "a"}}, {})</script>'
    assert draw(shown({"text/html": html})).needs == {"plotly"}


def test_nan_in_a_figure_is_a_gap():
    drawn = draw(shown({PLOTLY: {"data": [{"y": [1.0, float("nan"), float("inf")]}]}}))
    payload = str(drawn.html).split('class="payload">', 1)[1].split("</script>")[0]
    assert json.loads(payload) == {"data": [{"y": [1.0, None, None]}]}


@pytest.mark.parametrize("kind", ["image/png", "image/jpeg", "image/gif", "image/webp"])
def test_a_picture_is_in_the_page(kind: str):
    (image,) = Parsed(
        html_of(
            shown(
                {kind: PIXEL + "\n", "text/plain": "<Figure>"},
                **{kind: {"width": 40, "height": "x"}},
            )
        )
    ).all("img")
    assert image == {"src": f"data:{kind};base64,{PIXEL}", "alt": "figure", "width": "40"}


def test_a_drawing_is_an_image_and_never_part_of_the_page():
    (image,) = Parsed(html_of(shown({"image/svg+xml": "<svg><script>x</script></svg>"}))).all("img")
    source = str(image["src"]).removeprefix("data:image/svg+xml;base64,")
    assert b'xmlns="http://www.w3.org/2000/svg"' in base64.b64decode(source)


@pytest.mark.parametrize(
    "text", ["$\\frac{1}{2}$", "$$x$$", "$\\displaystyle \\int x$", "\\frac{1}{2}", "\\[x\\]"]
)
def test_latex_is_set(text: str):
    assert 'class="katex' in html_of(shown({"text/latex": text, "image/png": PIXEL}))


def test_latex_within_text_is_set():
    html = html_of(shown({"text/latex": "Let $x$ be it."}))
    assert "Let <span" in html
    assert "be it." in html


def test_json_is_a_tree():
    html = html_of(shown({"application/json": {"a": [1, {"b": "<c>"}], "n": None}}))
    assert html.count("<details") == 3
    assert "&#34;&lt;c&gt;&#34;" in html or '"&lt;c&gt;"' in html


def test_large_json_is_text():
    html = html_of(shown({"application/json": list(range(5000))}))
    assert html.count("<details") == 1
    assert "4999" in html


def test_a_pdf_can_be_saved():
    assert 'href="data:application/pdf;base64,JVBERi0=' in html_of(
        shown({"application/pdf": "JVBERi0="})
    )


def test_a_script_alone_is_shown_and_not_run():
    html = html_of(
        shown(
            {
                "application/javascript": "alert(1)",
                "text/plain": "<IPython.core.display.Javascript object>",
            }
        )
    )
    assert "which a page does not run" in html
    assert not Parsed(html).all("script")


def test_an_error_shows_name_value_and_traceback():
    html = html_of(error("ValueError", "no <rows>", "\x1b[31mTraceback\x1b[0m", "line 2"))
    assert "<strong>ValueError</strong>: no &lt;rows&gt;" in html
    assert '<span class="a-fg-red">Traceback</span>' in html


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ({"output_type": "hologram", "x": 1}, "unknown type hologram"),
        ("text", "unknown type None"),
        (None, "unknown type None"),
        ({"output_type": "display_data"}, "cannot show: nothing"),
        ({"output_type": "display_data", "data": []}, "cannot show: nothing"),
        (
            {"output_type": "display_data", "data": {"application/x-thing": 1}},
            "cannot show: application/x-thing",
        ),
        ({"output_type": "display_data", "data": {"image/png": "<b>"}}, "is not valid base64"),
        ({"output_type": "display_data", "data": {"image/png": None}}, "<img"),
        ({"output_type": "display_data", "data": {"text/html": {"a": 1}}}, "1"),
        ({"output_type": "stream"}, "<pre"),
        ({"output_type": "stream", "text": 5}, "5"),
        ({"output_type": "error"}, "Error"),
        ({"output_type": "error", "traceback": "text", "ename": None, "evalue": 7}, "7"),
        (
            {"output_type": "execute_result", "data": {"text/plain": ["a", "b"]}, "metadata": 3},
            "ab",
        ),
    ],
)
def test_a_strange_output_is_named_in_its_place(output: Any, said: str):
    assert said in html_of(output)


WIDGET = "application/vnd.jupyter.widget-view+json"


def test_widgets_show_their_last_state():
    states = {
        "box": {
            "_model": "HBoxModel",
            "children": ["IPY_MODEL_bar", "IPY_MODEL_html", "IPY_MODEL_pick", "IPY_MODEL_gone", 3],
        },
        "bar": {
            "_model": "FloatProgressModel",
            "value": 3,
            "min": 0,
            "max": 4,
            "description": "part",
        },
        "html": {"_model": "HTMLModel", "value": "<b onclick=x>75 %</b>"},
        "pick": {
            "_model": "DropdownModel",
            "index": 1,
            "_options_labels": ["a", "b"],
            "description": "pick",
        },
    }
    html = str(
        draw(shown({WIDGET: {"model_id": "box"}, "text/plain": "HBox()"}), states=states).html
    )
    assert '<progress max="1" value="0.7500">' in html
    assert "<b>75 %</b>" in html
    assert '<output class="widget-value">b</output>' in html


def test_a_widget_that_holds_itself_ends():
    states = {"box": {"_model": "VBoxModel", "children": ["IPY_MODEL_box"]}}
    draw(shown({WIDGET: {"model_id": "box"}}), states=states)


def test_a_widget_without_state_is_its_text():
    assert "IntSlider(value=3)" in html_of(
        shown({WIDGET: {"model_id": "x"}, "text/plain": "IntSlider(value=3)"})
    )
