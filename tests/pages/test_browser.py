"""Pages as a reader has them: in Chromium, wide and narrow, light and dark, by mouse and by keyboard."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_nbci.pages import render_index, render_page
from pytest_nbci.records import Cell, Frame, Session
from tests.browser import Browser
from tests.pages.builders import (
    PIXEL,
    SESSION,
    budget,
    code,
    error,
    failed_record,
    notebook,
    page,
    prose,
    record,
    shown,
    stream,
)

pytestmark = pytest.mark.browser

PLOTLY = "application/vnd.plotly.v1+json"
STYLER = (
    "<style>#T_a_row0_col0 { background-color: rgb(0, 100, 0); color: #ffffff }\n"
    "body { background: #ff0000 } .band { display: none }</style>"
    '<table id="T_a"><caption>Styled</caption><tr><td id="T_a_row0_col0" class="data row0 col0">1.5</td></tr></table>'
)


def bar(**layout: Any) -> dict[str, Any]:
    return shown(
        {PLOTLY: {"data": [{"type": "bar", "x": ["a", "b"], "y": [1, 2]}], "layout": layout}}
    )


VEGA = shown(
    {
        "application/vnd.vegalite.v5+json": {
            "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
            "data": {"values": [{"x": 1, "y": 2}, {"x": 2, "y": 3}]},
            "mark": "line",
            "encoding": {"x": {"field": "x"}, "y": {"field": "y"}},
            "transform": [{"calculate": "datum.x * 2", "as": "z"}],
        }
    }
)


def everything() -> dict[str, Any]:
    """A notebook with each kind of output, as wide and as long as they come."""
    wide = (
        "<table border=1>"
        "<tr>" + "".join(f"<td>{n}.123456</td>" for n in range(60)) + "</tr></table>"
    )
    return notebook(
        prose(
            "# A title\n\nText with $e^{i\\pi}$ and `a_very_long_name_without_any_space_"
            + "x" * 80
            + "`\n\n"
            + "| a | b |\n|---|---|\n| "
            + "word " * 40
            + " | "
            + "w" * 90
            + " |\n\n"
            + "$$\n"
            + "a+" * 60
            + "b\n$$\n\n```python\n"
            + "x = "
            + "1 + " * 60
            + "1\n```"
        ),
        prose("日本語の説明。" * 20),
        code("n = 3", tags=["injected-parameters"]),
        code(
            "x = " + "1 + " * 80 + "1  # a long line",
            stream("1 " * 400),
            stream("\x1b[31mred\x1b[0m warning\n", "stderr"),
        ),
        code(
            "y",
            shown({"text/html": wide}),
            shown({"text/html": STYLER}),
            shown({"text/plain": "z " * 300}),
        ),
        code(
            "z",
            shown({"image/png": PIXEL}, width=1200),
            shown({"application/json": {"a": {"b": ["c" * 300]}}}),
        ),
        code(
            "f",
            bar(),
            VEGA,
            shown({PLOTLY: {"data": [{"type": "surface", "z": [[1, 2], [3, 4]]}]}}),
        ),
        code("h", shown({"text/html": "<b>still</b><script>document.body.append('ran')</script>"})),
        code(
            "i",
            shown({"text/latex": "$\\frac{" + "a+" * 80 + "b}{2}$"}),
            shown({"text/markdown": "**m**"}),
        ),
        code("bad()", error("ValueError", "v" * 300, "\x1b[31mTraceback\x1b[0m " + "t" * 300)),
        code("never()"),
    )


def full_record() -> Any:
    status = ["passed"] * 6 + ["failed", "not run"]
    cells = tuple(Cell("", n + 1, n + 1, 0.5 * n, name) for n, name in enumerate(status))  # type: ignore[arg-type]
    return failed_record(
        7,
        Frame("cell 7", 1, "<module>", "bad()"),
        cells=cells,
        notebook="a_folder_with_a_long_name/and_another_one/" + "n" * 80 + ".ipynb",
        warnings=("w" * 200,),
        parameters={"p" * 60: "v" * 200},
        environment={"python": "3.11"},
        reproduce="pytest --nbci " + "r" * 120,
    )


def stored(folder: Path, html: str) -> Path:
    path = folder / "page.html"
    path.write_text(html, encoding="utf-8")
    return path


@pytest.fixture
def full_page(tmp_path: Path) -> Path:
    return stored(tmp_path, render_page(everything(), full_record()))


def scroll_through(browser: Browser) -> None:
    for _ in range(40):
        bottom = browser.run(
            "scrollBy({top: 400, behavior: 'instant'}); return scrollY + innerHeight >= document.documentElement.scrollHeight - 2"
        )
        time.sleep(0.03)
        if bottom:
            return


def test_a_full_page_makes_no_complaint_and_draws_all_figures(browser: Browser, full_page: Path):
    browser.open(full_page)
    scroll_through(browser)
    browser.wait("document.querySelectorAll('figure.opened').length === 3")
    browser.run("document.querySelector('.start').click()")
    browser.wait("[...document.querySelectorAll('iframe')].length === 4")
    for index in range(3):
        browser.wait_in_frame(index, "document.querySelectorAll('svg, canvas').length")
    browser.wait_in_frame(3, "document.body.innerText.includes('ran')")
    time.sleep(0.5)
    texts = [browser.in_frame(index, "return document.body.innerText") for index in range(4)]
    assert "could not be drawn" not in "".join(texts)
    assert browser.complaints() == []
    heights = browser.run(
        "return [...document.querySelectorAll('iframe')].map((f) => f.offsetHeight)"
    )
    assert all(40 <= height <= 4002 for height in heights)
    assert heights[3] < 100


OVERFLOW = "const e = document.documentElement; return e.scrollWidth - e.clientWidth"


@pytest.mark.parametrize("width", [390, 1440])
def test_no_width_needs_a_sideways_scroll(
    width: int, browser: Browser, full_page: Path, tmp_path: Path
):
    browser.resize(width, 900)
    browser.open(full_page)
    browser.run("document.querySelectorAll('details').forEach((d) => { d.open = true })")
    scroll_through(browser)
    time.sleep(0.5)
    assert browser.run(OVERFLOW) == 0
    index = tmp_path / "index.html"
    index.write_text(render_index(Session(SESSION, "p" * 200), [full_record(), record()]))
    browser.open(index)
    assert browser.run(OVERFLOW) == 0


CONTRAST = """
const parse = (text) => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255]; };
const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4 });
  return .2126 * r + .7152 * g + .0722 * b; };
const bad = [];
for (const element of document.querySelectorAll('body *')) {
  if (![...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
  if (!element.checkVisibility({opacityProperty: true, visibilityProperty: true}) || element.closest('.html, script, .katex, .a-hidden')) continue;
  const path = []; let opacity = 1;
  for (let e = element; e; e = e.parentElement) { path.push(parse(getComputedStyle(e).backgroundColor)); opacity *= getComputedStyle(e).opacity; }
  const ground = path.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]);
  const text = parse(getComputedStyle(element).color); text[3] *= opacity;
  const [one, other] = [light(over(text, ground)), light(ground)];
  const ratio = (Math.max(one, other) + .05) / (Math.min(one, other) + .05);
  if (ratio < 4.5) bad.push(`${element.tagName}.${element.className} ${ratio.toFixed(2)} ${element.textContent.slice(0, 30)}`);
}
return bad;
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_all_text_has_enough_contrast(theme: str, browser: Browser, tmp_path: Path):
    browser.resize(1440, 1000, dark=theme == "dark")
    colours = " ".join(
        f"\x1b[{n}m{n}\x1b[0m"
        for n in (*range(30, 38), *range(90, 98), *range(40, 48), *range(100, 108), 7)
    )
    python = '@d\nclass A(B):\n    """s"""\n    def f(self, x=1.5): return f"{x!r}\\n" is not None  # c\nimport os; len([True])'
    nb = everything()
    nb["cells"] += [
        code(python, stream(colours)),
        prose("~~a~~ [l](http://x) > q\n\n> quote\n\n`c`\n\n![m](x.png)"),
    ]
    for given in (full_record(), record(outcome="skipped", skip_reason="why")):
        browser.open(stored(tmp_path, render_page(nb, given)))
        assert browser.run(CONTRAST) == []
    ground = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") is (theme == "light")


def test_styler_colours_reach_the_table_and_nothing_else(browser: Browser, full_page: Path):
    browser.open(full_page)
    colour = "return getComputedStyle(document.querySelector(arguments[0])).backgroundColor"
    assert browser.run(colour, "[id$=T_a_row0_col0]") == "rgb(0, 100, 0)"
    assert browser.run(colour, "body") == "rgb(255, 255, 255)"
    assert browser.run("return document.querySelector('.band').offsetHeight") > 0


def test_the_verdict_links_to_the_failed_cell_and_its_line(browser: Browser, full_page: Path):
    browser.open(full_page)
    browser.run("document.querySelector('.actions a').click()")
    time.sleep(0.3)
    top = browser.run("return document.querySelector('#cell-7').getBoundingClientRect().top")
    assert 0 < top < 900
    assert browser.run("return document.querySelector('#cell-7 mark.hit').textContent") == "bad()"


def test_the_keyboard_reaches_everything_in_order(browser: Browser, full_page: Path):
    from selenium.webdriver.common.keys import Keys

    browser.open(full_page)
    body = browser.driver.find_element("tag name", "body")
    seen = []
    for _ in range(12):
        body.send_keys(Keys.TAB)
        seen.append(
            browser.run("const e = document.activeElement; return e.className || e.localName")
        )
        body = browser.driver.switch_to.active_element
    assert seen[0] == "skip"
    assert "button" in seen
    assert "copy" in seen
    assert "summary" in seen


def test_the_reproduce_line_can_be_copied(browser: Browser, full_page: Path):
    browser.open(full_page)
    browser.driver.find_element("css selector", ".copy").click()
    browser.wait("document.querySelector('.copy').textContent !== 'Copy'")
    assert browser.run("return document.querySelector('.copy').textContent") == "Copied"


def test_a_link_opens_what_is_folded_around_its_target(browser: Browser, tmp_path: Path):
    nb = notebook(prose("[go](#Deep)"), prose("# Deep", tags=["hide-cell"]))
    browser.open(stored(tmp_path, render_page(nb, record())))
    browser.run("document.querySelector('main a').click()")
    browser.wait("document.querySelector('details.fold').open")


def test_only_figures_near_the_reader_are_alive(browser: Browser, tmp_path: Path):
    cells = [code(f"{n}", VEGA) for n in range(16)]
    browser.open(stored(tmp_path, page(*cells)))
    assert browser.run("return document.querySelectorAll('iframe').length") <= 5
    before = browser.run("return document.querySelectorAll('figure.live').length")
    for part in range(17):
        browser.run(
            "document.querySelectorAll('.cell')[Math.min(arguments[0], 15)].scrollIntoView({behavior: 'instant'})",
            part,
        )
        time.sleep(0.1)
    assert before == 16
    assert browser.run("return document.querySelectorAll('iframe').length") <= 12
    browser.wait("document.querySelectorAll('figure.live')[15].querySelector('iframe')")
    browser.run("scrollTo({top: 0, behavior: 'instant'})")
    browser.wait("document.querySelectorAll('figure.live')[0].querySelector('iframe')")
    assert browser.complaints() == []


def test_a_figure_that_loads_its_data_says_why_it_is_not_drawn(browser: Browser, tmp_path: Path):
    spec = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "data": {"url": "http://127.0.0.1:9/x.csv"},
        "mark": "point",
        "encoding": {"x": {"field": "a"}},
    }
    browser.open(
        stored(tmp_path, page(code("a", shown({"application/vnd.vegalite.v5+json": spec}))))
    )
    browser.wait("document.querySelector('iframe')")
    browser.wait_in_frame(0, "document.body.innerText.includes('http://127.0.0.1:9/x.csv')")


def test_twenty_megabytes_of_text_open_within_three_seconds(browser: Browser, tmp_path: Path):
    line = "2026-10-24 08:01:32 INFO  \x1b[32mstep\x1b[0m 123: loss=0.123456 accuracy=0.98 <ok>\n"
    html = page(code("train()", stream(line * (20_000_000 // len(line)))))
    assert len(html) > 20_000_000
    path = stored(tmp_path, html)
    took = min(browser.open(path, settle_s=0) for _ in range(2))
    assert took < 3, f"{took:.1f} s"
    start = time.monotonic()
    browser.run("document.querySelector('details.more').open = true")
    browser.run(
        "scrollTo({top: document.documentElement.scrollHeight / 2, behavior: 'instant'}); return document.body.offsetHeight"
    )
    assert time.monotonic() - start < budget(5)


def test_one_line_of_twenty_megabytes_opens_too(browser: Browser, tmp_path: Path):
    took = browser.open(stored(tmp_path, page(code("a", stream("word " * 4_000_000)))), settle_s=0)
    assert took < 3, f"{took:.1f} s"


def test_three_hundred_cells_fit_into_the_strip(browser: Browser, tmp_path: Path):
    cells = tuple(Cell("", n + 1, n + 1, 0.1, "passed") for n in range(300))
    html = render_page(notebook(*(code("a") for _ in cells)), record(cells=cells))
    browser.resize(390, 900)
    browser.open(stored(tmp_path, html))
    assert browser.run(OVERFLOW) == 0
    inside = "const s = document.querySelector('.strip'); return s.scrollWidth - s.clientWidth"
    assert browser.run(inside) <= 1


def test_print_hides_what_only_works_on_screen(browser: Browser, full_page: Path):
    browser.open(full_page)
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        hidden = browser.run(
            "return ['.bar', '.skip', '.copy', '.actions'].map((s) => document.querySelector(s).checkVisibility())"
        )
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert hidden == [False] * 4


def test_pictures_are_named_for_who_cannot_see_them(browser: Browser, full_page: Path):
    browser.open(full_page)
    scroll_through(browser)
    browser.wait("document.querySelector('iframe')")
    assert browser.run("return [...document.querySelectorAll('img')].every((i) => i.alt)")
    assert browser.run("return [...document.querySelectorAll('iframe')].every((f) => f.title)")
    assert json.dumps(
        browser.run("return [...document.querySelectorAll('h1')].map((h) => h.textContent)")
    )
