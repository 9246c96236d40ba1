"""Situations in which other tools test themselves, in our own words; docs/verdicts.md tells why."""

from __future__ import annotations

import json
from typing import Any

from tests.project import Cell, notebook_json
from tests.table.row import Row, cannot_start, fails, parameters, passes


def with_metadata(*cells: str | Cell, **metadata: Any) -> bytes:
    """A notebook with metadata that other tools read."""
    return json.dumps(notebook_json(cells, metadata)).encode()


def with_outputs(source: str, *outputs: dict[str, Any]) -> bytes:
    """A notebook of one cell that was stored with outputs."""
    content = notebook_json([source])
    content["cells"][0]["outputs"] = list(outputs)
    return json.dumps(content).encode()


ROWS: dict[str, Row] = {
    "errors_allowed_in_metadata": fails(
        "cell_error",
        1,
        "ZeroDivision",
        file=with_metadata("1 / 0", execution={"allow_errors": True}),
    ),
    "timeout_in_metadata": Row(
        (),
        "passed",
        file=with_metadata("import time; time.sleep(0.3)", execution={"timeout": 0.1}),
    ),
    "values_in_metadata": fails(
        "cell_error",
        2,
        "AssertionError",
        file=with_metadata("x = 5", "assert x == 2", nbmake={"mock": {"c1": {"x": 2}}}),
    ),
    "skipped_by_comment": fails("cell_error", 1, "ZeroDivision", "# NBVAL_SKIP\n1 / 0", "1"),
    "stored_output_differs": Row(
        (),
        "passed",
        file=with_outputs("1", {"output_type": "stream", "name": "stdout", "text": "2"}),
    ),
    "stored_error": Row(
        (),
        "passed",
        file=with_outputs(
            "1", {"output_type": "error", "ename": "E", "evalue": "old", "traceback": []}
        ),
    ),
    "markers_of_an_earlier_run": fails(
        "cell_error",
        2,
        "cell 2 (1 / 0)",
        Cell("An error was here.", ("papermill-error-cell-tag",), "markdown"),
        "1",
        Cell("It was here.", ("papermill-error-cell-tag",), "markdown"),
        "1 / 0",
    ),
    "parameter_without_a_cell": cannot_start(
        "unknown_parameter", "it declares none", "msg = None", nbci={"parameters": {"msg": "a"}}
    ),
    "parameters_of_every_kind": passes(
        parameters("a: float = 2.25  # a number\nb = [\n    1,\n    2,\n]\nc, d = None, {}"),
        "assert (a, b, c, d) == (1, ['é'], True, {'k': '\"'})",
        nbci={"parameters": {"a": 1, "b": ["é"], "c": True, "d": {"k": '"'}}},
    ),
    "sub/runs_in_its_folder": passes("import os\nassert os.path.basename(os.getcwd()) == 'sub'"),
    "error_after_a_figure": fails(
        "cell_error", 1, "RuntimeError: late", "display('x')\nraise RuntimeError('late')", "1"
    ),
}
