"""How long a page of 50 cells takes: ours against nbconvert's, in one run on one machine.

    python benchmarks/rendering.py

Both make the same executed notebook into HTML, ``ROUNDS`` times in turn; the best time of each
counts, since everything slower is other work on the machine. Also: 5 MB of terminal text.
"""

from __future__ import annotations

import json
import platform
import random
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from pytest_nbci.pages import render_page
from pytest_nbci.pages.ansi import to_lines
from pytest_nbci.records import Cell, Record

ROUNDS = 5
CELLS = 50
GOAL = 12  # nbconvert's time over ours
CURE = "nbconvert is missing (only this comparison needs it): pip install nbconvert"

SOURCE = '''def moving_average(values, width={n}):
    """Average of the last ``width`` values."""
    total, averages = 0.0, []
    for index, value in enumerate(values):
        total += value - (values[index - width] if index >= width else 0)
        averages.append(total / min(index + 1, width))
    return averages


frame = pd.DataFrame({{"day": range(30), "sales": rng.normal(size=30)}})
frame["trend"] = moving_average(frame["sales"])  # {n} days
frame.groupby("day").agg(["mean", "std"]).round(2)
'''
PROSE = """## Step {n}

The series is *smoothed* with a window of **{n}** days, see [the note](#Step-1).

- first the mean, then the spread
- `NaN` where the window is not full

| measure | value |
|---|--:|
| window | {n} |
"""


def notebook() -> dict[str, Any]:
    """An executed notebook of ``CELLS`` cells as people write them, half of them code."""
    rng = random.Random(7)
    cells = []
    for number in range(CELLS // 2):
        text = PROSE.format(n=number + 1)
        cells.append({"cell_type": "markdown", "id": f"m{number}", "metadata": {}, "source": text})
        cells.append(
            {
                "cell_type": "code",
                "id": f"c{number}",
                "metadata": {},
                "execution_count": number + 1,
                "source": SOURCE.format(n=number + 2),
                "outputs": outputs(number, rng),
            }
        )
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"language_info": {"name": "python"}},
        "cells": cells,
    }


def outputs(number: int, rng: random.Random) -> list[dict[str, Any]]:
    """A line of text, and by turns a table, a picture, a coloured log."""
    line = {"output_type": "stream", "name": "stdout", "text": f"step {number} done\n"}
    match number % 3:
        case 0:
            rows = "".join(
                f"<tr><th>{row}</th>" + "".join(f"<td>{rng.random():.4f}</td>" for _ in range(6))
                for row in range(12)
            )
            data = {"text/html": f"<table class='dataframe'>{rows}</table>", "text/plain": "table"}
        case 1:
            data = {"image/png": "iVBORw0KGgo" * 2000, "text/plain": "<Figure>"}
        case _:
            text = "".join(f"\x1b[32mINFO\x1b[0m epoch {n}: {rng.random()}\n" for n in range(40))
            return [line, {"output_type": "stream", "name": "stderr", "text": text}]
    return [line, {"output_type": "display_data", "data": data, "metadata": {}}]


def best(render: Callable[[], str]) -> tuple[float, int]:
    """Seconds of the fastest of ``ROUNDS`` calls, and the page's size in bytes."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        html = render()
        times.append(time.perf_counter() - start)
    return min(times), len(html.encode())


def main() -> int:
    """Run the comparison; 1 when the goal is missed, 2 when nbconvert is not there."""
    try:
        import nbconvert
        import nbformat
    except ImportError:
        print(CURE)
        return 2
    executed = notebook()
    cells = tuple(
        Cell(cell["id"], cell["execution_count"], cell["execution_count"], 0.1, "passed")
        for cell in executed["cells"]
        if cell["cell_type"] == "code"
    )
    record = Record("20260101T000000Z-00000000-abcdef", "g/p", "a.ipynb", "passed", cells=cells)
    node = nbformat.reads(json.dumps(executed), as_version=4)

    def theirs() -> str:
        html, _ = nbconvert.HTMLExporter(embed_images=True).from_notebook_node(node)
        return str(html)

    ours_s, ours_bytes = best(lambda: render_page(executed, record))
    theirs_s, theirs_bytes = best(theirs)
    text = "\x1b[31merror\x1b[0m in step 1 of a log that is long\n" * (5_000_000 // 50)
    start = time.perf_counter()
    to_lines(text)
    ansi_s = time.perf_counter() - start
    print(f"{platform.platform()}, {platform.processor() or platform.machine()}, ", end="")
    print(f"Python {platform.python_version()}, nbconvert {version('nbconvert')}, ", end="")
    print(", ".join(f"{name} {version(name)}" for name in ("markdown-it-py", "pygments", "nh3")))
    print(f"{CELLS} cells, best of {ROUNDS}:")
    print(f"  pytest-nbci {ours_s * 1000:7.1f} ms  {ours_bytes / 1000:6.0f} KB")
    print(f"  nbconvert   {theirs_s * 1000:7.1f} ms  {theirs_bytes / 1000:6.0f} KB")
    print(f"  ratio       {theirs_s / ours_s:7.1f}     (goal: at least {GOAL})")
    print(f"5 MB of ANSI text: {ansi_s:.2f} s (goal: at most 2)")
    return 0 if theirs_s / ours_s >= GOAL and ansi_s <= 2 else 1  # noqa: PLR2004


if __name__ == "__main__":
    sys.exit(main())
