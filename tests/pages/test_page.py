"""A page says what happened, where and why, before anything else."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_nbci.pages import render_page, resources
from pytest_nbci.records import Cell, Commit, Frame
from tests.pages.builders import (
    Parsed,
    budget,
    code,
    error,
    failed_record,
    main_of,
    notebook,
    page,
    prose,
    record,
    shown,
    stream,
)


def test_a_passed_page_is_valid_and_says_where_it_comes_from():
    html = page(prose("# T"), code("x = 1", stream("1")))
    parsed = Parsed(html)
    assert parsed.problems == []
    text = re.sub(r"\s+", " ", parsed.text)
    for said in (
        "Passed",
        "notebooks/train.ipynb",
        "clinic/progression",
        "8f3c1d2e Fit on the October visits",
        "Aiko Tanaka",
        "october",
        "2026-10-24 08:01:32 UTC",
        "12.3 s",
        "pytest --nbci notebooks/train.ipynb",
    ):
        assert said in text, said
    assert "And more." not in text
    assert parsed.all("html")[0]["lang"] == "en"
    assert "<title>Passed: notebooks/train.ipynb</title>" in html


def test_a_failure_is_on_top_with_a_link_to_its_cell():
    frames = (
        Frame("cell 2", 4, "<module>", "load()"),
        Frame("cell 1", 2, "load", "raise"),
        Frame("src/a.py", 7, "f", "x"),
    )
    nb = notebook(
        code("def load():\n    raise"),
        code("\na\nb\nload()", error("ValueError", "no rows", "tb")),
        code("c"),
    )
    html = render_page(nb, failed_record(2, *frames))
    top, rest = html.split("<main", 1)
    assert "Cell 2 ended with ValueError: no rows." in top
    assert "Give it rows." in top
    assert 'href="#cell-2">Go to cell 2' in top
    assert "src/a.py, line 7, in f" in top
    assert 'class="cell code failed" id="cell-2"' in rest
    assert "This cell failed" in rest
    assert rest.count("<mark") == 2
    assert '<mark class="led">    <span class="k">raise' in rest
    assert '<mark class="hit">load()' in rest


def test_the_failed_cell_is_shown_whatever_its_tags_say():
    tags = ["remove-cell", "hide-input", "remove-output"]
    nb = notebook(code("bad()", error("E", "v"), tags=tags), code("gone", tags=["remove_cell"]))
    html = main_of(render_page(nb, failed_record(1)))
    assert "bad" in html
    assert "gone" not in html
    assert "<details" not in html


@pytest.mark.parametrize(
    ("tag", "source", "output"),
    [
        ("remove-cell", "gone", "gone"),
        ("remove-input", "gone", "shown"),
        ("remove_output", "shown", "gone"),
        ("hide-input", "Show code", "shown"),
        ("hide-output", "shown", "Show output"),
        ("hide-cell", "Show code", "Show output"),
    ],
)
def test_tags_of_jupyter_book_are_honoured(tag: str, source: str, output: str):
    html = main_of(page(code("source_text", stream("output_text"), tags=[tag])))
    assert ("source_text" in html) is (source != "gone")
    assert ("output_text" in html) is (output != "gone")
    for label in ("Show code", "Show output"):
        assert (f"<summary>{label}</summary>" in html) is (label in (source, output))


def test_jupyters_own_folds_are_honoured():
    cell = code("a", stream("b"))
    cell["metadata"] = {"jupyter": {"source_hidden": True, "outputs_hidden": True}}
    html = main_of(page(cell))
    assert html.count('<details class="fold">') == 2


def test_the_injected_parameters_do_not_shift_the_numbers():
    cells = (Cell("p", None, 1, 0.1, "passed"), Cell("b", 1, 2, 61.0, "passed"))
    nb = notebook(
        code("# Parameters\nn = 3", tags=["injected-parameters"], id="p"), code("b = 1", id="b")
    )
    html = main_of(render_page(nb, record(cells=cells, parameters={"n": 3})))
    assert "Parameters of this run" in html
    assert 'id="parameters"' in html
    assert 'id="cell-1"' in html
    assert "1 min 01 s" in html


def test_cells_that_did_not_run_say_so():
    cells = tuple(
        Cell("", n, None, None, status)
        for n, status in ((1, "passed"), (2, "not run"), (3, "skipped"))
    )  # type: ignore[arg-type]
    html = main_of(
        render_page(
            notebook(code("a"), code("b"), code("c", tags=["skip-execution"])), record(cells=cells)
        )
    )
    assert re.search(r'class="cell code not-run" id="cell-2".*?Not run', html, re.DOTALL)
    assert re.search(r'class="cell code skipped" id="cell-3".*?Skipped by its tag', html, re.DOTALL)


def test_an_expected_error_is_called_expected():
    html = main_of(page(code("bad()", error("E", "v"), tags=["raises-exception"])))
    assert "an error is expected here" in html
    assert "This cell failed" not in html


def test_the_timeline_is_by_duration():
    cells = tuple(Cell("", n, n, s, "passed") for n, s in ((1, 0.1), (2, 10.0), (3, None)))
    html = render_page(notebook(code("a"), code("b"), code("c")), record(cells=cells))
    weights = [float(weight) for weight in re.findall(r"flex-grow:([\d.]+)", html)]
    assert weights[1] == max(weights) == 100
    assert weights[0] == 2.0
    assert weights[2] == 1.0


def test_parameters_environment_inputs_files_and_warnings_are_listed():
    html = page(
        code("a"),
        parameters={"alpha": 0.5, "names": ["a", "b"]},
        environment={"python": "3.11.7"},
        inputs=({"path": "data/train.csv", "bytes": 2048, "origin": "test data"},),
        warnings=("Cells ran out of order.",),
        kept=("out/a b.png",),
        stderr_tail="last words",
        attempts=2,
        flaky=True,
        dirty=True,
        peak_memory_bytes=3 * 2**30,
        job={
            "pipeline": "12",
            "job": "test 1/2",
            "url": "https://gitlab.example/j/1",
            "node": None,
        },
        due="its source changed",
        tested_commit="99999999",
    )
    text = re.sub(r"\s+", " ", Parsed(html).text)
    for said in (
        "alpha0.5",
        "3.11.7",
        "data/train.csv2 KB, test data",
        "Cells ran out of order.",
        "last words",
        "passed only after a retry",
        "not committed",
        "3.0 GB",
        "its source changed",
        "Tested as99999999",
    ):
        assert said in text, said
    assert 'href="train.files/out/a%20b.png"' in html
    assert 'href="https://gitlab.example/j/1"' in html


def test_the_sentence_does_not_repeat_the_title_nor_show_escapes():
    html = page(
        outcome="failed",
        message="notebooks/train.ipynb, cell 3 (x): \x1b[31mValueError\x1b[0m",
        stderr_tail="\x1b[31mred\x1b[0m",
    )
    assert '<p class="sentence">Cell 3 (x): ValueError</p>' in html
    assert '<span class="a-fg-red">red</span>' in html


def test_a_skipped_notebook_says_why():
    html = page(outcome="skipped", skip_reason="needs a GPU")
    assert "needs a GPU" in html
    assert "There are no cells to show." in html


@pytest.mark.parametrize("outcome", ["passed", "failed", "error", "lost", "skipped", "new-in-2030"])
def test_every_outcome_has_a_page(outcome: str):
    assert Parsed(page(code("a"), outcome=outcome)).problems == []


def test_libraries_are_only_where_they_are_needed_and_once():
    assert 'class="library"' not in page(code("a", stream('class="payload" data-kind="plotly"')))
    bar = shown({"application/vnd.plotly.v1+json": {"data": [{"type": "bar"}]}})
    surface = shown({"application/vnd.plotly.v1+json": {"data": [{"type": "surface"}]}})
    one = page(code("a", bar, bar))
    assert one.count('class="library"') == 1
    assert len(one) < 1_000_000
    both = page(code("a", bar, surface))
    assert both.count('class="library"') == 1
    assert len(both) > 2_000_000


def test_a_small_page_is_small():
    assert len(page(code("a = 1", stream("1")))) < 60_000


def test_the_same_input_gives_the_same_page():
    cells = (prose("# A\n\n$x$\n\n```python\na\n```"), code("a", stream("b")))
    assert page(*cells) == page(*cells)


def test_japanese_text_is_marked_as_such():
    assert '<main class="wrap" id="notebook" lang="ja">' in page(prose("# 回帰を試す"))
    assert ' lang="ja"' not in page(prose("# Trial"))


@pytest.mark.parametrize(
    "nb",
    [
        {},
        {"cells": None},
        {"cells": [None, 3, "x", {}]},
        {"cells": [{"cell_type": "code"}]},
        {"cells": [{"cell_type": "code", "source": None, "outputs": None, "metadata": None}]},
        {
            "cells": [
                {
                    "cell_type": "code",
                    "source": ["a\n", "b"],
                    "outputs": {"a": 1},
                    "metadata": {"tags": "x"},
                }
            ]
        },
        {"cells": [{"cell_type": "markdown", "source": 3, "attachments": 4}]},
        {"cells": [{"cell_type": "raw", "source": "<b>"}]},
        {"cells": [{"cell_type": "heading", "level": 2, "source": "old"}]},
        {"cells": [], "metadata": {"kernelspec": 3, "language_info": [], "widgets": {"a": 1}}},
        {
            "cells": [
                {"cell_type": "code", "source": "a", "id": 7, "metadata": {"tags": [1, None]}}
            ],
            "metadata": [],
        },
    ],
)
def test_a_malformed_notebook_has_a_page(nb: dict[str, Any]):
    assert Parsed(render_page(nb, record())).problems == []


def test_a_record_of_wrong_types_has_a_page():
    given: Any = record(
        started_at="soon",
        duration_s=float("nan"),
        parameters=["a"],
        environment=None,
        inputs=(1, {"bytes": "x"}),
        job=None,
        warnings=(3,),
        kept=(5,),
        message=None,
        cure=None,
        profile=None,
        stderr_tail=None,
    )
    assert Parsed(render_page(notebook(code("a")), given)).problems == []
    assert (
        Parsed(
            render_page(notebook(), replace(given, commit=Commit("", "", "", "", None, "")))
        ).problems
        == []
    )


@pytest.mark.parametrize(
    "language", ["r", "julia", "bash", "javascript", "scala", "sql", "no-such-language", ""]
)
def test_any_language_is_shown(language: str):
    nb = notebook(code("x <- 1 # a"), language_info={"name": language})
    assert "x" in main_of(render_page(nb, record()))


def test_a_cell_magic_changes_the_language():
    html = main_of(page(code("%%bash\nfor i in 1 2; do echo $i; done")))
    assert '<span class="nd">%%bash</span>' in html
    assert '<span class="k">for</span>' in html


def test_marks_that_reorder_text_are_spelled_out_in_code_and_names():
    html = page(code("access = '\u202eresu'"), notebook="a\u202egpj.ipynb")
    assert "\u202e" not in html
    assert "[U+202E]" in html


def test_importing_the_package_costs_nothing():
    script = (
        "import sys, time, typing; sys.path.insert(0, '.'); import pytest_nbci;"
        "start = time.process_time(); import pytest_nbci.pages; took = time.process_time() - start;"
        "heavy = {'jinja2', 'pygments', 'markdown_it', 'nh3', 'quickjs', 'markupsafe'} & set(sys.modules);"
        "print(took * 1000, sorted(heavy))"
    )
    best = min(
        float(
            subprocess.run(
                [sys.executable, "-c", script], check=True, capture_output=True, text=True
            ).stdout.split()[0]
        )
        for _ in range(5)
    )
    assert best < budget(5)
    assert (
        "[]"
        in subprocess.run(
            [sys.executable, "-c", script], check=True, capture_output=True, text=True
        ).stdout
    )


def test_the_outcome_error_does_not_style_the_page_as_an_error_output():
    error = {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["E: v"]}
    html = page(code("a", outputs=[error]), outcome="error")
    assert html.count('class="error') == 1  # the body's


def test_a_compiled_template_that_was_cut_short_is_compiled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(resources, "__file__", str(tmp_path / "resources.py"))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    (tmp_path / "__pycache__").mkdir()
    make = resources._environment.__wrapped__
    make().get_template("page.html")
    kept = list((tmp_path / "__pycache__").iterdir())
    assert kept
    for length in (0, 5, 20, 200):
        for file in kept:
            file.write_bytes(file.read_bytes()[:length])
        make().get_template("page.html")
        assert all(file.stat().st_size > 200 for file in kept)
