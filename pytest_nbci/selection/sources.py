"""Sources read from git objects and parsed once; what was found is kept by blob id in ``.nbci``."""

from __future__ import annotations

import posixpath
import re
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from pytest_nbci.selection.cells import Source, read_source
from pytest_nbci.selection.environment import digest_project
from pytest_nbci.selection.facts import Facts
from pytest_nbci.selection.kept import read_kept, write_kept
from pytest_nbci.selection.python import read_python
from pytest_nbci.selection.shell import add_shell
from pytest_nbci.selection.tree import Tree
from pytest_nbci.trees import BlobReader, TreePart

# Part of the key of what is kept: grows with every change to what is read from a source.
VERSION = 3
_KEY = f"{VERSION}-{sys.version_info.major}.{sys.version_info.minor}"
_MOST_KEPT = 50_000

NOTEBOOK, PYTHON, SHELL, PROJECT = ".ipynb", ".py", ".sh", "pyproject.toml"
CONFIG = ".cfg"
_SHELL_SUFFIXES = (".sh", ".bash", ".zsh", ".ksh", ".R", ".r", ".jl", ".pl", ".rb", ".mk")
# Files that may say where data are, as far as they are not data themselves.
_CONFIG_SUFFIXES = (".json", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".conf", ".env", ".txt")
_CONFIG_AT_MOST_BYTES = 16 * 1024
_CONFIG_WORDS = re.compile(r"[^\s\"'=:,;()\[\]{}<>#|&]+")


@lru_cache(maxsize=100_000)
def kind_of(path: str) -> str | None:
    """How the file at ``path`` is read; None where its content says nothing here."""
    if posixpath.basename(path) == PROJECT:
        return PROJECT
    suffix = posixpath.splitext(path)[1]
    if suffix in (NOTEBOOK, PYTHON):
        return suffix
    if suffix == ".pyw":
        return PYTHON
    if suffix in _SHELL_SUFFIXES:
        return SHELL
    return CONFIG if suffix in _CONFIG_SUFFIXES else None


class Sources:
    """Parsed files of any tree, by blob.

    Args:
        file: Where what was found is kept; None: nowhere.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._plain: dict[str, Any] = {}
        self._used: set[str] = set()
        self._is_new = False
        self._readers: dict[TreePart, BlobReader] = {}
        self._facts: dict[str, Facts] = {}
        self._notebooks: dict[str, Source] = {}
        if file is not None:
            self._plain = read_kept(file, _KEY)

    def notebook(self, tree: Tree, path: str) -> Source:
        """The notebook at ``path``, which is in ``tree``."""
        key = self._key(tree, path)
        if key not in self._notebooks:
            data = self._plain.get(key)
            self._notebooks[key] = Source(key) if data is None else Source.from_plain(data)
        return self._notebooks[key]

    def facts(self, tree: Tree, path: str, kind: str | None = None) -> Facts:
        """What the file at ``path`` tells; empty where it cannot be read.

        Args:
            tree: Where it is.
            path: Which.
            kind: How it is read; None: as its name says.
        """
        kind = kind or kind_of(path)
        if kind in (None, PROJECT) or path not in tree.blobs:
            return _NOTHING
        if path.endswith(NOTEBOOK):
            return self.notebook(tree, path).facts
        key = self._key(tree, path, kind)
        if key not in self._facts:
            self._facts[key] = Facts.from_plain(self._plain.get(key) or {})
        return self._facts[key]

    def project_digest(self, tree: Tree, path: str) -> str:
        """Hash of what of a pyproject.toml an environment or a test may depend on."""
        key = self._key(tree, path)
        return str(self._plain.get(key) or key)

    def close(self) -> None:
        """End the git processes; keep what was found, if there is anything new."""
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()
        self._save()

    def _save(self) -> None:
        if self._file is None or not self._is_new:
            return
        files = self._plain
        if len(files) > _MOST_KEPT:
            files = {key: value for key, value in files.items() if key in self._used}
        write_kept(self._file, _KEY, files)
        self._is_new = False

    def _key(self, tree: Tree, path: str, kind: str | None = None) -> str:
        kind = kind or kind_of(path)
        key = f"{kind}{tree.blobs[_behind(tree, path)][1]}"
        self._used.add(key)
        if key not in self._plain:
            content = self.read(tree, path)
            if content is not None:
                self._plain[key] = _parse(str(kind), content)
                self._is_new = True
        return key

    def read(self, tree: Tree, path: str) -> bytes | None:
        """The content of a tracked file; None where it is not in ``tree``, or not in the clone."""
        if path not in tree.blobs:
            return None
        number, blob = tree.blobs[_behind(tree, path)]
        part = tree.parts[number]
        if part not in self._readers:
            self._readers[part] = BlobReader(part)
        return self._readers[part].read(blob)


_NOTHING = Facts()


def _behind(tree: Tree, path: str) -> str:
    """The tracked file whose content ``path`` has: a tracked link has that of another."""
    real = tree.real(path)
    return real if real in tree.blobs else path


def _parse(kind: str, content: bytes) -> Any:
    if kind == PROJECT:
        return digest_project(content)
    if kind == NOTEBOOK:
        return read_source(content).to_plain()
    text = content.decode("utf-8", "replace").removeprefix("\ufeff")
    if kind == PYTHON:
        return read_python(text).to_plain()
    facts = Facts()
    if kind == CONFIG:
        for word in _CONFIG_WORDS.findall(text[:_CONFIG_AT_MOST_BYTES]):
            facts.add_word(word)
    else:
        add_shell(text, facts)
    return facts.to_plain()
