"""The private checkout: tracked files as they are in the working tree, and nothing else.

A snapshot (one per session) is a tree object S made from a copy of the user's index, with new
objects in a folder of our own: the user's repository is read, never written. A checkout (one per
worker) is a shared clone whose files are reset to S before each notebook. Its working files are
restored through a git directory that no notebook can reach; the ``.git`` that notebooks see is a
copy, replaced when one of them changed it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_nbci.errors import CheckoutError, NbciError
from pytest_nbci.execution.scratch import remove_tree
from pytest_nbci.repository import GITLINK, SYMLINK, Repository, find_repository, run_git
from pytest_nbci.trees import TreePart, quoted_path

# Settings of the user's clone that change how files look when they are checked out.
_KEPT_CONFIG = (
    r"^(filter\..*|core\.(autocrlf|eol|safecrlf|symlinks|filemode|ignorecase|precomposeunicode)"
    r"|extensions\..*|remote\..*\.(promisor|partialclonefilter)|lfs\..*|user\..*)$"
)
# Up to so many, looking whether anything changed takes less than two runs of git.
_FEW_FILES = 1_000
_SECOND_NS = 1_000_000_000
# The kernel's clock ticks at least each 10 ms; some file systems know whole seconds only.
_TICK_NS = 50_000_000
_COARSE_TICK_NS = 2 * _SECOND_NS
# Path, inode, size and time of change of files and folders.
Signature = frozenset[tuple[str, int, int, int]]


@dataclass(frozen=True)
class Snapshot:
    """What is tested: the tree of one working tree and of its initialised submodules.

    Args:
        top: Top level of the user's working tree.
        tree: Id of the tree object S.
        head: The commit that is checked out; None before the first one.
        objects: Folder that holds the objects the user's repository lacks.
        submodules: Path relative to ``top`` and snapshot of each initialised submodule.
    """

    top: Path
    tree: str
    head: str | None
    objects: Path
    submodules: tuple[tuple[str, Snapshot], ...] = ()

    def parts(self, prefix: str = "") -> list[TreePart]:
        """Its tree and those of its submodules, outermost first."""
        found = [TreePart(self.top, self.tree, prefix, self.objects)]
        for path, submodule in self.submodules:
            found += submodule.parts(f"{prefix}{path}/")
        return found

    def to_plain(self) -> dict[str, Any]:
        """Values that can be sent to an xdist worker; ``from_plain`` reads them back."""
        return {
            "top": os.fsencode(self.top),
            "tree": self.tree,
            "head": self.head,
            "objects": os.fsencode(self.objects),
            "submodules": [(os.fsencode(path), sub.to_plain()) for path, sub in self.submodules],
        }

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Snapshot:
        """The snapshot that ``to_plain`` described."""
        return cls(
            top=Path(os.fsdecode(data["top"])),
            tree=data["tree"],
            head=data["head"],
            objects=Path(os.fsdecode(data["objects"])),
            submodules=tuple(
                (os.fsdecode(path), cls.from_plain(sub)) for path, sub in data["submodules"]
            ),
        )


def make_snapshot(repository: Repository, folder: Path) -> Snapshot:
    """Write S for ``repository`` as it is now, with new objects below ``folder``.

    Raises:
        UsageError: The index is unmerged.
        CheckoutError: git could not read the working tree.
    """
    links = [entry.path for entry in repository.index if entry.mode == GITLINK]
    objects, index = folder / "objects", folder / "index"
    try:
        objects.mkdir(parents=True, exist_ok=True)
        top = repository.top
        user_index, user_objects = _index_and_objects(top)
        if user_index.exists():
            shutil.copy2(user_index, index)
        extra = {
            "GIT_INDEX_FILE": str(index),
            "GIT_OBJECT_DIRECTORY": str(objects),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": quoted_path(user_objects.resolve()),
        }
        run_git(top, ["-c", "core.hooksPath=/dev/null", "add", "--update", "."], extra)
        tree = run_git(top, ["write-tree"], extra).decode().strip()
    except (NbciError, OSError) as error:
        raise CheckoutError(
            f"The working tree {repository.top} could not be read: {_said(error).rstrip('.')}.",
            f"Mend what git says; where it lacks room, free space in {folder.parent.parent}, or set"
            " TMPDIR to another disk.",
        ) from error
    submodules = []
    for number, link in enumerate(links):
        if (repository.top / link / ".git").exists():
            inner = find_repository(repository.top / link)
            submodules.append((link, make_snapshot(inner, folder / f"s{number}")))
    return Snapshot(repository.top, tree, repository.head, objects, tuple(submodules))


def _index_and_objects(top: Path) -> tuple[Path, Path]:
    """Where git keeps them, for a linked worktree or a submodule too; one run of git for both."""
    said = run_git(top, ["rev-parse", "--git-path", "index", "--git-path", "objects"])
    index, separator, objects = said.removesuffix(b"\n").partition(b"index\n")
    return top / os.fsdecode(index + separator[:-1]), top / os.fsdecode(objects)


def _line(folder: Path, *arguments: str) -> bytes:
    return run_git(folder, arguments).removesuffix(b"\n")


def _said(error: NbciError | OSError) -> str:
    """The error's words; the first of the many that copying a tree collects."""
    if isinstance(error, shutil.Error):
        *_, said = error.args[0][0]
        return str(said)
    return str(error)


class Checkout:
    """Working files equal to a snapshot, restored on demand.

    Args:
        snapshot: What the files are restored to.
        folder: An empty or missing folder that this object may fill; its owner removes it.
    """

    def __init__(self, snapshot: Snapshot, folder: Path) -> None:
        self._snapshot = snapshot
        self._folder = folder
        self._generation = 0
        self._parts: list[_Part] = []
        self._is_new = False

    @property
    def top(self) -> Path:
        """Where the repository's top level lies in the checkout."""
        return self._folder / str(self._generation)

    def make_ahead(self) -> None:
        """Make it before the first notebook needs it, while other things are done."""
        with contextlib.suppress(CheckoutError):  # said when it is restored
            self.restore()
            self._is_new = True

    def restore(self) -> None:
        """Make the files equal to the snapshot. No process may hold any of them open.

        Raises:
            CheckoutError: Neither resetting nor a fresh clone succeeded.
        """
        if self._is_new:
            self._is_new = False
            return
        if self._parts:
            try:
                for part in self._parts:
                    part.reset()
            except (NbciError, OSError):
                remove_tree(self.top)
                self._generation += 1
            else:
                return
        try:
            self._parts = list(self._clone(self._snapshot, self.top, self._folder / "git"))
        except (NbciError, OSError) as error:
            self._parts = []
            raise CheckoutError(
                f"The private checkout of {self._snapshot.top} could not be made: {_said(error)}",
                f"Free space in {self._folder.parent}, or set TMPDIR to another disk.",
            ) from error

    def _clone(self, snapshot: Snapshot, target: Path, git_folder: Path) -> list[_Part]:
        if git_folder.exists():
            remove_tree(git_folder)
        parts = [_Part.make(snapshot, target, git_folder)]
        for number, (path, submodule) in enumerate(snapshot.submodules):
            parts += self._clone(
                submodule, target / path, git_folder.parent / f"{git_folder.name}.{number}"
            )
        return parts


class _Part:
    """One repository of a checkout: the main one, or a submodule."""

    def __init__(self, snapshot: Snapshot, target: Path, git_folder: Path) -> None:
        self._tree = snapshot.tree
        self._target = target
        self._visible = target / ".git"
        self._private = git_folder / "private"
        self._pristine = git_folder / "pristine"
        self._signature: Signature = frozenset()
        self._files: Signature | None = None
        self._links: dict[Path, Path] = {}

    @classmethod
    def make(cls, snapshot: Snapshot, target: Path, git_folder: Path) -> _Part:
        part = cls(snapshot, target, git_folder)
        git_folder.mkdir(parents=True)
        clone = git_folder / "clone"
        run_git(
            git_folder,
            [
                "clone",
                "--quiet",
                "--shared",
                "--no-checkout",
                "--template=",
                # clone drops -c on the way to this program, which asks for the owner again
                "--upload-pack=git -c 'safe.directory=*' upload-pack",
                str(snapshot.top),
                str(clone),
            ],
        )
        (clone / ".git").rename(part._private)
        clone.rmdir()
        with (part._private / "objects" / "info" / "alternates").open("ab") as file:
            file.write(os.fsencode(snapshot.objects) + b"\n")
        _configure(snapshot, part._private)
        part._target.mkdir(parents=True, exist_ok=True)
        part._read_tree()
        part._links = part._links_into(snapshot.top)
        part._turn_links()
        shutil.copytree(part._private, part._pristine, symlinks=True)
        part._restore_visible()
        return part

    def reset(self) -> None:
        if self._signature != _signature(self._visible):
            self._restore_visible()
        elif self._files is not None and self._files == _signature(self._target, _FEW_FILES):
            return
        self._restore_files()
        self._turn_links()
        self._files = _settled(_signature(self._target, _FEW_FILES))

    def _restore_files(self) -> None:
        self._target.mkdir(parents=True, exist_ok=True)
        self._read_tree()
        self._git("clean", "-ffdxq")

    def _read_tree(self) -> None:
        self._git("read-tree", "--reset", "-u", self._tree)

    def _git(self, *arguments: str) -> None:
        place = (f"--git-dir={self._private}", f"--work-tree={self._target}")
        run_git(self._target, [*place, "-c", "core.hooksPath=/dev/null", *arguments])

    def _links_into(self, top: Path) -> dict[Path, Path]:
        """Tracked absolute links to files below ``top``, and where these lie in the checkout."""
        found = {}
        for line in run_git(
            self._target, [f"--git-dir={self._private}", "ls-files", "-z", "--stage"]
        ).split(b"\0"):
            head, _, name = line.partition(b"\t")
            link = self._target / os.fsdecode(name)
            if not head.startswith(SYMLINK.encode()) or not link.is_symlink():
                continue
            aim = Path(os.path.normpath(link.readlink()))
            for base in (top, top.resolve()):
                if aim.is_relative_to(base):
                    found[link] = self._target / aim.relative_to(base)
        return found

    def _turn_links(self) -> None:
        """Make them lead into the checkout: a notebook would write to the user's files."""
        for link, aim in self._links.items():
            link.unlink()
            link.symlink_to(aim)

    def _restore_visible(self) -> None:
        if self._visible.is_symlink() or self._visible.is_file():
            self._visible.unlink()
        elif self._visible.exists():
            remove_tree(self._visible)
        shutil.copytree(self._pristine, self._visible, symlinks=True)
        self._signature = _signature(self._visible)


def _configure(snapshot: Snapshot, git_dir: Path) -> None:
    """Give the clone the commit, remote and file conversion of the user's repository."""
    top = snapshot.top
    place = f"--git-dir={git_dir}"
    try:
        kept = run_git(top, ["config", "--local", "--null", "--get-regexp", _KEPT_CONFIG])
    except NbciError:
        kept = b""  # nothing matched
    for entry in kept.split(b"\0")[:-1]:
        name, _, value = entry.partition(b"\n")
        run_git(git_dir, [place, "config", "--add", os.fsdecode(name), os.fsdecode(value)])
    storage = top / os.fsdecode(_line(top, "rev-parse", "--git-common-dir")) / "lfs"
    if storage.is_dir():
        run_git(git_dir, [place, "config", "lfs.storage", str(storage.resolve())])
    # A notebook that pushes must not write into the user's repository.
    try:
        url = os.fsdecode(_line(top, "config", "--get", "remote.origin.url"))
    except NbciError:
        url = "/dev/null"
    run_git(git_dir, [place, "config", "remote.origin.url", url])
    if snapshot.head is not None:
        run_git(git_dir, [place, "update-ref", "HEAD", snapshot.head])


def _signature(folder: Path, at_most: int | None = None) -> Signature:
    """Changes with anything that is written below ``folder``, but for a ``.git`` in it.

    Empty where the folder cannot be listed, or holds more than ``at_most`` files and folders.
    """
    found = set()
    pending = [str(folder)]
    while pending:
        try:
            entries = list(os.scandir(pending.pop()))
        except OSError:
            return frozenset()
        for entry in entries:
            state = entry.stat(follow_symlinks=False)
            found.add((entry.path, state.st_ino, state.st_size, state.st_ctime_ns))
            if entry.is_dir(follow_symlinks=False) and entry.name != ".git":
                pending.append(entry.path)
        if at_most is not None and len(found) > at_most:
            return frozenset()
    return frozenset(found)


def _settled(signature: Signature) -> Signature | None:
    """``signature``, if what is written from now on is sure to change it.

    A file that was written twice within a tick of the system's clock has the same time: git calls
    it racily clean (https://git-scm.com/docs/racy-git).
    """
    times_ns = [changed_ns for _, _, _, changed_ns in signature]
    is_coarse = all(changed_ns % _SECOND_NS == 0 for changed_ns in times_ns)
    tick_ns = _COARSE_TICK_NS if is_coarse else _TICK_NS
    is_settled = bool(times_ns) and max(times_ns) < time.time_ns() - tick_ns
    return signature if is_settled else None
