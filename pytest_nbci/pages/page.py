"""The page of one notebook: the verdict, where it comes from, then the notebook itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from pytest_nbci.pages import ansi, cells, facts, interactive, latex, policy, resources
from pytest_nbci.pages.longtext import text_block
from pytest_nbci.pages.text import one_line, straight, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_nbci.records import Record

_CELL = re.compile(r"cell (\d{1,6})")
_SURROGATE = re.compile("[\ud800-\udfff]")
_KANA = re.compile("[\u3040-\u30ff]")


def render(notebook: Mapping[str, Any], record: Record) -> str:
    """The whole document; see :func:`pytest_nbci.pages.render_page`."""
    shown = cells.views(notebook, record)
    needs = frozenset[str]().union(*(view.needs for view in shown))
    body = "".join(view.body + view.outputs for view in shown)
    path = one_line(record.notebook, 1000)
    html = resources.template("page.html").render(
        csp=policy.content_security_policy(),
        style=_own("static/page.css"),
        formula_style=latex.style(body),
        page_script=_own("static/page.js"),
        frame_script=_own("static/frame.js") if _has_frames(body) else "",
        libraries=interactive.libraries(needs),
        language="ja" if _KANA.search(body) else "",
        title=path,
        folder=facts.breakable(path[: path.rfind("/") + 1]),
        name=facts.breakable(path[path.rfind("/") + 1 :]),
        session=one_line(record.session, 100),
        outcome=record.outcome if record.outcome in facts.WORDS else "error",
        word=facts.word(record.outcome),
        sentence=facts.sentence(record.message, record.notebook),
        cure=facts.said(record.cure),
        skip_reason=facts.said(record.skip_reason),
        failure=_failure(record),
        stderr=_terminal(record.stderr_tail),
        stack=_terminal(record.stack),
        failed=next((view for view in shown if view.failed), None),
        failed_label=_failed_label(record),
        facts=facts.facts(record),
        parameters=facts.table(record.parameters),
        environment=facts.table(record.environment),
        inputs=facts.inputs(record),
        kept=facts.kept_files(record),
        flaky=record.flaky,
        earlier=facts.earlier(record),
        warnings=[facts.said(warning) for warning in record.warnings],
        reproduce=straight(str(record.reproduce)),
        cells=shown,
        timeline=_timeline(shown),
        time=facts.duration(record.duration_s),
    )
    # A page may have many MB: it is copied only where it must be.
    return _SURROGATE.sub("?", html)


def _failure(record: Record) -> dict[str, Any] | None:
    error = record.error
    if error is None:
        return None
    return {
        "name": one_line(ansi.strip(text_of(error.name)), 200),
        "value": facts.said(error.value),
        "frames": [
            {
                "place": f"{one_line(frame.file, 300)}, line {frame.line}",
                "anchor": f"cell-{match[1]}" if (match := _CELL.fullmatch(frame.file)) else "",
                "function": one_line(frame.function, 120),
                "source": one_line(frame.source, 400),
            }
            for frame in error.frames
        ],
    }


def _terminal(text: str) -> Markup:
    lines = ansi.to_lines(text_of(text).strip("\n"))
    return text_block(lines, "text") if text else Markup()


def _failed_label(record: Record) -> str:
    failed = record.failed_cell
    if failed is None:
        return ""
    return f"cell {failed.number}" if failed.number is not None else "the parameters cell"


def _timeline(shown: Sequence[cells.CellView]) -> list[dict[str, Any]]:
    """The code cells as parts of a strip; wide is what took long."""
    timed = [view for view in shown if view.kind == "code" and not view.parameters]
    longest = max((view.seconds for view in timed), default=0.0)
    return [
        {
            "anchor": view.anchor,
            "status": view.status.replace(" ", "-"),
            "weight": f"{1 + 99 * (view.seconds / longest if longest else 0):.1f}",
            "label": f"cell {view.number}: {view.status or 'no record'}"
            + (f", {view.time}" if view.time else ""),
            "number": view.number,
        }
        for view in timed
    ]


def _has_frames(body: str) -> bool:
    return 'class="payload"' in body


def _own(name: str) -> Markup:
    return Markup(resources.text_file(name))  # noqa: S704 - a file of this package
