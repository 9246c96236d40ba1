"""Outputs that need a script: drawn in sandboxed frames, never in the page itself.

The page holds the data and, once, the library, both as inert text. static/page.js makes a frame
when the reader scrolls to it (figures, drawn by a library of ours) or clicks on it (HTML with
scripts of its own) and hands the data over; static/frame.js draws inside.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from pytest_nbci.pages import resources

LIBRARIES: dict[str, tuple[str, ...]] = {
    "plotly": ("assets/plotly/plotly-cartesian.min.js",),
    "plotly-all": ("assets/plotly/plotly-strict.min.js",),
    "vega": (
        "assets/vega/vega.min.js",
        "assets/vega/vega-lite.min.js",
        "assets/vega/vega-embed.min.js",
    ),
}
"""The scripts of each library, in the order they are run; a figure names the one it needs."""

_SUPERSETS = {"plotly": "plotly-all"}

_FIGURE = Markup(
    '<figure class="live" data-kind="{kind}" data-label="{label}" style="min-height:{height}px">'
    '<div class="still">{still}</div>'
    '<script type="application/json" class="payload">{payload}</script>'
    "</figure>"
)
_RUNNABLE = Markup(
    '<div class="runnable" data-kind="html" data-label="{label}">'
    '<div class="still">{still}</div>'
    '<p class="run" hidden><button type="button" class="start">{action}</button>'
    "<span>{why}</span></p>"
    '<script type="application/json" class="payload">{payload}</script>'
    "</div>"
)


_LOWEST, _HIGHEST = 100, 2000  # pixels kept free for a figure that is not drawn yet


@dataclass(frozen=True)
class Figure:
    """What a figure is drawn from.

    Args:
        kind: Which of the drawing functions in static/frame.js.
        library: A key of :data:`LIBRARIES`.
        data: What the library is given.
        label: Says what it is, for readers who cannot see it.
        height: Its height in pixels, as far as that is known; nothing moves when it is drawn.
    """

    kind: str
    library: str
    data: object
    label: str
    height: float


@dataclass(frozen=True)
class Drawn:
    """A part of the page, and the names of the libraries that it needs."""

    html: Markup
    needs: frozenset[str] = frozenset()


def figure(drawing: Figure, still: Markup) -> Drawn:
    """A figure that a library of ours draws when the reader comes near it.

    Args:
        drawing: The figure.
        still: Shown until it is drawn, and on paper.
    """
    html = _FIGURE.format(
        kind=drawing.kind,
        label=drawing.label,
        height=min(max(round(drawing.height), _LOWEST), _HIGHEST),
        still=still,
        payload=inert_json(drawing.data),
    )
    return Drawn(html, frozenset({drawing.library}))


def runnable(html: str, label: str, still: Markup) -> Drawn:
    """HTML with scripts, which run in a frame after a click; until then ``still`` is shown."""
    markup = _RUNNABLE.format(
        label=label,
        still=still,
        payload=inert_json({"html": html}),
        action="Run this output",
        why="It has scripts of its own; they run in a frame without access to this page.",
    )
    return Drawn(markup)


def libraries(names: frozenset[str]) -> Markup:
    """The libraries as inert text, compressed, once for the page.

    A library that another one contains is left out; both bear the name of the smaller one.
    """
    blocks = []
    for name in sorted(names):
        if _SUPERSETS.get(name) in names:
            continue
        kind = name.removesuffix("-all")
        blocks += [
            Markup('<script type="text/plain" class="library" data-kind="{}">{}</script>\n').format(
                kind,
                Markup(resources.packed_file(file)),  # noqa: S704 - base64
            )
            for file in LIBRARIES[name]
        ]
    return Markup().join(blocks)


def inert_json(data: object) -> Markup:
    """JSON that can stand in a script element: it cannot end it, nor open a comment in it."""
    try:
        text = json.dumps(data, allow_nan=False, separators=(",", ":"), default=str)
    except ValueError:
        text = json.dumps(_finite(data), separators=(",", ":"), default=str)
    text = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return Markup(text)  # noqa: S704 - ASCII without any character that means something in HTML


def _finite(value: Any) -> Any:
    """JSON knows no NaN; a figure shows a gap for null."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {str(key): _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case _:
            return value
