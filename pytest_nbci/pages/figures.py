"""Figures that come as data: plotly's, Vega's and Vega-Lite's, and altair's hidden in its HTML."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from pytest_nbci.pages import interactive
from pytest_nbci.pages.interactive import Drawn, Figure
from pytest_nbci.pages.text import one_line

PLOTLY = "application/vnd.plotly.v1+json"
_VEGA = re.compile(r"application/vnd\.(vegalite|vega)\.v\d+(?:\.\d+)*[+.]json")
# The last lines of altair's template: the call of its function with specification and options.
_ALTAIR_CALL = re.compile(r"\}\)\((?=\{)")
_PLOTLY_CALL = re.compile(r"Plotly\.newPlot\(\s*[\"'][\w-]+[\"']\s*,\s*(?=\[)")
_FRAME, _AXIS = 10, 45  # pixels around a figure; below a Vega plot
# What the smaller of the two builds draws (its README in npm); the other one draws everything.
_CARTESIAN = frozenset(
    {
        *("bar", "box", "contour", "heatmap", "histogram", "histogram2d", "histogram2dcontour"),
        *("image", "pie", "scatter", "scatterternary", "violin"),
    }
)


def is_figure(kind: str) -> bool:
    """Whether the MIME type ``kind`` is one that :func:`draw` knows."""
    return kind == PLOTLY or _VEGA.fullmatch(kind) is not None


def draw(kind: str, data: object, still: Markup | None) -> Drawn:
    """A figure of the MIME type ``kind``.

    Args:
        kind: A MIME type that :func:`is_figure` accepts.
        data: The JSON under it.
        still: A picture of the figure for paper, if the output has one.
    """
    if kind == PLOTLY:
        return _plotly(data, still)
    match = _VEGA.fullmatch(kind)
    lite = match is not None and match[1] == "vegalite"
    return _vega(data, "vega-lite" if lite else "vega", still)


def in_html(html: str) -> Drawn | None:
    """The figure that a library's HTML would load its scripts from the network for, or None."""
    if "vegaEmbed" in html or "vega-embed" in html:
        for call in reversed(list(_ALTAIR_CALL.finditer(html))):
            spec, end = _json_at(html, call.end())
            if isinstance(spec, dict) and "$schema" in spec:
                options, _ = _json_at(html, _after_comma(html, end))
                mode = options.get("mode") if isinstance(options, dict) else None
                return _vega(spec, "vega" if mode == "vega" else "vega-lite", None)
    match = _PLOTLY_CALL.search(html) if "Plotly.newPlot" in html else None
    if match is not None:
        traces, end = _json_at(html, match.end())
        layout, _ = _json_at(html, _after_comma(html, end))
        if isinstance(traces, list):
            return _plotly({"data": traces, "layout": layout}, None)
    return None


def _plotly(figure: object, still: Markup | None) -> Drawn:
    traces = figure.get("data") if isinstance(figure, Mapping) else None
    kinds = {
        one_line(trace.get("type", "scatter"), 40)
        for trace in (traces if isinstance(traces, list) else [])
        if isinstance(trace, dict)
    }
    label = f"plotly figure: {', '.join(sorted(kinds)) or 'empty'}"
    library = "plotly" if kinds <= _CARTESIAN else "plotly-all"
    layout = figure.get("layout") if isinstance(figure, Mapping) else None
    height = _number(layout, "height", 450) + _FRAME
    drawing = Figure("plotly", library, figure, label, height)
    return interactive.figure(drawing, still or _placeholder(label))


def _vega(spec: object, mode: str, still: Markup | None) -> Drawn:
    label = "Vega-Lite figure" if mode == "vega-lite" else "Vega figure"
    title = spec.get("title") if isinstance(spec, Mapping) else None
    if isinstance(title, Mapping):
        title = title.get("text")
    if title:
        label = f"{label}: {one_line(title, 200)}"
    height = _number(spec, "height", 300) + _AXIS + _FRAME
    drawing = Figure("vega", "vega", {"mode": mode, "spec": spec}, label, height)
    return interactive.figure(drawing, still or _placeholder(label))


def _number(data: object, name: str, default: float) -> float:
    value = data.get(name) if isinstance(data, Mapping) else None
    return value if isinstance(value, int | float) and math.isfinite(value) else default


def _placeholder(label: str) -> Markup:
    return Markup('<p class="placeholder">{}</p>').format(label)


def _json_at(text: str, start: int) -> tuple[Any, int]:
    try:
        return json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return None, start


def _after_comma(text: str, start: int) -> int:
    match = re.compile(r"\s*,\s*").match(text, start)
    return match.end() if match is not None else start
