"""Files that spare work in later sessions; a damaged one spares none and harms nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_nbci.selection import read_kept, write_kept
from tests.selection.repositories import Analysed

DATA = {"name": {"text": ["\ud800", 1, None]}}


def test_what_was_kept_is_read_with_the_same_key_only(tmp_path: Path):
    write_kept(tmp_path / "below/x.json", "key", DATA)

    assert read_kept(tmp_path / "below/x.json", "key") == DATA
    assert read_kept(tmp_path / "below/x.json", "another") == {}
    assert read_kept(tmp_path / "none.json", "key") == {}


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"[]",
        lambda _: b"null",
        lambda _: b"",
        lambda content: content.partition(b"\n")[0],
        lambda content: content.partition(b"\n")[0] + b"\n" + b"[" * 100_000,
        lambda content: content[:-9],
        lambda content: content.replace(b":", b":5,", 1),
        lambda content: content + b"\xff",
    ],
)
def test_a_damaged_file_counts_as_absent(repo: Analysed, damage):
    repo.project.notebook("a.ipynb", "1")
    repo.project.commit()
    folder = repo.project.root / ".nbci/selection"

    def choose() -> list[bool]:
        analysis = repo.analysis(cache=folder.parent)
        found = repo.selector().choose(analysis, ["a.ipynb"])
        analysis.sources.close()
        return [one.due for one in found.decisions]

    assert choose() == [True]
    good = {path: path.read_bytes() for path in folder.iterdir()}
    assert {path.name for path in good} == {"fingerprints.json", "sources.json"}
    for path, content in good.items():
        path.write_bytes(damage(content))

    assert choose() == [True]
    assert {path: path.read_bytes() for path in folder.iterdir()} == good
