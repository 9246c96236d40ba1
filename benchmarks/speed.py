"""Against every other way to run notebooks: each in its own environment, the same notebooks.

    python benchmarks/speed.py [--rounds 5] [--only "trivial x10,typical x10"] [--thousand]

Environments are made below benchmarks/.venvs on first use. The tools take turns; a whole run
writes RESULTS.md and RESULTS.svg, one with ``--only`` or ``--tools`` only what ``--output`` names.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from contenders import GENERATED, HERE, OURS, SETS, TOOLS, Set, Tool
from contest import Measured, environment_of, run_set
from parts import breakdown, thousand
from report import chart_of, head, results_in

Named = TypeVar("Named", Tool, Set)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each tool (default 5)")
    parser.add_argument("--only", default="", help="names of sets, separated by commas")
    parser.add_argument("--tools", default="", help="names of tools, separated by commas")
    parser.add_argument("--thousand", action="store_true", help="1,000 notebooks in one session")
    parser.add_argument("--output", type=Path, help="the page to write; its chart lies beside it")
    options = parser.parse_args()
    sets = chosen(SETS, options.only.split(",") if options.only else [])
    tools = chosen(TOOLS, options.tools.split(",") if options.tools else [])
    for notebooks in sets:
        for tool in runners(notebooks, [], tools):
            environment_of(tool, notebooks)
    is_whole = not (options.only or options.tools)
    output = options.output or (HERE / "RESULTS.md" if is_whole else None)
    found: dict[tuple[str, str, str], Measured] = {}

    def page(*more: str) -> str:
        """All so far, written each time: a run that is interrupted is not lost."""
        chart = f"![how many times as long each tool takes]({output.stem}.svg)" if output else ""
        lines = [*head(tools), "", chart, "", *results_in(found, options.rounds), *more]
        text = "\n".join(lines) + "\n"
        if output is not None:
            output.write_text(text)
            output.with_suffix(".svg").write_text(chart_of(found))
        return text

    for notebooks in sets:
        for flags in ([], ["-n", "2"]):
            takers = runners(notebooks, flags, tools)
            for one in run_set(notebooks, flags, takers, options.rounds):
                found[one.set, one.options, one.tool] = one
            page()
    our = next((tool for tool in tools if tool.name == OURS), None)
    more = [] if our is None else ["", *breakdown(our, options.rounds)]
    if our is not None and options.thousand:
        more += ["", *thousand(our)]
    print(page(*more))


def chosen(every: Sequence[Named], names: Sequence[str]) -> list[Named]:
    """Those of the given names, all where none is given."""
    known = {one.name: one for one in every}
    if wrong := [name for name in names if name not in known]:
        raise SystemExit(f"{wrong[0]!r} is none of: {', '.join(known)}")
    return [known[name] for name in names or known]


def runners(notebooks: Set, flags: Sequence[str], tools: Sequence[Tool]) -> list[Tool]:
    """The tools that run this set with these flags."""
    return [
        tool
        for tool in tools
        if notebooks.name in (tool.only or GENERATED)
        and tool.name in (notebooks.tools or [tool.name])
        and (tool.is_parallel or not flags)
    ]


if __name__ == "__main__":
    main()
