"""Markdown cells look as in Jupyter: tables, formulas, attachments."""

from __future__ import annotations

import time

import pytest

from pytest_nbci.pages import latex, markdown
from tests.pages.builders import PIXEL, Parsed, budget


def test_a_table_and_a_task_list():
    html = markdown.render("| a | b |\n|---|--:|\n| 1 | 2 |\n\n- [x] done\n- [ ] open\n\n~~old~~")
    assert "<td>1</td>" in html
    assert '<td style="text-align:right">2</td>' in html
    assert [box.get("checked") for box in Parsed(html).all("input")] == ["checked", None]
    assert "<s>old</s>" in html


@pytest.mark.parametrize(
    "source",
    [
        "$x^2$",
        "$$\\sum_{i=1}^n i$$",
        "text $$a$$ text",
        "$$\nx\n$$ (label)",
        "\\begin{align} a &= b \\\\ c &= d \\tag{7} \\end{align}",
        "$\\begin{aligned}a\\end{aligned}$",
        "$\\mathbb{R}, \\mathcal{L}, \\mathfrak{g}, \\text{日本語}$",
    ],
)
def test_a_formula_is_set(source: str):
    html = markdown.render(source)
    assert 'class="katex' in html
    assert "$" not in Parsed(html).text.replace("\\$", "")
    assert "color:#c0392b" not in html
    assert Parsed(html).problems == []


@pytest.mark.parametrize(
    "source", ["It costs $5 and $10.", "a $ b $ c", "`$x$`", "\\$x\\$", "US$ and A$"]
)
def test_money_is_no_formula(source: str):
    assert "katex" not in markdown.render(source)


def test_a_wrong_formula_is_shown_as_written():
    html = markdown.render("$\\frac{1$")
    assert "\\frac{1" in html
    assert Parsed(html).problems == []


def test_a_formula_that_never_ends_is_given_up():
    start = time.monotonic()
    html = latex.formula("\\def\\a{\\a\\a}\\a", display=False)
    assert "\\def" in html
    latex.formula("{" * 9000, display=True)
    latex.formula("x" * 30_000, display=True)
    assert time.monotonic() - start < budget(8)
    assert 'class="katex' in latex.formula("y", display=False)


def test_formulas_make_no_links_and_load_nothing():
    html = markdown.render(
        "$\\href{javascript:x}{a} \\includegraphics{http://x/y.png} \\htmlId{top}{b}$"
    )
    assert not Parsed(html).all("a") + Parsed(html).all("img")
    assert 'id="' not in html


def test_only_the_fonts_in_use_are_in_the_style_sheet():
    assert latex.style("<p>no formula</p>") == ""
    plain = latex.style(markdown.render("$x$"))
    rich = latex.style(
        markdown.render("$\\mathbb{R}\\mathbf{x}\\mathfrak{g}\\mathscr{L}\\mathsf{s}\\mathtt{t}$")
    )
    assert len(plain) < 120_000 < len(rich)
    for sheet in (plain, rich):
        assert "url(fonts/" not in sheet
        assert "http" not in sheet


def test_an_attachment_is_in_the_page():
    attachments = {"a b.png": {"image/png": [PIXEL[:20] + "\n", PIXEL[20:]]}}
    for source in ("![pic](attachment:a%20b.png)", '<img src="attachment:a%20b.png" width="40">'):
        (image,) = Parsed(markdown.render(source, attachments)).all("img")
        assert image["src"] == f"data:image/png;base64,{PIXEL}"


@pytest.mark.parametrize("target", ["plot.png", "http://x/y.png", "/etc/x.png", "//x/y.png"])
def test_an_image_from_elsewhere_is_named_and_not_loaded(target: str):
    html = markdown.render(f"![the plot]({target})")
    assert not Parsed(html).all("img")
    assert f"image not in the notebook: {target}, the plot" in html


def test_links_between_headings_work():
    html = markdown.render("# Two words: ä\n\n[go](#Two-words:-ä) [nb](../train.ipynb)")
    heading = Parsed(html).all("h1")[0]["id"]
    links = [link["href"] for link in Parsed(html).all("a")]
    assert links == [f"#{heading}", "../train.ipynb.html"]


def test_code_is_highlighted_and_escaped():
    html = markdown.render(
        "```python\nif x < 1: '</pre><script>'\n```\n\n    indented <b>\n\n```unknown-language\na\n```"
    )
    assert '<span class="k">if</span>' in html
    assert "&lt;/pre&gt;&lt;script&gt;" in html
    assert not Parsed(html).all("b")


def test_an_unclosed_attribute_swallows_no_safe_part():
    html = markdown.render('<div title="\n\n$x$ `a`\n\n```\n<b>\n```\n\n">\n\n$y$')
    assert Parsed(html).problems == []
    assert "nbci" not in html


def test_raw_html_is_sanitised():
    html = markdown.render(
        "<b onclick=x>a</b> <script>y</script> [l](javascript:z) <img src=http://x>"
    )
    assert "<script" not in html
    assert "onclick" not in html
    assert "http" not in html


@pytest.mark.parametrize(
    "unit",
    [
        "[",
        "*a_ ",
        "![](",
        "> ",
        "- ",
        "$",
        "$$\n",
        "<b>",
        "`",
        "|a",
        "\\begin{align}",
        "[a]: b\n",
        "# x\n",
        "&",
        "  \n",
    ],
)
def test_no_text_takes_long(unit: str):
    start = time.process_time()
    markdown.render(unit * (60_000 // len(unit)))
    assert time.process_time() - start < budget(8)
