"""One judge for each way in which a notebook can stop before its end.

No single signal decides: a line magic can give an error reply without an error output, an error
while a figure is drawn an ok reply with an error output, and an exit neither. Name and message
come from the error output where there is one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from pytest_nbci.execution.case import Case
from pytest_nbci.execution.cures import MEMORY
from pytest_nbci.execution.cutting import megabytes
from pytest_nbci.execution.diagnosis import diagnose
from pytest_nbci.execution.kernel import Exit
from pytest_nbci.execution.scene import Scene
from pytest_nbci.execution.stack import tell
from pytest_nbci.execution.text import one_line
from pytest_nbci.execution.trace import exit_payload, has_lost_its_shell
from pytest_nbci.execution.verdict import Verdict

# IPython's name for a cell's code where a compiler tells it: no reader knows it.
_COMPILED = re.compile(r" \((?:\d+\.py|<\w+>)(?:, (line \d+))?\)")
_LONGEST = 300


def _cell_error(case: Case) -> Verdict:
    failure = case.failure
    inner = failure.frames[-1] if failure.frames else None
    deeper = ""
    is_told = inner is not None and f"{Path(inner.file).name}, line" in failure.value
    if inner is not None and not inner.file.startswith("cell ") and not is_told:
        deeper = f" in {inner.file} line {inner.line}"
    value = _COMPILED.sub(_line_alone, one_line(failure.value, _LONGEST)).rstrip(".")
    said = f"{failure.name}: {value}" if value else failure.name
    found = diagnose(
        Scene(
            notebook=case.notebook,
            failure=failure,
            cell_id=case.place.id,
            place=case.ran_in,
            owner=case.execution.owner,
            traceback=case.traceback,
        )
    )
    return Verdict(
        "failed",
        found.cause,
        f"{case.where}: {said}{deeper}{found.addition}.",
        found.cure,
        error=failure,
    )


def _line_alone(match: re.Match[str]) -> str:
    return f" ({match[1]})" if match[1] else ""


def _exit(case: Case) -> Verdict:
    code = _exit_code(case)
    missed = [cell for cell in case.cells if cell.status == "not run"]
    if not missed and code in _GOOD_CODES and not case.execution.exits_with_text:
        return Verdict("passed")
    cure = "Remove the exit, or tag the cells after it skip-execution."
    if not missed:
        what = "ended the notebook with a non-zero code"
        cure = "Raise an exception that says what is wrong, or remove the exit."
    else:
        numbers = [str(cell.number) for cell in missed if cell.number is not None]
        several = f"cells {numbers[0]} to {numbers[-1]}"
        span = f"cell {numbers[0]}" if len(numbers) == 1 else several
        what = f"ended the notebook, so {span} never ran"
    if code == "2" and re.search("^usage: ", case.printed, re.MULTILINE):
        cure = "argparse read the kernel's own arguments: give it yours, parse_args([…])."
    return Verdict("failed", "exit", f"{case.where}: {_called(case, code)} {what}.", cure)


_GOOD_CODES = ("", "0", "None", "False")


def _called(case: Case, code: str) -> str:
    """What ended the notebook, as its author wrote it."""
    if has_lost_its_shell(case.cell):
        return f"exit {code}" if code.isdigit() else "an exit (or set -e)"
    if (exit_payload(case.execution.reply) or {}).get("shut_down"):
        return "shutting down its own kernel"
    is_text = case.execution.exits_with_text
    if code == "" and not is_text:
        return "exit()"
    is_value = code in _GOOD_CODES or code == "True" or code.lstrip("-").isdigit()
    is_value = is_value and not is_text
    return f"sys.exit({code if is_value else repr(one_line(code, _LONGEST))})"


def _kernel_died(case: Case) -> Verdict:
    exit_ = case.execution.exit
    reason = exit_.reason if exit_ else "ended"
    tail = exit_.stderr_tail if exit_ else ""
    peak = _peak(exit_)
    if exit_ is not None and exit_.is_out_of_memory:
        return Verdict(
            "failed",
            "out_of_memory",
            f"{case.where}: the system killed the kernel because memory ran out{peak}.",
            MEMORY,
            stderr_tail=tail,
        )
    return Verdict(
        "failed",
        "kernel_died",
        f"{case.where}: the kernel {reason}{peak}.",
        "A native library crashed, or the cell ended its own process: run that cell alone, update "
        "or pin the library.",
        stderr_tail=tail,
    )


def _peak(exit_: Exit | None) -> str:
    """``; its memory reached 1,200.5 MB`` where that is known."""
    if exit_ is None or not exit_.peak_memory_bytes:
        return ""
    return f"; its memory reached {megabytes(exit_.peak_memory_bytes)}"


def _timeout(case: Case) -> Verdict:
    return Verdict(
        "failed",
        "timeout",
        f"{case.where}: the notebook was not done after {case.execution.limit_s:g} s, "
        f"its timeout; this cell was running{case.hung}.",
        "Make it work on less test data, or raise timeout in the notebook's metadata (nbci).",
        error=case.failure if case.stacks else None,
        stack=tell(case.stacks),
    )


def _cell_timeout(case: Case) -> Verdict:
    return Verdict(
        "failed",
        "cell_timeout",
        f"{case.where}: not done after {case.execution.limit_s:g} s, the cell_timeout{case.hung}.",
        "Make it work on less test data, or raise cell_timeout.",
        error=case.failure if case.stacks else None,
        stack=tell(case.stacks),
    )


def _did_not_raise(case: Case) -> Verdict:
    return Verdict(
        "failed",
        "did_not_raise",
        f"{case.where}: it is tagged raises-exception, but raised nothing.",
        "Remove the tag, or mend what should be refused.",
    )


def _not_run(case: Case) -> Verdict:
    return Verdict(
        "failed",
        "not_run",
        f"{case.where}: the kernel did not run this cell.",
        "Run the notebook from a restarted kernel; tag a cell that should not run skip-execution.",
    )


JUDGES: Mapping[str, Callable[[Case], Verdict]] = {
    "error": _cell_error,
    "exit": _exit,
    "kernel_died": _kernel_died,
    "timeout": _timeout,
    "cell_timeout": _cell_timeout,
    "did_not_raise": _did_not_raise,
    "aborted": _not_run,
}


def _exit_code(case: Case) -> str:
    """The code as it was given; empty for ``exit()``.

    IPython hands the argument of ``exit(…)`` on as "keep the kernel"; a number is meant as a code.
    """
    payload = exit_payload(case.execution.reply)
    if payload is not None:
        kept = payload.get("keepkernel")
        return str(kept) if isinstance(kept, int) and not isinstance(kept, bool) else ""
    if has_lost_its_shell(case.cell):
        last = case.cell["source"].strip().rpartition("\n")[2].strip()
        match = _SHELL_EXIT.fullmatch(last)
        return (match[1] or "") if match else "unknown"
    output = case.error_output
    if output is not None and output["ename"] == "SystemExit":
        return str(output["evalue"])
    if case.execution.reply.get("ename") == "SystemExit":
        return str(case.execution.reply.get("evalue") or "0")
    return ""


_SHELL_EXIT = re.compile(r"exit(?:\s+(\d+))?")
