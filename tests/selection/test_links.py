"""Tracked links: what is behind them counts for whoever is one, is set up by one, or gets one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_nbci.selection import Readings
from tests.selection.repositories import Analysed


@pytest.mark.parametrize("link", ["a/link.ipynb", "a/conftest.py"])
def test_what_is_behind_a_notebook_or_conftest_that_is_a_link_counts(repo: Analysed, link: str):
    project = repo.project
    project.notebook("shared/real.ipynb", "1")
    project.write("shared/fixed.py", "1")
    project.notebook("a/other.ipynb", "1")
    project.notebook("idle.ipynb", "open('shared/fixed.py')")
    target = "real.ipynb" if link.endswith(".ipynb") else "fixed.py"
    _link(project.root / link, f"../shared/{target}")
    project.commit()
    repo.passes()
    assert repo.due() == {}

    project.notebook("shared/real.ipynb", "2")
    project.write("shared/fixed.py", "2")
    project.commit()

    due = repo.due()
    if link.endswith(".ipynb"):
        assert due[link].startswith("its source changed")
    else:
        assert due["a/other.ipynb"] == f"a/other.ipynb ← {link} ← shared/fixed.py changed"


def test_a_notebook_that_is_a_link_imports_from_where_the_link_is(repo: Analysed):
    repo.project.notebook("shared/real.ipynb", "import helper")
    repo.project.write("a/helper.py", "1")
    _link(repo.project.root / "a/link.ipynb", "../shared/real.ipynb")
    repo.project.commit()

    assert repo.files("a/link.ipynb") == {"shared/real.ipynb", "a/helper.py"}


@pytest.mark.parametrize("laid_by", ["profile", "fixture"])
def test_what_is_behind_test_data_that_are_a_link_counts(repo: Analysed, laid_by: str):
    project = repo.project
    if laid_by == "profile":
        project.table('[tool.nbci.data.test]\nroot = "samples"')
    project.write("shared/x.csv", "1")
    _link(project.root / "samples/data/x.csv", "../../shared/x.csv")
    project.notebook("a.ipynb", "1")
    project.notebook("b.ipynb", "open('shared/x.csv')")
    project.commit()
    laid = {"data/x.csv": project.root / "samples/data/x.csv"}
    repo.passes(
        {"a.ipynb": Readings({"data/x.csv"}, (), laid=laid if laid_by == "fixture" else {})}
    )
    assert repo.due() == {}

    project.write("shared/x.csv", "2")
    project.commit()

    assert set(repo.due()) == {"a.ipynb", "b.ipynb"}


def _link(link: Path, aim: str) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(aim)
