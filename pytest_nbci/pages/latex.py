"""Formulas, set when the page is made: KaTeX in QuickJS, so that the page needs no script for them.

https://katex.org with ``trust`` off: no formula can make a link, load an image or name a class.
"""

from __future__ import annotations

import re
import threading
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from markupsafe import Markup

from pytest_nbci.pages import resources
from pytest_nbci.pages.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

_SECONDS = 2  # for one formula; a usual one takes 1 to 5 ms
_MEMORY_BYTES = 256 * 2**20
_LONGEST = 20_000
_CALL = """(formula, display) => katex.renderToString(formula, {
  displayMode: display, throwOnError: false, strict: "ignore", trust: false,
  maxExpand: 1000, maxSize: 50, errorColor: "#c0392b"})"""
_FONT_FACE = re.compile(r"@font-face\{([^}]*)\}")
_FONT_RULE = re.compile(r"([^{}]+)\{[^{}]*font-family:(KaTeX_\w+)[^{}]*\}")
_CLASS = re.compile(r"\.([\w-]+)")
_BOLD = ("mathbf", "textbf", "boldsymbol", "mathboldfrak", "mathboldsf", "textboldsf")
_ITALIC = ("mathit", "textit", "mathitsf", "mathsfit", "textitsf")


def formula(source: str, *, display: bool) -> Markup:
    """A TeX formula as HTML with MathML for screen readers; a wrong one as its source in red."""
    source = printable(source)
    if len(source) > _LONGEST:
        return _source(source)
    try:
        return _render(source, display)
    except Exception:  # noqa: BLE001 - the interpreter's time, memory and stack limits, any of them
        return _source(source)


def style(html: str) -> Markup:
    """The style sheet for the formulas in ``html``, with only the fonts that they use."""
    if 'class="katex' not in html:
        return Markup()
    sheet = resources.text_file("assets/katex/katex.min.css")
    used = {"KaTeX_Main"}
    for selector, family in _font_rules():
        if any(name in html for name in selector):
            used.add(family)
    bold = any(name in html for name in _BOLD)
    italic = any(name in html for name in _ITALIC)

    def face(match: re.Match[str]) -> str:
        rules = dict(rule.split(":", 1) for rule in match[1].split(";"))
        family = rules["font-family"].strip('"')
        slanted = rules["font-style"] == "italic" and family != "KaTeX_Math"
        heavy = rules["font-weight"] == "700"
        if family not in used or (heavy and not bold) or (slanted and not italic):
            return ""
        name = re.findall(r"fonts/([\w-]+\.woff2)", rules["src"])[0]
        data = resources.base64_file(f"assets/katex/fonts/{name}")
        rules["src"] = f'url(data:font/woff2;base64,{data}) format("woff2")'
        return "@font-face{" + ";".join(f"{key}:{value}" for key, value in rules.items()) + "}"

    text = _FONT_FACE.sub(face, sheet)
    return Markup(text)  # noqa: S704 - a file of this package


@lru_cache(maxsize=2048)
def _render(source: str, display: bool) -> Markup:  # noqa: FBT001 - KaTeX's own parameter
    html = _katex(threading.get_ident())(source, display)
    return Markup(html)  # noqa: S704 - KaTeX escapes what it is given (trust: false)


def _source(source: str) -> Markup:
    return Markup('<code class="bad-formula">{}</code>').format(source)


@lru_cache(maxsize=1)
def _katex(thread: int) -> Callable[[str, bool], str]:  # noqa: ARG001 - one interpreter a thread
    """KaTeX, loaded (60 ms); QuickJS measures its stack from the thread that made it."""
    import quickjs

    context = quickjs.Context()
    context.set_memory_limit(_MEMORY_BYTES)
    context.eval(resources.text_file("assets/katex/katex.min.js"))
    context.set_time_limit(_SECONDS)
    function: Callable[[str, bool], str] = context.eval(_CALL)
    return function


@cache
def _font_rules() -> tuple[tuple[tuple[str, ...], str], ...]:
    """Which classes want which of KaTeX's fonts, read from its style sheet."""
    sheet = _FONT_FACE.sub("", resources.text_file("assets/katex/katex.min.css"))
    rules = []
    for selector, family in _FONT_RULE.findall(sheet):
        last = [_CLASS.findall(part.split()[-1]) for part in selector.split(",")]
        rules.append((tuple(names[-1] for names in last if names), family))
    return tuple(rules)
