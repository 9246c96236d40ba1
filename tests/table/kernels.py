"""Kernels that are missing, broken or of another language, and parameters for them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.table.row import TIMEOUT_S, Row, cannot_start, fails, parameters, passes, raising

BASH: Mapping[str, Any] = {"kernel": "bash", "language": "bash"}
ALPHA = parameters("alpha = 1")


def of(name: str) -> dict[str, str]:
    """Kernel and language of that name."""
    return {"kernel": name, "language": name}


PYTHON: dict[str, Row] = {
    "unknown_kernel_name": passes("1", kernel="my-laptop-env"),
    "no_kernelspec": passes("1", kernel=None),
    "own_answer_refused": fails(
        "not_run", 2, "did not run", "get_ipython().kernel._aborting = True", "1", "2"
    ),
    "unknown_parameter": cannot_start(
        "unknown_parameter", "known: alpha", ALPHA, nbci={"parameters": {"alhpa": 2}}
    ),
    "parameter": passes(ALPHA, "assert alpha == 2", nbci={"parameters": {"alpha": 2}}),
    "fails_after_parameters": fails(
        "cell_error", 3, "cell 3", ALPHA, "1", "1 / 0", nbci={"parameters": {"alpha": 2}}
    ),
    "fails_in_parameters": fails(
        "cell_error",
        1,
        "ZeroDivision",
        parameters("alpha = 1 / 0"),
        nbci={"parameters": {"alpha": 2}},
    ),
}

OTHERS: dict[str, Row] = {
    "no_such_language": cannot_start("kernel_start", "fortran", "1", **of("fortran")),
    "no_such_wanted_kernel": cannot_start("kernel_start", "nix", "1", nbci={"kernel": "nix"}),
    "program_absent": cannot_start(
        "kernel_start", "there is no program /no/such/program", "1", **of("absent")
    ),
    "program_dies": cannot_start(
        "kernel_start", "exit code 1: the licence server said no.", "1", **of("dies")
    ),
    "program_is_mute": cannot_start(
        "kernel_start", "did not answer in 1 s", "1", nbci={"start_timeout": 1}, **of("mute")
    ),
    "spec_is_damaged": cannot_start("kernel_start", "cannot be read", "1", **of("damaged")),
    "tongues": passes("1 + 1", **of("tongues")),
    "tongues_parameter": cannot_start(
        "unknown_parameter",
        "papermill cannot write the parameter 'alpha' in the language 'tongues'",
        ALPHA,
        nbci={"parameters": {"alpha": 2}},
        **of("tongues"),
    ),
}

SHELL: dict[str, Row] = {
    "bash": passes("x=3", 'test "$x" = 3', "echo to stderr >&2", **BASH),
    "bash_by_language": passes("test -n $BASH", kernel="my-shell", language="bash"),
    "bash_command_fails": fails(
        "cell_error", 2, "exit code 1", "echo a", "false", "echo on", **BASH
    ),
    "bash_expected": passes(raising("false"), "echo on", **BASH),
    "bash_exit": fails("exit", 2, "exit 3 ended the notebook", "x=1", "exit 3", "echo on", **BASH),
    "bash_set_e_last": fails("exit", 2, "set -e", "set -e", "false", **BASH),
    "bash_exit_zero_last": passes("echo a", "exit 0", **BASH),
    "bash_killed": fails("kernel_died", 1, "SIGKILL", "kill -9 $PPID", "echo on", **BASH),
    "bash_interrupted": fails(
        "not_run", 1, "did not run", "kill -INT $PPID; sleep 3", "echo on", **BASH
    ),
    "bash_timeout": fails(
        "timeout", 2, "after 2 s", "echo on", "sleep 60", nbci={"timeout": 2}, **BASH
    ),
    "bash_unfinished": fails("timeout", 1, "2 s", "if true; then", nbci={"timeout": 2}, **BASH),
    "bash_missing_data": fails("missing_data", 1, "data/x.csv is in no", "cat data/x.csv", **BASH),
    "bash_missing_program": fails("cell_error", 1, "Install no-such", "no-such-program", **BASH),
    "bash_parameter": passes(
        parameters("alpha=1"), 'test "$alpha" = 2', nbci={"parameters": {"alpha": 2}}, **BASH
    ),
}

ROWS = {**PYTHON, **OTHERS, **SHELL}


def write_kernelspecs(folder: Path) -> None:
    """Write the kernels of the rows below ``folder``, for JUPYTER_PATH."""
    python = sys.executable
    _spec(folder, "bash", python, "-m", "bash_kernel", "-f", "{connection_file}")
    _spec(folder, "tongues", python, "-m", "ipykernel_launcher", "-f", "{connection_file}")
    _spec(folder, "absent", "/no/such/program", "{connection_file}")
    _spec(folder, "dies", python, "-c", "raise SystemExit('the licence server said no')")
    _spec(folder, "mute", "sleep", f"{10 * TIMEOUT_S}")
    (_spec(folder, "damaged") / "kernel.json").write_text("{")


def _spec(folder: Path, name: str, *argv: str) -> Path:
    found = folder / "kernels" / name
    found.mkdir(parents=True)
    spec: dict[str, str | Sequence[str]] = {"argv": argv, "display_name": name, "language": name}
    (found / "kernel.json").write_text(json.dumps(spec))
    return found
