"""One output of a cell as HTML: the best of its representations that can be shown safely."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from markupsafe import Markup

from pytest_nbci.pages import ansi, facts, figures, interactive, latex, markdown, sanitise, widgets
from pytest_nbci.pages.highlight import code_lines
from pytest_nbci.pages.interactive import Drawn
from pytest_nbci.pages.jsonview import json_tree
from pytest_nbci.pages.longtext import text_block
from pytest_nbci.pages.text import one_line, printable, text_of

_Bundle = Mapping[str, Any]
_OWN_COLOURS = re.compile(r"[\"{;](?:background|color)[\w-]*:|\b(?:bgcolor|color)=\"")
_TAG = re.compile(r"<[^>]*>")
_STYLE = re.compile(r"<style>.*?</style>", re.DOTALL)
_WIDEST = 20_000  # pixels
_BARE_NAME = re.compile(r"<IPython\.core\.display\.\w+ object>")
_BASE64 = re.compile(r"[\w+/=-]*", re.ASCII)
_RASTER = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp", "image/avif")
_DELIMITED = re.compile(r"^\s*(\$\$|\$|\\\[|\\\()(.*?)(\$\$|\$|\\\]|\\\))\s*$", re.DOTALL)
_DOCUMENT = Markup(
    '<p class="document">A PDF document, {size}: '
    '<a download="output.pdf" href="data:application/pdf;base64,{data}">save it</a></p>'
)


def draw(outputs: Sequence[Any], place: str, states: widgets.States) -> Drawn:
    """All outputs of a cell, in order.

    Args:
        outputs: The cell's ``outputs``; neighbouring pieces of one stream are joined.
        place: An id that no other cell has.
        states: The widgets' states of the notebook.
    """
    parts: list[Markup] = []
    needs: frozenset[str] = frozenset()
    for index, output in enumerate(_joined(outputs)):
        try:
            drawn = _draw(output, f"{place}-{index}", states)
        except Exception as error:  # noqa: BLE001 - a stranger's data in five parsers; say so in its place
            drawn = Drawn(
                Markup('<p class="undrawn">This output cannot be shown: {}.</p>').format(
                    one_line(f"{type(error).__name__}: {error}")
                )
            )
        parts.append(Markup('<div class="output">{}</div>\n').format(drawn.html))
        needs |= drawn.needs
    return Drawn(Markup().join(parts), needs)


def _joined(outputs: Sequence[Any]) -> list[Any]:
    """The outputs, with neighbouring pieces of one stream joined into one."""
    joined: list[Any] = []
    for key, group in groupby(outputs, key=_stream_name):
        if key is None:
            joined += group
        else:
            text = "".join(text_of(piece.get("text")) for piece in group)
            joined.append({"output_type": "stream", "name": key, "text": text})
    return joined


def _stream_name(output: Any) -> str | None:
    if isinstance(output, dict) and output.get("output_type") == "stream":
        return "stderr" if output.get("name") == "stderr" else "stdout"
    return None


def _draw(output: Any, place: str, states: widgets.States) -> Drawn:
    kind = output.get("output_type") if isinstance(output, dict) else None
    match kind:
        case "stream":
            return Drawn(_stream(output))
        case "error":
            return Drawn(_error(output))
        case "display_data" | "execute_result" | "update_display_data":
            data = output.get("data")
            return _bundle(data if isinstance(data, dict) else {}, output, place, states)
        case _:
            return Drawn(
                Markup('<p class="undrawn">An output of the unknown type {}:</p>{}').format(
                    one_line(str(kind)), json_tree(output)
                )
            )


def _stream(output: _Bundle) -> Markup:
    text = text_of(output.get("text")).removesuffix("\n")
    block = text_block(ansi.to_lines(text), "text")
    if output.get("name") == "stdout":
        return Markup('<div class="stream">{}</div>').format(block)
    return Markup('<div class="stream stderr"><span class="label">stderr</span>{}</div>').format(
        block
    )


def _error(output: _Bundle) -> Markup:
    name = one_line(ansi.strip(text_of(output.get("ename"))), 200) or "Error"
    value = printable(ansi.strip(text_of(output.get("evalue"))))
    traceback = output.get("traceback")
    text = "\n".join(map(text_of, traceback)) if isinstance(traceback, list) else ""
    heading = Markup('<p class="what"><strong>{}</strong>{}</p>').format(
        name, Markup(": {}").format(one_line(value, 1000)) if value.strip() else ""
    )
    body = text_block(ansi.to_lines(text), "text") if text.strip() else ""
    return Markup('<div class="raised">{}{}</div>').format(heading, body)


def _bundle(data: _Bundle, output: _Bundle, place: str, states: widgets.States) -> Drawn:
    """The richest representation that can be shown; Jupyter's order."""
    metadata = output.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    for kind in data:
        if figures.is_figure(str(kind)):
            return figures.draw(str(kind), data[kind], _still(data))
    if widgets.MIME in data:
        drawn = widgets.draw(data[widgets.MIME], states)
        if drawn is not None:
            return Drawn(drawn)
    if "text/html" in data:
        return _html(data, place)
    for kind, render in _RENDERERS.items():
        if kind in data:
            return Drawn(render(data[kind], kind, metadata.get(kind, metadata)))
    return Drawn(_unknown(data))


def _still(data: _Bundle) -> Markup | None:
    """The first picture among the representations: it stands for what needs a script."""
    for kind in ("image/svg+xml", *_RASTER):
        if kind in data:
            return _RENDERERS[kind](data[kind], kind, {})
    return None


def _html(data: _Bundle, place: str) -> Drawn:
    html = text_of(data["text/html"])
    if not sanitise.is_active(html):
        return Drawn(_scoped(html, place))
    if "sk-top-container" in html:
        # A diagram of scikit-learn folds by CSS; its scripts only choose light or dark and copy.
        return Drawn(_scoped(html.replace('sk-global"', 'sk-global light"'), place))
    figure = figures.in_html(html)
    if figure is not None:
        return figure
    still = _scoped(html, place)
    if not _says_something(str(still)):
        text = text_of(data.get("text/plain"))
        if not text.strip() or _BARE_NAME.fullmatch(text):
            text = "This output is drawn by its scripts."
        still = _still(data) or _plain(text, "text/plain", {})
    return interactive.runnable(html, "HTML output with scripts", still)


def _scoped(html: str, place: str) -> Markup:
    inner = sanitise.clean(html, scope=place)
    kind = "html paper" if _OWN_COLOURS.search(inner) else "html"
    return Markup('<div class="{}" id="{}">{}</div>').format(kind, place, inner)


def _says_something(html: str) -> bool:
    return "<img" in html or bool(_TAG.sub("", _STYLE.sub("", html)).strip())


def _javascript(value: object, kind: str, metadata: object) -> Markup:  # noqa: ARG001
    """A script alone: code that changes the page around it, so there is nothing to run it in."""
    lines = code_lines(text_of(value), "javascript")
    return Markup(
        "<details class=fold><summary>JavaScript, which a page does not run</summary>{}</details>"
    ).format(text_block(lines, "code"))


def _markdown(value: object, kind: str, metadata: object) -> Markup:  # noqa: ARG001
    return Markup('<div class="prose">{}</div>').format(markdown.render(text_of(value)))


def _latex(value: object, kind: str, metadata: object) -> Markup:
    text = text_of(value)
    delimited = _DELIMITED.match(text)
    if delimited is not None:
        text = delimited[2]
        if text.lstrip().startswith("\\displaystyle"):
            text = text.lstrip().removeprefix("\\displaystyle")
    if delimited is None and "$" in text:
        return _markdown(text, kind, metadata)
    return Markup('<div class="formula">{}</div>').format(latex.formula(text, display=True))


def _svg(value: object, kind: str, metadata: object) -> Markup:  # noqa: ARG001
    return Markup('<div class="image">{}</div>').format(
        sanitise.svg_image(text_of(value), "drawing")
    )


def _raster(value: object, kind: str, metadata: object) -> Markup:
    data = "".join(text_of(value).split())
    if _BASE64.fullmatch(data) is None:
        return Markup('<p class="undrawn">This {} is not valid base64.</p>').format(kind)
    size = ""
    if isinstance(metadata, Mapping):
        for side in ("width", "height"):
            length = metadata.get(side)
            if isinstance(length, int | float) and 0 < length < _WIDEST:
                size += f' {side}="{int(length)}"'
    return Markup('<div class="image"><img src="data:{};base64,{}" alt="figure"{}></div>').format(
        kind,
        data,
        Markup(size),  # noqa: S704 - two numbers
    )


def _json(value: object, kind: str, metadata: object) -> Markup:  # noqa: ARG001
    return json_tree(value)


def _plain(value: object, kind: str, metadata: object) -> Markup:  # noqa: ARG001
    text = text_of(value).removesuffix("\n")
    return Markup('<div class="plain">{}</div>').format(text_block(ansi.to_lines(text), "text"))


def _document(value: object, kind: str, metadata: object) -> Markup:  # noqa: ARG001
    data = "".join(text_of(value).split())
    if _BASE64.fullmatch(data) is None:
        data = b64encode(text_of(value).encode("utf-8", "replace")).decode("ascii")
    return _DOCUMENT.format(size=facts.size(len(data) * 3 // 4), data=data)


def _unknown(data: _Bundle) -> Markup:
    kinds = ", ".join(one_line(kind, 80) for kind in list(data)[:10]) or "nothing"
    return Markup('<p class="undrawn">An output that a page cannot show: {}.</p>').format(kinds)


_RENDERERS: dict[str, Callable[[object, str, object], Markup]] = {
    "text/markdown": _markdown,
    "image/svg+xml": _svg,
    "text/latex": _latex,
    **dict.fromkeys(_RASTER, _raster),
    "application/json": _json,
    "application/geo+json": _json,
    "application/pdf": _document,
    "application/javascript": _javascript,
    "text/plain": _plain,
}
