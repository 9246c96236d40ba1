"""The private checkout: what a notebook did to it is undone, whatever it was and whenever."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_nbci.execution.checkout import Checkout, make_snapshot
from pytest_nbci.repository import find_repository
from tests.project import Project

LONG_AGO_S = 0.1  # more than a file system needs to give a change another time


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    project = Project.create(tmp_path / "project")
    project.write("data/a.csv", "1,2\n")
    project.write(".gitignore", "cache/\n")
    project.commit()
    snapshot = make_snapshot(find_repository(project.root), tmp_path / "snapshot")
    made = Checkout(snapshot, tmp_path / "checkout")
    made.restore()
    return made


def listing(top: Path) -> dict[str, tuple[int, str]]:
    """Mode and content of everything below ``top``, as far as notebooks see it."""
    found = {}
    for path in sorted(top.rglob("*")):
        name = path.relative_to(top).as_posix()
        if name.startswith(".git/") and name not in (".git/config", ".git/HEAD"):
            continue
        content = path.read_text() if path.is_file() else ""
        found[name] = (path.lstat().st_mode, content)
    return found


def rewrite(top: Path) -> None:
    path = top / "data" / "a.csv"
    state = path.stat()
    path.write_text("3,4\n")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def replace_by_link(top: Path) -> None:
    (top / "data" / "a.csv").unlink()
    (top / "data" / "a.csv").symlink_to("/etc/hostname")


def hide_git(top: Path) -> None:
    (top / ".git" / "config").write_text("[core]\n\tbare = true\n")


SPOILS: dict[str, Callable[[Path], object]] = {
    "same size and time": rewrite,
    "mode": lambda top: (top / "data" / "a.csv").chmod(0o755),
    "link": replace_by_link,
    "new file": lambda top: (top / "data" / "new.csv").write_text("5\n"),
    "ignored file": lambda top: (top / "cache").mkdir() or (top / "cache" / "x").write_text("6"),
    "empty folder": lambda top: (top / "data" / "empty").mkdir(),
    "removed file": lambda top: (top / "data" / "a.csv").unlink(),
    "removed folder": lambda top: shutil.rmtree(top / "data"),
    "renamed file": lambda top: (top / "data" / "a.csv").rename(top / "data" / "b.csv"),
    "git's settings": hide_git,
}


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS.keys())
def test_what_was_changed_is_restored(checkout: Checkout, spoil: Callable[[Path], object]):
    before = listing(checkout.top)
    time.sleep(LONG_AGO_S)
    for _ in range(2):
        checkout.restore()
        spoil(checkout.top)
        checkout.restore()
        assert listing(checkout.top) == before


def test_what_was_changed_at_once_is_restored(checkout: Checkout):
    # As fast as the times of files can tell one change from the next, or faster.
    before = listing(checkout.top)
    for _ in range(30):
        rewrite(checkout.top)
        checkout.restore()
        assert listing(checkout.top) == before


def test_what_nobody_touched_is_left_alone(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    time.sleep(LONG_AGO_S)
    checkout.restore()
    monkeypatch.setenv("PATH", str(tmp_path))  # where no git is
    checkout.restore()
    assert checkout.top.name == "0"
    assert (checkout.top / "data" / "a.csv").read_text() == "1,2\n"
