"""Reading notebooks: every format and every damage gets its own sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_nbci import notebook
from pytest_nbci.errors import NotebookError
from tests.project import Cell, notebook_json


def load(tmp_path: Path, content: dict[str, Any]) -> notebook.Notebook:
    path = tmp_path / "x.ipynb"
    path.write_text(json.dumps(content))
    return notebook.load(path, "x.ipynb")


def test_format_3_becomes_4_5():
    read = notebook.load(Path(__file__).parent / "notebooks" / "format3.ipynb", "old.ipynb")
    kinds = [cell["cell_type"] for cell in read.content["cells"]]
    assert kinds == ["markdown", "code", "code"]
    assert read.content["cells"][2]["source"] == "print(x + 2)"
    assert (read.content["nbformat"], read.content["nbformat_minor"]) == (4, 5)


def test_numbers_count_code_cells(tmp_path: Path):
    content = notebook_json([Cell("# a", kind="markdown"), "1", Cell("raw", kind="raw"), "2"])
    assert load(tmp_path, content).numbers == {"c2": 1, "c4": 2}


def test_ids_that_are_missing_or_double_are_the_same_in_every_run(tmp_path: Path):
    content = notebook_json(["1", "2", "3"])
    del content["cells"][0]["id"]
    content["cells"][2]["id"] = "c2"
    ids = [[cell["id"] for cell in load(tmp_path, content).content["cells"]] for _ in range(2)]
    assert ids[0] == ids[1] == ["cell-1", "c2", "cell-3"]


def test_sources_in_lines_are_joined_and_stored_outputs_dropped(tmp_path: Path):
    content = notebook_json(["x"])
    content["cells"][0] |= {"source": ["a\n", "b"], "outputs": [{"output_type": "nonsense"}]}
    cell = load(tmp_path, content).content["cells"][0]
    assert (cell["source"], cell["outputs"]) == ("a\nb", [])


@pytest.mark.parametrize(
    "data", [b"\xff\xfe\x00", b"[]", b"1", b'{"nbformat": "4"}', b"{" * 200_000]
)
def test_damage_is_one_sentence(tmp_path: Path, data: bytes):
    path = tmp_path / "x.ipynb"
    path.write_bytes(data)
    with pytest.raises(NotebookError) as caught:
        notebook.load(path, "x.ipynb")
    assert caught.value.message.startswith("x.ipynb is ")
    assert caught.value.cure


def declared(source: str, language: str) -> tuple[str, ...]:
    content = notebook_json(["z = 1", Cell(source, ("parameters",))])
    return notebook.declared_parameters(notebook.Notebook(content, language, None, {}, ""))


@pytest.mark.parametrize(
    ("language", "source", "names"),
    [
        ("python", "a = 1\nb: int = 2\nc, d = 1, 2", ("a", "b", "c", "d")),
        ("python", "%matplotlib inline\na = 1", ("a",)),
        ("python", "if True:\n    a = 1", ()),
        ("python", "a == 1\na < -1", ()),
        ("python", "", ()),
        ("R", "x <- 5\ny = 'b'", ("x", "y")),
        ("bash", "a=1\necho $a", ("a",)),
    ],
)
def test_parameters_are_what_the_tagged_cell_assigns(
    language: str, source: str, names: tuple[str, ...]
):
    assert declared(source, language) == names


@given(st.text(), st.sampled_from(["python", "R"]))
def test_any_source_is_looked_into(source: str, language: str):
    declared(source, language)


@pytest.mark.parametrize(
    "text", ['{"metadata": {"nbci": {"timeout": 3}}}', "", "{", '"nbci"', '["nbci"]']
)
def test_own_settings_are_read_where_they_can_be(tmp_path: Path, text: str):
    path = tmp_path / "x.ipynb"
    path.write_text(text)
    assert notebook.read_metadata(path) in (None, {"timeout": 3})
