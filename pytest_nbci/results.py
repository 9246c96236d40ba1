"""From pytest's three phases of an item to one record, written when the last is over."""

from __future__ import annotations

import os
import socket
from collections.abc import Generator
from dataclasses import asdict, replace
from typing import Any

import pytest

from pytest_nbci.collection import COLLECTION, Attempt, NotebookItem
from pytest_nbci.delivery import STOOD_IN, Destination
from pytest_nbci.errors import DeliveryError
from pytest_nbci.execution.run import SetupProblem
from pytest_nbci.execution.text import plain_text
from pytest_nbci.execution.verdict import Verdict
from pytest_nbci.junit import output_tail
from pytest_nbci.records import Record, Summary, summary_of, utc_now
from pytest_nbci.reports import NotebookFailure, reproduce_line, told_attempts
from pytest_nbci.scrub import Secrets, scrub_data, scrub_values
from pytest_nbci.selection import Evidence
from pytest_nbci.witness import Witness

# What a notebook, a fixture or a setting said; all else in a record is ours.
_SAID = (
    "message",
    "cure",
    "error",
    "failed_cell",
    "stderr_tail",
    "stack",
    "skip_reason",
    "parameters",
    "warnings",
)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note each phase of a notebook; after the last, write its results."""
    report = yield
    if isinstance(item, NotebookItem):
        _note(item, call, report)
        # With --setup-only, which --setup-plan implies, nothing was run.
        if report.when == "teardown" and not item.config.getoption("setuponly", default=False):
            _write(item, report)
        _scrub_report(item, report)
    return report


def summary_in(report: pytest.TestReport) -> Summary | None:
    """The result that the last phase's report carries, also from an xdist worker."""
    data = getattr(report, "nbci_summary", None)
    return Summary(**data) if data else None


def unwritten_in(report: pytest.TestReport) -> dict[str, str]:
    """The notebook whose result could not be written, and why; mostly none."""
    found: dict[str, str] = getattr(report, "nbci_unwritten", {})
    return found


def _secrets(item: NotebookItem) -> Secrets:
    return item.config.stash[COLLECTION].worker.secrets_in(os.environ)


def _scrub_report(item: NotebookItem, report: pytest.TestReport) -> None:
    """Take secrets out of what pytest and its reporters will show of it.

    As plain data, which is how pytest-xdist sends it; a report without secrets stays as it is.
    """
    hook = item.config.hook
    data = hook.pytest_report_to_serializable(config=item.config, report=report)
    shown = {name: data[name] for name in ("longrepr", "sections", "user_properties")}
    scrubbed = scrub_values(shown, _secrets(item))
    if scrubbed != shown:
        plain = hook.pytest_report_from_serializable(config=item.config, data={**data, **scrubbed})
        for name in shown:
            setattr(report, name, getattr(plain, name))
    if hasattr(report, "wasxfail"):
        report.wasxfail = scrub_values(report.wasxfail, _secrets(item))


def end_attempt(item: NotebookItem) -> None:
    """Write what an attempt came to that another one follows, and begin that."""
    ended = item.attempt
    record = _record(item, ended)
    ended.result = summary_of(record)
    item.attempt = ended.next()
    try:
        item.config.stash[COLLECTION].worker.write_attempt(
            record, ended.run.content if ended.run else None
        )
    except DeliveryError as error:
        item.attempt.warnings = (f"Attempt {record.attempts} is not kept: {error}",)


def _note(item: NotebookItem, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    attempt = item.attempt
    error = call.excinfo.value if call.excinfo is not None else None
    if report.when == "teardown" and attempt.verdict and attempt.verdict.outcome != "passed":
        # What happened first stays the verdict.
        if isinstance(error, SetupProblem):
            attempt.warnings = (*attempt.warnings, error.verdict.message)
        elif call.excinfo is not None:
            said = _foreign(item, call.excinfo, "teardown").message
            attempt.warnings = (*attempt.warnings, said)
    elif isinstance(error, SetupProblem):
        attempt.verdict = error.verdict
    elif hasattr(report, "wasxfail") and report.skipped:
        attempt.skip_reason = f"failed as expected (xfail): {report.wasxfail}"
        attempt.verdict = replace(attempt.verdict or Verdict("skipped"), outcome="skipped")
    elif isinstance(error, pytest.skip.Exception):
        attempt.skip_reason = str(error.msg)
        attempt.verdict = Verdict("skipped")
    elif call.excinfo is not None and not isinstance(error, NotebookFailure):
        attempt.verdict = _foreign(item, call.excinfo, str(report.when))


def _foreign(
    item: NotebookItem, excinfo: pytest.ExceptionInfo[BaseException], when: str
) -> Verdict:
    """A verdict for an exception of somebody else's fixture or hook."""
    said = plain_text(excinfo.exconly(tryshort=True)).strip().splitlines() or [excinfo.typename]
    if when == "call":
        return Verdict(
            "failed",
            "not_run",
            f"{item.notebook_name}: it was not run to its end: {said[0]}",
            "The traceback in pytest's output says who interrupted it.",
        )
    return Verdict(
        "error",
        "test_data_error",
        f"{item.notebook_name}: a fixture failed in {when}: {said[0]}",
        "Mend the fixture; its traceback is in pytest's output.",
    )


def _write(item: NotebookItem, report: pytest.TestReport) -> None:
    attempt = item.attempt
    record = _record(item, attempt)
    try:
        item.config.stash[COLLECTION].worker.write(
            record, attempt.run.content if attempt.run else None, attempt.kept
        )
    except DeliveryError as error:
        report.outcome = "failed"
        report.longrepr = f"The result of {item.notebook_name} is lost: {error}"
        why = f"its result could not be written: {error.message.rstrip('.')}"
        report.nbci_unwritten = {item.notebook_name: why}  # type: ignore[attr-defined]
        return
    attempt.result = summary_of(record)
    report.nbci_summary = asdict(attempt.result)  # type: ignore[attr-defined]
    report.nbci_output = "\n".join(  # type: ignore[attr-defined]
        [*told_attempts(record), output_tail(attempt.run.content if attempt.run else None)]
    )
    attempt.run = None  # the executed notebook may be large


def _record(item: NotebookItem, attempt: Attempt) -> Record:
    collection = item.config.stash[COLLECTION]
    context, worker, run = collection.context, collection.worker, attempt.run
    read = run.notebook if run else None
    verdict = attempt.verdict or Verdict(
        "lost", "lost", f"{item.notebook_name}: no phase of the test told what came of it."
    )
    evidence = _evidence(item, attempt, worker.witness)
    record = Record(
        session=context.session,
        project=context.project,
        notebook=item.notebook_name,
        outcome=verdict.outcome,
        cause=verdict.cause,
        message=verdict.message,
        cure=verdict.cure,
        error=verdict.error,
        stderr_tail=verdict.stderr_tail,
        stack=verdict.stack,
        skip_reason=attempt.skip_reason,
        started_at=run.started_at if run else utc_now(),
        duration_s=round(run.duration_s, 3) if run else 0.0,
        cells=verdict.cells,
        failed_cell=verdict.failed_cell,
        commit=context.commit,
        tested_commit=worker.snapshot.head,
        dirty=context.dirty,
        job=_job(),
        parameters=dict(run.parameters) if run else {},
        profile=context.profile.name,
        due=context.reasons.get(item.notebook_name, "every notebook runs"),
        fingerprint=evidence.basis.fingerprint if evidence else None,
        inputs=worker.witness.hashes.inputs(evidence.inputs) if evidence else (),
        listed=worker.witness.hashes.folders(evidence.observed) if evidence else (),
        depends_on=evidence.to_plain() if evidence else {},
        environment={
            **worker.environment,
            "kernel": run.kernel_name if run else None,
            STOOD_IN: attempt.stood_in,
        },
        peak_memory_bytes=run.peak_memory_bytes if run else None,
        source_sha256=read.source_sha256 if read else "",
        attempts=attempt.number,
        flaky=verdict.outcome == "passed" and attempt.number > 1,
        earlier=attempt.earlier,
        reproduce=reproduce_line(item),
        kept=tuple(sorted(attempt.kept)),
        warnings=_warnings(attempt, context.destination),
    )
    said = {name: getattr(record, name) for name in _SAID}
    return replace(record, **scrub_data(said, _secrets(item)))


def _evidence(item: NotebookItem, attempt: Attempt, witness: Witness) -> Evidence | None:
    """What the verdict depended on; where that is not to be had, the notebook stays due."""
    try:
        return witness.evidence(item.notebook_path, attempt.run, item.fixture_use)
    except Exception as error:  # noqa: BLE001 - any source of the repository is parsed for it
        said = f"What it depends on could not be found: {type(error).__name__}: {error}"
        attempt.warnings = (*attempt.warnings, said)
        return None


def _warnings(attempt: Attempt, destination: Destination) -> tuple[str, ...]:
    found = (*(attempt.run.warnings if attempt.run else ()), *attempt.warnings)
    if not attempt.stood_in:
        return found
    said = f"This notebook's own MLflow runs wait in .nbci for {destination.tracking}"
    return (*found, f"{said}; they are delivered with the result")


def _job() -> dict[str, Any]:
    """GitLab's variables: https://docs.gitlab.com/ci/variables/predefined_variables/."""
    return {
        "pipeline": os.environ.get("CI_PIPELINE_ID"),
        "job": os.environ.get("CI_JOB_ID"),
        "url": os.environ.get("CI_JOB_URL"),
        "node": socket.gethostname(),
    }
