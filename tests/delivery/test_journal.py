from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_nbci.delivery.journal import Journal, journal_path, read_marks
from pytest_nbci.errors import DeliveryError

if TYPE_CHECKING:
    from pathlib import Path


def opened(folder: Path) -> Journal:
    journal = Journal.open(folder, "session")
    assert journal is not None
    return journal


def test_what_was_marked_is_there_the_next_time(tmp_path: Path):
    with opened(tmp_path) as journal:
        journal.mark("s3://b", "a.ipynb", "1")
        journal.mark("s3://b", "a.ipynb", "2")
        assert journal.stamp("s3://b", "a.ipynb") == "2"
    with opened(tmp_path) as journal:
        assert journal.stamp("s3://b", "a.ipynb") == "2"
        assert journal.stamp("s3://other", "a.ipynb") is None


def test_a_line_torn_by_a_crash_is_ignored_and_the_next_one_whole(tmp_path: Path):
    with opened(tmp_path) as journal:
        journal.mark("s3://b", "a.ipynb", "1")
    path = journal_path(tmp_path, "session")
    with path.open("ab") as file:
        file.write(b'["s3://b", "b.ip')
    with opened(tmp_path) as journal:
        assert journal.marks() == {("s3://b", "a.ipynb"): "1"}
        journal.mark("s3://b", "c.ipynb", "1")
    assert set(read_marks(path)) == {("s3://b", "a.ipynb"), ("s3://b", "c.ipynb")}
    assert json.loads(path.read_bytes().splitlines()[-1]) == ["s3://b", "c.ipynb", "1"]


def test_one_holder_at_a_time(tmp_path: Path):
    with opened(tmp_path):
        assert Journal.open(tmp_path, "session") is None
        assert Journal.open(tmp_path, "session", wait_s=0.1) is None
    opened(tmp_path).__exit__()


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DeliveryError, match="could not be written"):
        Journal.open(tmp_path / "file", "session")
