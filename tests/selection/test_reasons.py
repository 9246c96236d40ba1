"""What a reader is told of a change is true, and names what somebody changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_nbci.selection import Readings
from tests.selection.repositories import Analysed

LAID = '[tool.nbci.data.test]\nfiles = {"data/x.csv" = "%s"}'


@pytest.mark.parametrize(("text", "how"), [("2", "changed"), (None, "is gone")])
def test_a_file_outside_the_checkout_that_changed_is_not_gone(
    repo: Analysed, tmp_path: Path, text: str | None, how: str
):
    outside = tmp_path / "v"
    outside.write_text("1")
    repo.project.notebook("a.ipynb", "1")
    repo.project.commit()
    repo.passes({"a.ipynb": Readings((), (), {str(outside)})})

    outside.unlink()
    if text is not None:
        outside.write_text(text)

    assert repo.due() == {"a.ipynb": f"a.ipynb ← {outside} {how}"}


@pytest.mark.parametrize("source", ["open('data/x.csv')", "1"])
@pytest.mark.parametrize("place", ["p/", "far/"])
def test_test_data_that_changed_are_told_by_the_file_that_somebody_changed(
    repo: Analysed, tmp_path: Path, source: str, place: str
):
    laid = tmp_path / place / "samples/x.csv"
    laid.parent.mkdir(parents=True)
    laid.write_text("1")
    repo.project.table(LAID % laid)
    repo.project.notebook("a.ipynb", source)
    repo.project.write("data/x.csv", "as it stands in git")
    repo.project.commit()
    reads = {"a.ipynb": Readings({"data/x.csv"}, ())}
    repo.passes(reads)
    laid.write_text("2")
    repo.project.commit()

    name = "samples/x.csv" if place == "p/" else str(laid)
    assert repo.due() == {"a.ipynb": f"a.ipynb ← {name} changed"}

    repo.passes(reads)
    repo.project.write("data/x.csv", "anew")
    repo.project.commit()
    assert repo.due() == {"a.ipynb": "a.ipynb ← data/x.csv changed"}


def test_of_a_kernel_that_changed_the_kernel_is_told_first(repo: Analysed):
    repo.project.notebook("a.ipynb", "1")
    repo.project.commit()
    repo.passes()
    repo.project.notebook("a.ipynb", "1", kernel="another")
    repo.project.commit()

    assert repo.due()["a.ipynb"].startswith("its kernel changed")


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"skip": "no server\x1b[2J"}, "it is skipped: no server?[2J"),
        ({"marks": ["skip"]}, "it is skipped"),
        ({"marks": ["xfail"]}, "it is expected to fail"),
        ({"marks": ["slow"]}, "it has no result yet"),
        ({"marks": 5}, "it has no result yet"),
    ],
)
def test_a_notebook_that_is_not_meant_to_pass_is_told_as_that(repo: Analysed, own: Any, said: str):
    repo.project.notebook("a.ipynb", "1", metadata={"nbci": own})
    repo.project.commit()

    assert repo.due() == {"a.ipynb": said}


def test_a_notebook_that_is_skipped_since_is_told_as_that(repo: Analysed):
    repo.project.notebook("a.ipynb", "1")
    repo.project.commit()
    repo.passes()
    repo.project.notebook("a.ipynb", "1", metadata={"nbci": {"skip": "see redis://:s3cret-S@h"}})
    repo.project.commit()

    assert repo.due() == {"a.ipynb": "it is skipped: see redis://:[PASSWORD]@h"}
