"""The list of a session: every notebook with its verdict, failures first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from markupsafe import Markup

from pytest_nbci.pages import facts, policy, resources
from pytest_nbci.pages.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_nbci.records import Record, Session

_ORDER = ("failed", "error", "lost", "passed", "skipped", "reused", "pending")


_LONGEST = 600  # characters of a sentence in the list


@dataclass(frozen=True)
class Row:
    """One line of the list; ``href`` is empty where there is no page."""

    notebook: str
    outcome: str
    word: str
    sentence: str
    time: str
    href: str = ""
    flaky: bool = False


def render(session: Session, records: Sequence[Record]) -> str:
    """The whole document; see :func:`pytest_nbci.pages.render_index`."""
    rows = _rows(session, records)
    counts = [
        (name, _word(name), sum(row.outcome == name for row in rows))
        for name in _ORDER
        if any(row.outcome == name for row in rows)
    ]
    bad = any(row.outcome in {"failed", "error", "lost"} for row in rows)
    html = resources.template("index.html").render(
        csp=policy.content_security_policy(),
        style=Markup(resources.text_file("static/page.css")),  # noqa: S704 - our own file
        title=one_line(session.project, 300),
        outcome="failed" if bad else "passed" if rows else "skipped",
        headline=_headline(rows),
        complete=session.complete,
        counts=counts,
        flaky=sum(row.flaky for row in rows),
        rows=rows,
        breakable=facts.breakable,
        facts=_facts(session),
    )
    return html.encode("utf-8", "replace").decode("utf-8")


def page_link(notebook: str) -> str:
    """The relative address of a notebook's page, from the index of its session."""
    try:
        name = notebook.encode("utf-8", "surrogateescape")  # a name that is not UTF-8, as it is
    except UnicodeEncodeError:
        name = notebook.encode("utf-8", "replace")
    address = quote(name) + ".html"
    # A leading slash or two would make it absolute.
    return f"./{address}" if address.startswith("/") else address


def _rows(session: Session, records: Sequence[Record]) -> list[Row]:
    rows = [
        Row(
            notebook=one_line(record.notebook, 1000),
            outcome=record.outcome if record.outcome in _ORDER else "error",
            word=facts.word(record.outcome),
            sentence=facts.sentence(
                record.message or record.skip_reason, record.notebook, _LONGEST
            ),
            time=facts.duration(record.duration_s),
            href=page_link(record.notebook),
            flaky=record.flaky,
        )
        for record in records
    ]
    seen = {record.notebook for record in records}
    for summary in session.results:
        if summary.notebook not in seen:
            seen.add(summary.notebook)
            rows.append(
                Row(
                    notebook=one_line(summary.notebook, 1000),
                    outcome=summary.outcome if summary.outcome in _ORDER else "error",
                    word=facts.word(summary.outcome),
                    sentence=facts.sentence(summary.message, summary.notebook, _LONGEST),
                    time=facts.duration(summary.duration_s),
                    flaky=summary.flaky,
                )
            )
    for planned in session.plan:
        if planned.notebook not in seen:
            outcome = "pending" if planned.due else "reused"
            name, why = one_line(planned.notebook, 1000), one_line(planned.why)
            rows.append(Row(name, outcome, _word(outcome), why, ""))
    return sorted(rows, key=lambda row: (_ORDER.index(row.outcome), row.notebook))


def _word(outcome: str) -> str:
    return {"reused": "Not due", "pending": "No result"}.get(outcome) or facts.word(outcome)


def _headline(rows: Sequence[Row]) -> str:
    ran = [row for row in rows if row.outcome not in {"reused", "pending", "skipped"}]
    bad = [row for row in ran if row.outcome != "passed"]
    if not ran:
        return "No notebook ran"
    if not bad:
        return "The notebook passed" if len(ran) == 1 else f"All {len(ran)} notebooks passed"
    return f"{len(bad)} of {len(ran)} notebooks failed"


def _facts(session: Session) -> list[facts.Fact]:
    found = [facts.Fact("Session", one_line(session.session, 100))]
    if session.commit is not None:
        found += facts.commit_facts(session.commit)
    if session.started_at:
        found.append(facts.Fact("Started", facts.moment(session.started_at)))
    if session.ended_at:
        found.append(facts.Fact("Ended", facts.moment(session.ended_at)))
    found.append(facts.Fact("Test data", one_line(session.profile, 80)))
    if session.pipeline:
        found.append(facts.Fact("Pipeline", one_line(session.pipeline, 80)))
    if session.shard != "1/1":
        found.append(facts.Fact("Shard", one_line(session.shard, 20)))
    return found
