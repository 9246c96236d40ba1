"""RESULTS.md: tables, and a chart as SVG."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from xml.sax.saxutils import escape

from contenders import BOUNDS, LIBRARIES, OURS, SETS, SLOPE_BOUND_S, Tool
from contest import Found, Measured, environment_of
from machine import describe_machine


def head(tools: Sequence[Tool]) -> Iterator[str]:
    """Date, machine, versions, and what was compared."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    yield "# Results of speed.py"
    yield ""
    yield f"{datetime.now(UTC):%Y-%m-%d}. {describe_machine()}. Load at the end: {load}."
    yield ""
    yield (
        "Each tool has an environment of its own with the same versions of the libraries; the "
        "tools take turns, after one round that is not timed. A ratio is a tool's wall time "
        "divided by ours. CPU is that of all processes; memory is the most that they held "
        "together, in the first round. Trivial notebooks have five cells that add and print; "
        "typical ones use NumPy and pandas and draw one figure."
    )
    yield ""
    yield (
        "The examples are those of this repository with their data in place and no parameters "
        "set, each tool as it comes: where two of them log to MLflow, the database is ours to "
        "prepare in one case, the notebook's in the others. Scripts cannot run them (IPython's own "
        "syntax, errors on purpose); the tools that their table lacks were not tried on them."
    )
    yield ""
    yield "| environment | versions |"
    yield "|---|---|"
    for tool in {tool.venv: tool for tool in tools}.values():
        yield f"| {tool.venv} | {versions_of(tool)} |"


def versions_of(tool: Tool) -> str:
    names = [*tool.packages, "pytest", "nbclient", *LIBRARIES]
    code = """
import sys, platform
from importlib import metadata
found = [f"Python {platform.python_version()}"]
for name in dict.fromkeys(sys.argv[1:]):
    try:
        found.append(f"{name} {metadata.version(name)}")
    except metadata.PackageNotFoundError:
        pass
print(", ".join(found))
"""
    python = str(environment_of(tool, SETS[0]) / "python")
    done = subprocess.run([python, "-c", code, *names], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def results_in(found: Found, rounds: int) -> Iterator[str]:
    """What was promised, then a table for each set."""
    yield "## Promises"
    yield ""
    yield "| set | ours | against | at most | measured | |"
    yield "|---|---|---|---:|---:|---|"
    for bound in BOUNDS:
        where = (bound.set, bound.options)
        ours, theirs = found.get((*where, bound.ours)), found.get((*where, bound.theirs))
        name = f"{bound.set} {bound.options}".strip()
        row = f"| {name} | {bound.ours} | {bound.theirs} | 1/{bound.times:g}"
        if ours is None or theirs is None or ours.problem or theirs.problem:
            yield f"{row} | | not measured |"
            continue
        ratio = theirs.wall_s / ours.wall_s
        is_met = ratio >= bound.times if bound.times > 1 else ratio > 1
        yield f"{row} | 1/{ratio:.2f} | {'met' if is_met else '**missed**'} |"
    ten, hundred = (found.get((name, "", OURS)) for name in ("trivial x10", "trivial x100"))
    row = f"| one more trivial notebook | {OURS} | | {SLOPE_BOUND_S} s"
    if ten is None or hundred is None or ten.problem or hundred.problem:
        yield f"{row} | | not measured |"
    else:
        slope = (hundred.wall_s - ten.wall_s) / 90
        yield f"{row} | {slope:.3f} s | {'met' if slope <= SLOPE_BOUND_S else '**missed**'} |"
    for name, options in dict.fromkeys((one.set, one.options) for one in found.values()):
        yield ""
        yield f"## {name} {options}".rstrip()
        yield ""
        yield f"| tool | ratio | wall, s | CPU, s | peak, MB | wall of each of {rounds} rounds, s |"
        yield "|---|---:|---:|---:|---:|---|"
        for one in found.values():
            if (one.set, one.options) == (name, options):
                yield row_of(one, found.get((name, options, OURS)))


def row_of(one: Measured, ours: Measured | None) -> str:
    if one.problem:
        return f"| {one.tool} | | | | | failed: {one.problem.replace('|', '/')} |"
    ratio = f"{one.wall_s / ours.wall_s:.2f}" if ours is not None and ours.wall_s else ""
    figures = f"{one.wall_s:.2f} | {one.cpu_s:.2f} | {one.peak_mb:.0f}"
    return f"| {one.tool} | {ratio} | {figures} | {', '.join(f'{s:.2f}' for s in one.runs_s)} |"


GREY, BLUE = "#767676", "#3b82c4"  # readable on white and on black
ROW, LEFT, WIDTH = 20, 190, 760


def chart_of(found: Found) -> str:
    """Bars of the ratios, as SVG without a background."""
    ratios = {
        (one.set, one.options, one.tool): one.wall_s / ours.wall_s
        for one in found.values()
        if not one.problem
        and (ours := found.get((one.set, one.options, OURS))) is not None
        and not ours.problem
    }
    scale = (WIDTH - LEFT - 60) / max(ratios.values(), default=1)
    parts, y, group = [], 0, ""
    for (name, options, tool), ratio in ratios.items():
        if group != f"{name} {options}":
            group, y = f"{name} {options}", y + 2 * ROW
            parts.append(f'<text x="0" y="{y - 6}" font-weight="bold">{escape(group)}</text>')
        colour = BLUE if tool.startswith(OURS) else GREY
        bar = f'x="{LEFT}" y="{y + 3}" width="{ratio * scale:.1f}" height="{ROW - 6}"'
        middle, end = y + ROW - 6, LEFT + ratio * scale + 6
        parts += [
            f'<text x="{LEFT - 8}" y="{middle}" text-anchor="end">{escape(tool)}</text>',
            f'<rect {bar} fill="{colour}"/>',
            f'<text x="{end:.1f}" y="{middle}">{ratio:.1f}</text>',
        ]
        y += ROW
    begin = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 8}" '
        f'font-family="sans-serif" font-size="13" fill="{GREY}">'
    )
    title = f'<text x="{LEFT}" y="14">wall time divided by that of pytest-nbci</text>'
    return "\n".join([begin, title, *parts, "</svg>", ""])
