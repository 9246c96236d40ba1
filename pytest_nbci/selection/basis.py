"""The static part of what a notebook's verdict depends on, and its hash: the fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

# Grows when the same inputs may give another verdict, or when what is recorded changes meaning.
FORMAT = 2

PRESENT = "present"
# Before the id of a file that counts only since its whole folder does.
WHOLE = "whole:"


@dataclass(frozen=True)
class Basis:
    """What the verdict of one notebook depends on, as far as it is known without a run.

    Args:
        parts: What is no file: its own source, settings, parameters, kernel, Python, packages.
        files: Each file to its id, ``PRESENT`` where only counts that it is there; each folder
            (with a slash) to the hash of the names in it that count.
        parents: Each of them to the file that led to it.
        folders: These folders, to the kind of names.
        roots: Folders that Python may list since it imports from there.
        lists: The code lists folders that only a run knows.
        outside: Absolute paths that the code names, and that are not in the repository.
        unpickles: The code may restore objects, whose modules only a run knows.
    """

    parts: Mapping[str, str]
    files: Mapping[str, str]
    parents: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, str] = field(default_factory=dict)
    roots: frozenset[str] = frozenset()
    lists: bool = True
    outside: frozenset[str] = frozenset()
    unpickles: bool = False

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all of it."""
        text = json.dumps([FORMAT, dict(self.parts), dict(self.files)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def chain(self, path: str) -> list[str]:
        """The files from the notebook to ``path``, each led to by the one before."""
        found = [path]
        while (parent := self.parents.get(found[-1])) is not None and parent not in found:
            found.append(parent)
        return found[::-1]
