"""What an observer tells of real processes: every file opened, every folder listed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pytest_nbci.execution.observe import Observed, Observer, can_observe, observe_checkout
from pytest_nbci.execution.test_data import LaidOver, Linked

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is of Linux")


@pytest.fixture
def top(tmp_path: Path) -> Path:
    top = tmp_path / "checkout"
    for name in ("nb/a.ipynb", "data/deep/x.csv", "data/y.csv", "src/mod.py", ".git/HEAD"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text("1\n")
    return top


def observe(top: Path, code: str, laid: LaidOver | None = None) -> Observed:
    """What is told of a Python process that runs ``code`` in the folder of the notebook."""
    observer = observe_checkout(top, top, laid or LaidOver())
    try:
        subprocess.run([sys.executable, "-Ic", code], cwd=top / "nb", check=True)
    finally:
        seen = observer.finish()
    return seen


@pytest.mark.parametrize(
    ("code", "files", "folders"),
    [
        ("open('../data/y.csv')", {"data/y.csv"}, set()),
        ("import os; os.listdir('../data')", set(), {"data"}),
        ("import os; list(os.walk('..'))", set(), {"", "data", "data/deep", "nb", "src"}),
        ("import os; os.system('cat ../data/y.csv >/dev/null')", {"data/y.csv"}, set()),
        (
            "import os; os.system('setsid cat ../data/y.csv >/dev/null; exit')",
            {"data/y.csv"},
            set(),
        ),
        ("import os; os.stat('../data/y.csv')", set(), set()),
        ("open('../.git/HEAD')", set(), set()),
        (
            "import pyarrow.csv; pyarrow.csv.read_csv('../data/deep/x.csv')",
            {"data/deep/x.csv"},
            set(),
        ),
        ("import os; os.rename('../data/y.csv', 'z'); open('z')", {"data/y.csv", "nb/z"}, set()),
        (
            "import os; os.rename('../data', '../moved'); open('../moved/deep/x.csv')",
            {"data/deep/x.csv"},
            set(),
        ),
        (
            "import os, time; os.makedirs('new/deep'); time.sleep(0.2); open('new/deep/f', 'w')",
            {"nb/new/deep/f"},
            {"nb/new", "nb/new/deep"},
        ),
    ],
)
def test_whoever_opens_or_lists_is_told(top: Path, code: str, files: set[str], folders: set[str]):
    seen = observe(top, code)

    assert seen.is_complete
    assert (seen.files, seen.folders) == (files, folders)


def test_test_data_that_is_linked_is_told_by_its_name_in_the_checkout(top: Path, tmp_path: Path):
    big = tmp_path / "big.csv"
    big.write_text("1")
    (top / "data/big.csv").symlink_to(big)
    laid = LaidOver({"data/big.csv": big}, (Linked("data/big.csv", big, (0, 0, 0)),))

    seen = observe(top, "open('../data/big.csv')", laid)

    assert seen.files == {"data/big.csv"}


def test_what_a_link_leads_to_outside_is_told_by_its_own_path(top: Path, tmp_path: Path):
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep/f.csv").write_text("1")
    (top / "out").symlink_to(outside)

    seen = observe(top, "open('../out/deep/f.csv')")

    assert seen.outside == {str(outside / "deep/f.csv")}
    assert seen.files == frozenset()


def test_an_overflow_of_the_queue_is_not_known_to_be_nothing(top: Path):
    observer = observe_checkout(top, top, LaidOver())
    observer._lock.acquire()  # the reader stands still, as on a machine without time for it
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    files = [top / "data/y.csv", top / "src/mod.py"]
    for number in range(limit + 10):
        files[number % 2].read_bytes()
    observer._lock.release()

    assert not observer.finish().is_complete


def test_a_limit_of_watches_is_not_known_to_be_nothing(top: Path, monkeypatch):
    import inotify_simple

    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(inotify_simple.INotify, "add_watch", refuse)

    assert not observe(top, "pass").is_complete


def test_two_runs_in_one_checkout_add_up(top: Path):
    first, second = observe(top, "open('../data/y.csv')"), observe(top, "open('../src/mod.py')")

    assert (first | second).files == {"data/y.csv", "src/mod.py"}
    assert not (first | Observed(is_complete=False)).is_complete


def test_names_that_are_no_utf_8_are_told(top: Path):
    (top / "data" / "na\udcefve.csv").write_text("1")

    assert observe(top, "open(b'../data/na\\xefve.csv')").files == {"data/na\udcefve.csv"}


def test_what_happens_is_known_while_it_happens(top: Path, tmp_path: Path):
    observer = Observer(top, [str(top / "data")])
    (top / "data/y.csv").read_text()
    (top / "src/mod.py").read_text()

    assert observer.so_far().files == {"data/y.csv"}
    observer.finish()
    assert can_observe(tmp_path)
    assert not (tmp_path / "probe").exists()


def test_a_hard_link_counts_as_reading_what_it_is_made_of(top: Path):
    seen = observe(
        top,
        "import os; os.link('../data/y.csv', 'copy'); open('copy'); os.rename('copy', '../again')",
    )

    assert {"data/y.csv", "nb/copy"} <= seen.files


@pytest.mark.parametrize(
    "code",
    [
        "shutil.copytree('../data', t + '/d', copy_function=os.link); open(t + '/d/y.csv')",
        "os.system(f'cp -rl ../data {t}/d; cat {t}/d/y.csv > /dev/null')",
        "os.link('../data/y.csv', t + '/y'); open(t + '/y'); os.unlink(t + '/y')",
    ],
)
def test_a_hard_link_outside_counts_as_reading_too(top: Path, code: str):
    seen = observe(top, f"import os, shutil, tempfile; t = tempfile.mkdtemp(dir='../..'); {code}")

    assert "data/y.csv" in seen.files
    assert "src/mod.py" not in seen.files


def test_of_folders_that_nobody_listed_only_some_files_are_looked_at(
    top: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("pytest_nbci.execution.observe._LOOKED_AT", 0)

    assert observe(top, "import os; os.link('../data/y.csv', '../../y')").files == set()
    listed = observe(top, "import os; os.listdir('../data'); os.link('../data/y.csv', '../../z')")
    assert listed.files == {"data/y.csv"}


def test_links_in_a_linked_folder_and_listing_it_are_told(top: Path, tmp_path: Path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    (tmp_path / "second/x.csv").write_text("1")
    (tmp_path / "first/deeper").symlink_to(tmp_path / "second")
    (tmp_path / "first/round").symlink_to(tmp_path / "first")
    (top / "ext").symlink_to(tmp_path / "first")

    seen = observe(top, "import os; os.listdir('../ext'); open('../ext/deeper/x.csv')")

    assert seen.outside == {str(tmp_path / "second/x.csv")}
    assert seen.outside_folders == {str(tmp_path / "first")}
    assert seen.is_complete


def test_more_linked_folders_than_can_be_watched_leave_it_unknown(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("pytest_nbci.execution.observe._FOLDERS_OUTSIDE", 3)
    for number in range(5):
        (tmp_path / "many" / str(number)).mkdir(parents=True)
    (top / "ext").symlink_to(tmp_path / "many")

    assert not observe(top, "1").is_complete
