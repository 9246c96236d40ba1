"""For each cause, the one line without which a test must turn red."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ENGINE, DIAGNOSIS, RUN = "execution/engine.py", "execution/diagnosis.py", "execution/run.py"


@dataclass(frozen=True)
class Mutation:
    """``instead`` stands for ``line`` of ``file``; ``rows`` or a ``test`` must turn red."""

    file: str
    line: str
    instead: str
    rows: tuple[str, ...] = ()
    test: str = ""


def returns(line: str, *rows: str) -> Mutation:
    """The engine does not say that the cell decides."""
    return Mutation(ENGINE, line, f"{line.partition('return')[0]}pass", rows)


def looks(name: str, *rows: str) -> Mutation:
    """One diagnosis is not looked for."""
    return Mutation(DIAGNOSIS, f"    {name},", "", rows)


MUTATIONS: Mapping[str, Mutation] = {
    "cell_error": returns('        return "error"', "raises", "error_in_repr"),
    "missing_data": looks("missing_data", "missing_data"),
    "missing_module": looks("missing_module", "missing_module"),
    "hidden_order": looks("_hidden_order", "hidden_order"),
    "changed_library": looks("_changed_library", "changed_library"),
    "service_unavailable": looks("_service_unavailable", "service"),
    "exit": returns('        return "exit"', "sys_exit_zero", "exit_first"),
    "kernel_died": returns('        return "kernel_died"', "segfault"),
    "timeout": returns("        return limit", "timeout"),
    "cell_timeout": returns("        return limit", "cell_timeout"),
    "not_run": returns(
        '        return "aborted"  # which bash_kernel calls "abort"', "own_answer_refused"
    ),
    "did_not_raise": returns(
        '    return "did_not_raise" if is_expected and error is None else None', "did_not_raise"
    ),
    "bad_notebook": Mutation(
        RUN,
        '            run.verdict = Verdict("failed", "bad_notebook", error.message, error.cure)',
        "            pass",
        ("truncated",),
    ),
    "test_data_error": Mutation(
        "results.py",
        "        attempt.verdict = _foreign(item, call.excinfo, str(report.when))",
        "        pass",
        ("data/fixture_fails",),
    ),
    "unknown_parameter": Mutation(
        RUN,
        "    unknown = [name for name in order.settings.parameters if name not in declared]",
        "    unknown = []",
        ("unknown_parameter",),
    ),
    "kernel_start": Mutation(RUN, '    (KernelError, "kernel_start"),', "", ("program_dies",)),
    "needs_failed": Mutation(
        RUN,
        '            if verdict.outcome != "passed":',
        "            if False:",
        ("needs_raises",),
    ),
    "checkout_error": Mutation(
        RUN,
        '    (CheckoutError, "checkout_error"),',
        "",
        test="tests/faults/test_vandal.py",
    ),
    "out_of_memory": Mutation(
        "execution/verdict.py",
        "    if exit_ is not None and exit_.is_out_of_memory:",
        "    if False:",
        test="tests/faults/test_out_of_memory.py",
    ),
    "lost": Mutation(
        "records.py",
        '        outcome="lost",',
        '        outcome="failed",',
        test="tests/faults/test_interrupt.py",
    ),
}
