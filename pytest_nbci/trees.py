"""Git's tree objects and blobs: what is in a commit or a snapshot, without checking it out."""

from __future__ import annotations

import contextlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pytest_nbci.errors import NbciError
from pytest_nbci.repository import IndexEntry, git_environment, run_git


@dataclass(frozen=True)
class TreePart:
    """A tree object, and where its files lie.

    Args:
        top: Top level of the working tree whose repository has the object.
        tree: Id of the tree, or of a commit.
        prefix: Where its files lie relative to the main repository: empty, or ending in a slash.
        objects: Another folder with objects that it refers to.
    """

    top: Path
    tree: str
    prefix: str = ""
    objects: Path | None = None

    @property
    def variables(self) -> dict[str, str]:
        """What git needs to find all objects."""
        if self.objects is None:
            return {}
        return {"GIT_ALTERNATE_OBJECT_DIRECTORIES": quoted_path(self.objects)}


def list_tree(part: TreePart) -> list[IndexEntry]:
    """All files of ``part``, with paths relative to the main repository.

    Raises:
        NbciError: There is no such tree.
    """
    arguments = ["ls-tree", "-r", "-z", "--full-tree", part.tree]
    found = []
    for line in run_git(part.top, arguments, part.variables).split(b"\0")[:-1]:
        head, _, name = line.partition(b"\t")
        mode, _, blob = head.decode().split(" ")
        found.append(IndexEntry(mode, blob, part.prefix + os.fsdecode(name)))
    return found


def mentions(part: TreePart, text: str, pattern: str) -> bool:
    """Whether a file of ``part`` with a name like ``pattern`` holds ``text``."""
    arguments = ["grep", "-qIF", "-e", text, part.tree, "--", pattern]
    try:
        run_git(part.top, arguments, part.variables)
    except NbciError:
        return False
    return True


class BlobReader:
    """Contents of blobs, from one git process that answers one after the other."""

    def __init__(self, part: TreePart) -> None:
        self._process = subprocess.Popen(
            ["git", "-c", "safe.directory=*", "cat-file", "--batch"],
            cwd=part.top,
            env=git_environment(part.variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> Self:
        """The reader itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self.close()

    def read(self, blob: str) -> bytes | None:
        """The content of ``blob``; None where the repository does not have it."""
        process = self._process
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        try:
            process.stdin.write(blob.encode() + b"\n")
            process.stdin.flush()
        except OSError:
            return None
        header = process.stdout.readline().split()
        if not header or not header[-1].isdigit():
            return None
        return process.stdout.read(int(header[-1]) + 1)[:-1]

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process.wait()


def quoted_path(path: Path) -> str:
    """A path as git reads it from a list that is separated by colons."""
    text = str(path)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' if ":" in text else text
