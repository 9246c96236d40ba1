"""Files of passed results that are damaged, or that somebody made who means harm."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_nbci.errors import NbciError
from pytest_nbci.selection import Readings, State
from tests.selection.repositories import Analysed, passed_folder

Damage = Callable[[dict[str, Any]], Any]


@pytest.fixture
def passed(repo: Analysed) -> Analysed:
    repo.project.notebook("a.ipynb", "open('x.csv')")
    repo.project.write("x.csv", "1")
    repo.project.commit()
    repo.passes({"a.ipynb": Readings({"x.csv"}, ())})
    assert repo.due() == {}
    return repo


def kept(repo: Analysed) -> tuple[Path, dict[str, Any]]:
    (file,) = passed_folder(repo).iterdir()
    return file, json.loads(file.read_bytes())


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data | {"files": data["files"][:8], "tree": "another"},
        lambda data: data | {"files": "é" * 8},
        lambda data: data | {"files": [data["files"]]},
        lambda data: data | {"tree": [[]]},
        lambda data: data | {"session": None},
        lambda data: data | {"covers": [[]]},
        lambda data: data | {"covers": ["../../../x"]},
        lambda data: data | {"pairs": [[[], {}]]},
        lambda data: data | {"entries": [data["entries"][0] | {"notebook": 5}]},
        lambda data: data | {"entries": [data["entries"][0] | {"files": [10**9]}]},
        lambda data: data | {"entries": [data["entries"][0] | {"commit": "\x1b[2J"}]},
        lambda data: data | {"entries": [data["entries"][0] | {"at": "\ud800"}]},
        lambda data: data | {"entries": [data["entries"][0] | {"duration_s": float("nan")}]},
        lambda data: data | {"entries": [data["entries"][0] | {"duration_s": 10**400}]},
    ],
)
def test_a_value_of_another_kind_makes_the_file_as_if_it_were_not_there(
    passed: Analysed, damage: Damage
):
    file, data = kept(passed)
    file.write_text(json.dumps(damage(data)))

    with pytest.raises(NbciError, match="no record of passed notebooks"):
        State.from_json(file.read_bytes())
    assert passed.due() == {"a.ipynb": "it has no result yet"}


@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff\xfe\x00", b"9" * 5000, b"null"])
def test_what_is_no_json_of_ours_is_told_as_such(content: bytes):
    with pytest.raises(NbciError, match="no record of passed notebooks"):
        State.from_json(content)


@pytest.mark.parametrize("path", ["/a\0b", "/dev/zero", "/\ud800", "\x1b[2J\n"])
def test_an_input_that_no_file_can_be_makes_its_notebook_due_and_is_shown_plainly(
    passed: Analysed, path: str
):
    file, data = kept(passed)
    number = len(data["pairs"])
    data["pairs"].append([path, "1"])
    data["entries"][0] |= {"inputs": [number], "listed": [number], "files": [number]}
    file.write_text(json.dumps(data))

    (decision,) = passed.choose().decisions

    assert decision.due
    assert all(text.isprintable() for text in (decision.why, *decision.more))
