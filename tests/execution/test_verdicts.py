"""One row a way to end: outcome, cause and failed cell, as record and summary show them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.project import Cell, Project, Ran, notebook_json


@dataclass(frozen=True)
class Case:
    """What a notebook holds, and what an honest judge says of it."""

    cells: tuple[str | Cell, ...]
    outcome: str
    cause: str | None = None
    cell: int | None = None
    says: str = ""
    nbci: dict[str, Any] = field(default_factory=dict)
    kernel: str | None = "python3"
    language: str = "python"


RAISES = ("raises-exception",)

CASES: dict[str, Case] = {
    "passes": Case(("x = 1", "print(x)"), "passed"),
    "no_cells": Case((), "passed"),
    "only_markdown": Case((Cell("# Title", kind="markdown"),), "passed"),
    "blank_cells": Case(("", "   \n", "1"), "passed"),
    "raises": Case(("x = 1", "1 / 0", "print(3)"), "failed", "cell_error", 2, "ZeroDivisionError"),
    "raises_in_function": Case(
        ("def f(a):\n    return 1 / a", "f(0)"), "failed", "cell_error", 2, "f(0)"
    ),
    "syntax_error": Case(("x = (",), "failed", "cell_error", 1, "SyntaxError"),
    "empty_message": Case(("raise ValueError",), "failed", "cell_error", 1, "ValueError."),
    "assertion": Case(
        ("assert 1 == 2, 'one is not two'",), "failed", "cell_error", 1, "one is not"
    ),
    "keyboard_interrupt": Case(("raise KeyboardInterrupt", "1"), "failed", "cell_error", 1),
    "magic_fails": Case(("%run nothing.py",), "failed", "cell_error", 1, "nothing.py"),
    "cell_magic_fails": Case(("%%bash\nexit 3",), "failed", "cell_error", 1, "CalledProcessError"),
    "error_while_shown": Case(
        ("class A:\n    def __repr__(self):\n        raise RuntimeError('not shown')", "A()", "1"),
        "failed",
        "cell_error",
        2,
        "not shown",
    ),
    "error_in_thread_only": Case(
        ("import threading\nt = threading.Thread(target=lambda: 1 / 0)\nt.start(); t.join()", "1"),
        "passed",
    ),
    "top_level_await": Case(("import asyncio\nawait asyncio.sleep(0.01)", "1"), "passed"),
    "exit_first": Case(("exit()", "1", "2"), "failed", "exit", 1, "cells 2 to 3 never ran"),
    "quit_first": Case(("quit()", "1"), "failed", "exit", 1, "cell 2 never ran"),
    "sys_exit_zero": Case(("import sys", "sys.exit(0)", "1"), "failed", "exit", 2, "sys.exit(0)"),
    "sys_exit_last": Case(("import sys", "sys.exit()"), "passed"),
    "exit_last": Case(("1", "exit()"), "passed"),
    "exit_before_blank": Case(("1", "exit()", ""), "passed"),
    "exit_before_skipped": Case(("1", "exit()", Cell("2", ("skip-execution",))), "passed"),
    "sys_exit_three_last": Case(("raise SystemExit(3)",), "failed", "exit", 1, "non-zero"),
    "os_exit": Case(("import os", "os._exit(7)", "1"), "failed", "kernel_died", 2, "exit code 7"),
    "segfault": Case(
        ("import ctypes", "ctypes.string_at(0)"), "failed", "kernel_died", 2, "SIGSEGV"
    ),
    "abort": Case(("import os", "os.abort()"), "failed", "kernel_died", 2, "SIGABRT"),
    "timeout": Case(
        ("1", "import time\ntime.sleep(60)", "2"), "failed", "timeout", 2, "2 s", {"timeout": 2}
    ),
    "cell_timeout": Case(
        ("1", "while True: pass"), "failed", "cell_timeout", 2, "1.5 s", {"cell_timeout": 1.5}
    ),
    "did_raise": Case((Cell("1 / 0", RAISES), "print('on')"), "passed"),
    "did_not_raise": Case((Cell("1", RAISES), "2"), "failed", "did_not_raise", 1),
    "system_exit_expected": Case((Cell("import sys; sys.exit(2)", RAISES), "1"), "passed"),
    "skipped_cell": Case(("x = 1", Cell("1 / 0", ("skip-execution",)), "x"), "passed"),
    "hidden_order": Case(("print(later)", "later = 1"), "failed", "hidden_order", 1, "cell 2"),
    "undefined": Case(("print(nowhere)",), "failed", "hidden_order", 1, "no cell defines"),
    "missing_module": Case(("import no_such_module_1",), "failed", "missing_module", 1),
    "missing_data": Case(("open('no/data.csv')",), "failed", "missing_data", 1, "no/data.csv"),
    "laptop_path": Case(("open('/home/ada/x.csv')",), "failed", "missing_data", 1, "one machine"),
    "missing_program": Case(
        ("import subprocess\nsubprocess.run(['no-such-program'])",),
        "failed",
        "cell_error",
        1,
        "not installed",
    ),
    "changed_library": Case(
        ("import json\nimport pytest\npytest.nix()",), "failed", "changed_library", 1
    ),
    "own_class": Case(("class A: pass", "A().nix"), "failed", "cell_error", 2),
    "service": Case(
        ("import urllib.request\nurllib.request.urlopen('http://127.0.0.1:1')",),
        "failed",
        "service_unavailable",
        1,
    ),
    "unknown_kernel_name": Case(("1",), "passed", kernel="my-laptop-env"),
    "no_kernelspec": Case(("1",), "passed", kernel=None),
    "no_such_language": Case(("1",), "error", "kernel_start", None, "fortran", {}, "f", "fortran"),
    "no_such_wanted_kernel": Case(("1",), "error", "kernel_start", None, "nix", {"kernel": "nix"}),
    "unknown_parameter": Case(
        (Cell("alpha = 1", ("parameters",)),),
        "error",
        "unknown_parameter",
        None,
        "alpha",
        {"parameters": {"alhpa": 2}},
    ),
    "parameter": Case(
        (Cell("alpha = 1", ("parameters",)), "assert alpha == 2"),
        "passed",
        nbci={"parameters": {"alpha": 2}},
    ),
    "fails_after_parameters": Case(
        (Cell("alpha = 1", ("parameters",)), "1", "1 / 0"),
        "failed",
        "cell_error",
        3,
        "cell 3",
        {"parameters": {"alpha": 2}},
    ),
    "wrong_setting": Case(("1",), "failed", "bad_notebook", None, "timeout", {"tiemout": 2}),
    "skipped": Case(("1 / 0",), "skipped", nbci={"skip": "needs a GPU"}),
    "error_after_exit": Case(("exit()\n1 / 0",), "failed", "cell_error", 1, "ZeroDivision"),
    "exit_one_last": Case(("1", "exit(1)"), "failed", "exit", 2, "non-zero"),
    "sys_exit_false_last": Case(("import sys; sys.exit(False)",), "passed"),
    "many_lines": Case(
        ("for i in range(20_000): print(i, flush=True)",), "passed", nbci={"timeout": 100}
    ),
    "end_never_told": Case(
        ("get_ipython().kernel.iopub_thread.stop()",), "passed", nbci={"timeout": 3}
    ),
    "column_is_no_api": Case(
        ("import pandas\ndf = pandas.DataFrame({'a': [1]})", "df.price"),
        "failed",
        "cell_error",
        2,
        "price",
    ),
    "own_function": Case(
        ("import pandas\ndef f(x): return x", "pandas.Series([1]).apply(f, limt=3)"),
        "failed",
        "cell_error",
        2,
        "limt",
    ),
    "deleted_name": Case(("x = 1", "del x", "print(x)"), "failed", "cell_error", 3),
    "defined_in_skipped": Case(
        (Cell("df = 1", ("skip-execution",)), "df"), "failed", "hidden_order", 2, "tagged"
    ),
    "no_output_folder": Case(
        ("open('figures/a.png', 'wb')",), "failed", "cell_error", 1, "no empty folders"
    ),
    "words_of_a_service": Case(
        ("raise RuntimeError('Max retries exceeded while fitting')",), "failed", "cell_error", 1
    ),
    "undefined_name_of_ipython_startup": Case(("secret_name",), "failed", "hidden_order", 1),
    "starts_daemon": Case(
        (
            (
                "import subprocess, sys\np = subprocess.Popen([sys.executable, '-c', "
                "'import os, time; os.setsid() if not os.fork() else os._exit(0); time.sleep(600)'])"
            ),
        ),
        "passed",
    ),
}

ODD_METADATA: dict[str, dict[str, Any]] = {
    "kernelspec_is_text": {"kernelspec": "python3"},
    "language_info_is_null": {"language_info": None},
}

FILES = {
    "conflict": ('{"cells": [\n<<<<<<< HEAD\n', "line 2"),
    "truncated": ('{"cells": [', "not valid JSON"),
    "no_file_content": ("", "empty"),
    "other_json": ('{"a": 1}', "no nbformat"),
    "lfs_pointer": ("version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
    "cells_wrong": ('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [1]}', "cells"),
    "too_new": ('{"nbformat": 9, "cells": []}', "nbformat 9"),
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    project = Project.create(tmp_path_factory.mktemp("verdicts") / "p")
    for name, case in CASES.items():
        metadata = {"nbci": case.nbci} if case.nbci else {}
        content = notebook_json(case.cells, metadata, case.kernel, case.language)
        project.write(f"{name}.ipynb", json.dumps(content))
    for name, metadata in ODD_METADATA.items():
        content = {**notebook_json(["1"], kernel=None), "metadata": metadata}
        project.write(f"{name}.ipynb", json.dumps(content))
    for name, tags in (("tags_are_null", None), ("tags_are_text", "skip-execution")):
        content = notebook_json(["1"])
        content["cells"][0]["metadata"]["tags"] = tags
        project.write(f"{name}.ipynb", json.dumps(content))
    for name, (text, _) in FILES.items():
        project.write(f"{name}.ipynb", text)
    old = Path(__file__).parent.parent / "notebooks" / "format3.ipynb"
    project.write("format3.ipynb", old.read_bytes())
    project.commit()
    return project.pytest("-q", "-rA")


@pytest.mark.parametrize("name", CASES)
def test_a_notebook_gets_the_verdict_of_an_honest_judge(ran: Ran, name: str):
    case, record = CASES[name], ran.record(f"{name}.ipynb")
    assert (record.outcome, record.cause) == (case.outcome, case.cause), record.message
    assert (record.failed_cell.number if record.failed_cell else None) == case.cell
    assert case.says in record.message + record.cure
    word = {"error": "ERROR", "failed": "FAILED", "passed": "PASSED"}.get(case.outcome)
    if word:
        assert f"{word} {name}.ipynb::{name}" in ran.out


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_notebook_fails_alone(ran: Ran, name: str):
    record = ran.record(f"{name}.ipynb")
    assert (record.outcome, record.cause) == ("failed", "bad_notebook")
    assert FILES[name][1] in record.message + record.cure


def test_no_line_of_output_is_lost(ran: Ran):
    assert ran.text_of("many_lines.ipynb") == "".join(f"{i}\n" for i in range(20_000))
    assert len(ran.executed("many_lines.ipynb")["cells"][0]["outputs"]) == 1


def test_outputs_that_may_be_incomplete_are_said_so(ran: Ran):
    assert "cell 1 may be incomplete" in ran.record("end_never_told.ipynb").warnings[0]


@pytest.mark.parametrize("name", ODD_METADATA)
def test_odd_metadata_are_no_obstacle(ran: Ran, name: str):
    assert ran.record(f"{name}.ipynb").outcome == "passed"


@pytest.mark.parametrize("name", ["tags_are_null", "tags_are_text"])
def test_odd_tags_excuse_nothing_unseen(ran: Ran, name: str):
    statuses = [cell.status for cell in ran.record(f"{name}.ipynb").cells]
    assert statuses == (["passed"] if name == "tags_are_null" else ["skipped"])


def test_nbformat_3_is_upgraded_and_run(ran: Ran):
    assert ran.record("format3.ipynb").outcome == "passed"
    assert ran.text_of("format3.ipynb") == "3\n"


def test_no_traceback_of_ours_is_shown(ran: Ran):
    assert "Traceback" not in ran.err
    assert "nbclient" not in ran.out
    assert "papermill" not in ran.out


def test_frames_are_cells_and_own_files(ran: Ran):
    error = ran.record("raises_in_function.ipynb").error
    assert error is not None
    assert [(frame.file, frame.line, frame.source) for frame in error.frames] == [
        ("cell 2", 1, "f(0)"),
        ("cell 1", 2, "return 1 / a"),
    ]
