"""Floods and oddities of output: what is stored and shown is what Jupyter shows, within a limit."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.project import Project, Ran

LIMIT = 100_000  # bytes, of the project below

NOTEBOOKS: dict[str, tuple[str, ...]] = {
    "printed": ("for i in range(200_000): print('line', i)", "print('after')"),
    "one_line": ("print('<' + 'é' * 3_000_000 + '>')",),
    "to_stderr": ("import sys\nfor i in range(20_000): print('line', i, file=sys.stderr)",),
    "subprocess": (
        (
            "import subprocess, sys\n"
            "for n in range(20):\n"
            "    subprocess.run([sys.executable, '-c', f'print(\"é\" * 1_001, {n})'])\n"
        ),
        "subprocess.run(['sh', '-c', 'yes | head -c 3000000; echo the end']);",
    ),
    "displays": ("for i in range(3_000): display(i)",),
    "figure": (
        (
            "display({'image/png': 'iVBO' * 50_000, 'text/plain': '<Figure>'}, raw=True)\n"
            "print('next')"
        ),
        "h = display('small', display_id='d')",
        "h.update({'text/html': 'x' * 200_000}, raw=True)",
    ),
    "interleaved": (
        (
            "import sys\n"
            "for i in range(30):\n"
            "    print('o', i, flush=True); print('e', i, file=sys.stderr, flush=True)"
        ),
    ),
    "odd": (
        r"print('before \ud83d between \udc80 after')",
        r"'\udfff'",
        r"print('nul \0 bell \a \x1b[31mred\x1b[0m \u202e')",
        "print('   50%', end='\\r'); print('  100%')",
    ),
    "odd_error": (r"raise ValueError('half \ud801 a pair')",),
    "big_error": ("print('a' * 300_000)\nraise ValueError('v' * 3_000_000)",),
    "error_then_flood": (
        "class A:\n    def __repr__(self): raise RuntimeError('not shown')",
        "display(A())\nfor i in range(300): display('x' * 1_000)",
    ),
    "cleared": (
        (
            "from IPython.display import clear_output\n"
            "for i in range(300):\n"
            "    clear_output(wait=True); print('x' * 1_000, i)"
        ),
        "print('gone'); clear_output()\nprint('stays')",
        "print('stays, too'); clear_output(wait=True)",
    ),
    "updated": (
        "h = display('first', display_id='a'); display('other')",
        "for i in range(300): h.update(f'step {i}')",
        "h = display('again', display_id='a')",
    ),
    "widgets": (
        (
            "from comm import create_comm\n"
            "state = {'_model_module': '@jupyter-widgets/output', '_model_name': 'OutputModel', "
            "'outputs': [], 'msg_id': ''}\n"
            "widget = create_comm(target_name='jupyter.widget', data={'state': state})\n"
            "told = []\n"
            "widget.on_msg(lambda m: told.append(m['content']['data']['state']['outputs']))"
        ),
        (
            "request = get_ipython().get_parent()['header']['msg_id']\n"
            "widget.send({'method': 'update', 'state': {'msg_id': request}})\n"
            "for i in range(3_000): print('inside', i, flush=i % 100 == 99)\n"
            "widget.send({'method': 'update', 'state': {'msg_id': ''}})\n"
            "print('outside')"
        ),
        "assert told[-1][0]['text'].endswith('inside 2999\\n'), told",
    ),
    "many_cells": tuple("print('x' * 150_000)" for _ in range(8)),
    "flood_and_death": (
        "import os, time\nprint('y' * 300_000, flush=True)\ntime.sleep(0.5)\nos._exit(3)",
    ),
    "timeout": ("while True: print('z' * 1_000)",),
}
METADATA = {"timeout": {"nbci": {"timeout": 3}}}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    project = Project.create(tmp_path_factory.mktemp("outputs") / "project")
    project.table(f"output_limit = {LIMIT / 1_000_000}")
    for name, cells in NOTEBOOKS.items():
        project.notebook(f"{name}.ipynb", *cells, metadata=METADATA.get(name, {}))
    project.commit()
    return project.pytest("-n", "2", "--junitxml=junit.xml")


def outputs(ran: Ran, name: str, cell: int = 1) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ran.executed(f"{name}.ipynb")["cells"][cell - 1]["outputs"]
    return found


def text(ran: Ran, name: str, cell: int = 1) -> str:
    (output,) = outputs(ran, name, cell)
    return str(output["text"])


def test_the_outcomes_are_those_of_the_code(ran: Ran):
    outcomes = {name: ran.record(f"{name}.ipynb").cause for name in NOTEBOOKS}
    assert {name: cause for name, cause in outcomes.items() if cause is not None} == {
        "odd_error": "cell_error",
        "big_error": "cell_error",
        "error_then_flood": "cell_error",
        "flood_and_death": "kernel_died",
        "timeout": "timeout",
    }, ran.out
    assert not any("drawn" in str(ran.record(f"{name}.ipynb").warnings) for name in NOTEBOOKS)


def test_of_a_flood_beginning_and_end_are_kept_and_the_middle_is_told(ran: Ran):
    shown = text(ran, "printed")
    assert shown.startswith("line 0\nline 1\n")
    assert shown.endswith("\nline 199998\nline 199999\n")
    (notice,) = [line for line in shown.splitlines() if not line.startswith("line ")]
    assert notice == "[... 2.2 MB of output left out by nbci (output_limit = 0.1 MB) ...]"
    assert LIMIT - 10_000 < len(shown) < LIMIT + 200
    assert all(re.fullmatch(r"line \d+", line) for line in shown.splitlines() if line != notice)
    assert ran.record("printed.ipynb").warnings == (
        "Left out of cell 1: 2.2 MB of output (output_limit = 0.1 MB)",
    )
    assert text(ran, "printed", 2) == "after\n"
    assert notice in (ran.session_folder / "printed.ipynb.html").read_text()


def test_one_huge_line_is_cut_between_characters(ran: Ran):
    shown = text(ran, "one_line")
    start, notice, end, last = shown.split("\n")
    assert start == "<" + "é" * (len(start) - 1)
    assert end == "é" * (len(end) - 1) + ">"
    assert "5.9 MB of output" in notice
    assert not last
    assert len(shown.encode()) < LIMIT + 200


def test_stderr_is_limited_as_well(ran: Ran):
    (output,) = outputs(ran, "to_stderr")
    assert output["name"] == "stderr"
    assert output["text"].startswith("line 0\n")
    assert output["text"].endswith("line 19999\n")
    assert "left out" in output["text"]


def test_what_subprocesses_write_is_whole_and_in_its_cell(ran: Ran):
    assert text(ran, "subprocess") == "".join(f"{'é' * 1_001} {n}\n" for n in range(20))
    shown = "".join(out["text"] for out in outputs(ran, "subprocess", 2) if "text" in out)
    assert shown.startswith("y\ny\n")
    assert shown.endswith("y\nthe end\n")
    assert "2.9 MB of output left out" in shown


def test_of_many_outputs_the_first_and_last_are_kept(ran: Ran):
    found = outputs(ran, "displays")
    shown = [out["data"]["text/plain"] for out in found if "data" in out]
    assert shown[:2] == ["0", "1"]
    assert shown[-2:] == ["2998", "2999"]
    assert len(shown) < 100
    (gap,) = [out["text"] for out in found if "text" in out]
    assert gap.startswith(f"[... {3_000 - len(shown):,} outputs (")


def test_a_figure_above_the_limit_is_replaced_by_its_type_and_size(ran: Ran):
    figure, printed = outputs(ran, "figure")
    notice = "[... image/png of 0.2 MB left out by nbci (output_limit = 0.1 MB) ...]"
    assert figure["data"] == {"text/plain": notice}
    assert printed["text"] == "next\n"
    (updated,) = outputs(ran, "figure", 2)
    assert updated["data"]["text/plain"].startswith("[... text/html of 0.2 MB left out")
    assert [warning[:18] for warning in ran.record("figure.ipynb").warnings] == [
        "Left out of cell 1",
        "Left out of cell 3",
    ]


def test_stdout_and_stderr_stay_in_their_order(ran: Ran):
    found = [(out["name"], out["text"]) for out in outputs(ran, "interleaved")]
    assert found == [
        pair for i in range(30) for pair in (("stdout", f"o {i}\n"), ("stderr", f"e {i}\n"))
    ]


def test_lone_surrogates_and_control_characters_are_stored_as_they_came(ran: Ran):
    assert text(ran, "odd") == "before \ud83d between \udc80 after\n"
    assert outputs(ran, "odd", 2)[0]["data"]["text/plain"] == "'\\udfff'"
    assert text(ran, "odd", 3) == "nul \0 bell \a \x1b[31mred\x1b[0m \u202e\n"
    assert text(ran, "odd", 4) == "   50%\r  100%\n"
    page = (ran.session_folder / "odd.ipynb.html").read_text()
    assert "50%" not in page.split("<body", 1)[1].split("  100%")[1]
    error = ran.record("odd_error.ipynb").error
    assert error is not None
    assert "a pair" in error.value


def test_a_huge_error_is_cut_and_stays_the_verdict(ran: Ran):
    record = ran.record("big_error.ipynb")
    assert record.error is not None
    assert record.error.name == "ValueError"
    assert len(record.error.value) < LIMIT
    assert len(json.dumps(outputs(ran, "big_error"))) < 2 * LIMIT


def test_an_error_that_a_flood_buries_still_fails_the_notebook(ran: Ran):
    record = ran.record("error_then_flood.ipynb")
    assert record.failed_cell is not None
    assert record.failed_cell.number == 2
    assert "not shown" in record.message


def test_clear_output_leaves_what_jupyter_leaves(ran: Ran):
    assert text(ran, "cleared") == "x" * 1_000 + " 299\n"
    assert text(ran, "cleared", 2) == "stays\n"
    assert text(ran, "cleared", 3) == "stays, too\n"
    assert ran.record("cleared.ipynb").warnings == ()


def test_updates_reach_the_outputs_of_earlier_cells(ran: Ran):
    shown = [out["data"]["text/plain"] for out in outputs(ran, "updated")]
    assert shown == ["'again'", "'other'"]
    assert outputs(ran, "updated", 2) == []
    assert [out["data"]["text/plain"] for out in outputs(ran, "updated", 3)] == ["'again'"]


def test_an_output_widget_holds_what_is_printed_into_it(ran: Ran):
    assert text(ran, "widgets", 2) == "outside\n"
    saved = ran.executed("widgets.ipynb")["metadata"]["widgets"]
    (model,) = saved["application/vnd.jupyter.widget-state+json"]["state"].values()
    (inside,) = model["state"]["outputs"]
    assert inside["text"] == "".join(f"inside {i}\n" for i in range(3_000))


def test_the_whole_notebook_has_a_limit_and_each_cell_keeps_something(ran: Ran):
    sizes = [len(text(ran, "many_cells", cell)) for cell in range(1, 9)]
    assert sizes[0] > 0.9 * LIMIT
    assert sum(sizes) < 6 * LIMIT
    assert all(sizes)
    assert "0.1 MB a cell, 0.5 MB a notebook" in text(ran, "many_cells", 8)


def test_a_dead_kernel_leaves_what_it_had_said(ran: Ran):
    assert text(ran, "flood_and_death").startswith("yyy")
    assert text(ran, "flood_and_death").endswith("yyy\n")


def test_a_timeout_hits_within_a_flood_and_keeps_the_output(ran: Ran):
    record = ran.record("timeout.ipynb")
    assert record.duration_s < 13
    assert "left out by nbci" in text(ran, "timeout")
    assert record.warnings
