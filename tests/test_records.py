"""Records: valid JSON, fields that are only added, a newer major schema refused."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_nbci.errors import NbciError
from pytest_nbci.records import (
    Cell,
    Commit,
    FailedCell,
    Failure,
    Frame,
    Planned,
    Record,
    Session,
    Summary,
    dump_json,
    session_prefix,
)

RECORD = Record(
    session="20260101T000000Z-00000000-abcdef",
    project="a/b",
    notebook="x/é.ipynb",
    outcome="failed",
    cause="cell_error",
    error=Failure("E", "v", (Frame("cell 1", 2, "f", "g()"),)),
    cells=(Cell("c1", 1, 1, 0.5, "failed"),),
    failed_cell=FailedCell("c1", 1, "g()"),
    commit=Commit("1" * 40, "Ada", "a@b", "m", None, "t"),
    parameters={"a": [1, None]},
    warnings=("w",),
)


def test_a_record_survives_its_json():
    assert Record.from_json(RECORD.to_json()) == RECORD


def test_a_session_survives_its_json():
    session = Session(
        "20260101T000000Z-00000000-abcdef",
        "p",
        plan=(Planned("a.ipynb", due=True),),
        results=(Summary("a.ipynb", "passed", None, "", 1.0),),
    )
    assert Session.from_json(session.to_json()) == session


def test_unknown_fields_are_kept():
    data = json.loads(RECORD.to_json()) | {"new": {"deep": 1}}
    data["cells"][0]["newer"] = 1
    again = Record.from_json(json.dumps(data))
    assert json.loads(again.to_json())["new"] == {"deep": 1}


def test_a_newer_major_schema_is_refused_by_name():
    data = json.loads(RECORD.to_json()) | {"schema": "2.0"}
    with pytest.raises(NbciError, match=r"schema 2\.0, newer than 1\.0"):
        Record.from_json(json.dumps(data))


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"schema": "x"}'])
def test_what_is_no_record_is_said_in_one_sentence(text: str):
    with pytest.raises(NbciError, match="not a record"):
        Record.from_json(text)


@pytest.mark.parametrize("name", ["", "x", "20260101T000000Z-00000000-abcdef/..", "../20260101"])
def test_only_a_session_name_makes_a_prefix(name: str):
    with pytest.raises(NbciError):
        session_prefix("p", name)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(values)
def test_json_is_valid_whatever_the_values(value: object):
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    text = dump_json(value).encode("utf-8", "backslashreplace").decode()
    again = json.loads(text, parse_constant=refuse)
    if isinstance(value, float) and not math.isfinite(value):
        assert again == str(value)
