"""What is watched of the user's tree: tracked folders, and others that may hold data."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_nbci.execution.checkout import make_snapshot
from pytest_nbci.execution.observe import Observed
from pytest_nbci.fixture_watch import FixtureWatch
from pytest_nbci.repository import find_repository
from pytest_nbci.selecting import Ground
from pytest_nbci.settings import DataProfile, read_table
from pytest_nbci.witness import FixtureUse, Witness
from tests.project import Project
from tests.selection.repositories import Analysed

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is of Linux")


@pytest.fixture
def top(project: Project) -> Path:
    """A tree with data in it that are not in git."""
    project.write("src/mod.py", "1")
    project.write("src/data.csv", "1")
    project.commit()
    for name in (
        *("local/big.csv", "local/deep/y.csv", "src/ignored.csv", "src/inner/z.csv"),
        *(".venv/x.csv", ".git/x.csv", "env/pyvenv.cfg", "env/lib/x.csv", "src/__pycache__/m.pyc"),
    ):
        project.write(name, "1")
    return project.root


def seen(top: Path, reads: Callable[[], object], ignored: Callable[[], object] = int) -> Observed:
    analysis = Analysed(Project(top)).analysis()
    watch = FixtureWatch(analysis.tree)
    time.sleep(0.01)  # time of files goes in steps of up to 10 ms
    watch.start()
    reads()
    with watch.ignoring():
        ignored()
    found = watch.so_far()
    watch.close()
    analysis.sources.close()
    assert found is not None
    assert found.is_complete
    return found


def test_what_is_opened_that_is_not_in_git_is_told_by_its_absolute_path(top: Path):
    told = ("local/big.csv", "local/deep/y.csv", "src/ignored.csv", "src/inner/z.csv")
    others = (".venv/x.csv", ".git/x.csv", "env/pyvenv.cfg", "env/lib/x.csv")

    found = seen(
        top,
        lambda: [(top / one).read_bytes() for one in (*told, *others, "src/__pycache__/m.pyc")],
    )

    assert found.outside == {str(top / name) for name in told}
    assert found.files == set()


def test_folders_that_are_listed_are_told_and_tracked_ones_by_their_names(top: Path):
    found = seen(top, lambda: [list((top / one).iterdir()) for one in ("src", "local/deep")])

    assert found.folders == {"src"}
    assert found.outside_folders == {str(top / "local/deep")}


def test_what_the_session_itself_wrote_is_no_input(top: Path):
    def write_and_read() -> None:
        for name in ("local/big.csv", "local/new.csv", "out/new.csv"):
            (top / name).parent.mkdir(exist_ok=True)
            (top / name).write_text("2")
            (top / name).read_text()
        list((top / "local").iterdir())
        (top / "src/data.csv").read_text()

    found = seen(top, write_and_read)

    assert (found.files, found.outside, found.outside_folders) == ({"src/data.csv"}, set(), set())


def test_a_linked_folder_is_watched_unless_it_leads_back_into_the_tree(top: Path, tmp_path: Path):
    (tmp_path / "big").mkdir()
    (tmp_path / "big/x.csv").write_text("1")
    (tmp_path / "big/round").symlink_to(tmp_path / "big")
    (top / "data").symlink_to(tmp_path / "big")
    (top / "local/up").symlink_to(top.parent)
    (top / "local/round").symlink_to(top / "src")

    assert seen(top, (top / "data/x.csv").read_bytes).outside == {str(top / "data/x.csv")}


def test_of_very_many_folders_only_some_are_watched(top: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pytest_nbci.fixture_watch._UNTRACKED_AT_MOST", 3)
    for number in range(9):
        (top / f"many/{number}").mkdir(parents=True)

    assert seen(top, (top / "local/big.csv").read_bytes).outside == {str(top / "local/big.csv")}


def test_test_data_of_the_profile_that_we_copy_are_none_of_the_fixtures(top: Path):
    (top / "pyproject.toml").write_text('[tool.nbci.data.test.files]\n"x.csv" = "local/big.csv"\n')

    assert seen(top, (top / "local/big.csv").read_bytes).outside == set()


def test_what_we_ourselves_open_when_we_lay_it_is_not_told(top: Path):
    laid = [top / "local/big.csv", top / "local/deep/y.csv", top / "src/data.csv"]

    found = seen(top, laid[0].read_bytes, lambda: [one.read_bytes() for one in laid])

    assert (found.files, found.outside) == (set(), {str(laid[0])})


def test_a_circle_of_links_is_no_folder(top: Path):
    (top / "local/circle").symlink_to("circle")
    found = seen(top, (top / "local/big.csv").read_text)
    assert str(top / "local/big.csv") in found.outside


def test_who_cannot_watch_ends_no_session_and_has_every_file_count(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    project.write("conftest.py", "")
    project.notebook("a.ipynb", "1")
    project.commit()
    repository = find_repository(project.root)
    ground = Ground(repository, read_table(project.root), DataProfile("test"))
    witness = Witness(ground, make_snapshot(repository, tmp_path / "snapshot"), None)

    def fails(_: object) -> None:
        raise RuntimeError("odd")

    monkeypatch.setattr("pytest_nbci.witness.FixtureWatch", fails)
    witness.look_ahead()
    evidence = witness.evidence("a.ipynb", None, FixtureUse(is_any=False, makes_data=False))
    witness.close()
    assert evidence is not None
    assert evidence.every is not None
