"""What the text of one file tells about what it depends on; kept by blob id from run to run."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

# What a path is relative to: the working folder of the process, or the folder of the file it
# stands in.
CWD, FILE = "cwd", "file"
# No path: the name of a function that a variable stands for.
FUNCTION = "function"
# The file itself: what is beside it is what matters.
SELF = "@self"

# What stands in a word for what only a run knows.
UNKNOWN = "*"
_UNKNOWN = re.compile(r"[*?\[{%$]")
_SUFFIX = re.compile(r"\.\w{1,8}")

_PICKLING = ("pickle", "joblib", "dill", "cloudpickle", "shelve")

_LONGEST_WORD = 250
_MOST_WORDS = 5_000


class Place(NamedTuple):
    """A path as the text gives it: ``base`` is CWD or FILE, ``path`` is POSIX and normalised."""

    base: str
    path: str


def named_folder(text: str) -> str | None:
    """The folder of a name of which ``text`` tells a part; None where it tells all, or nothing.

    ``data/part-%d.csv`` is somewhere in ``data``, ``{}.csv`` in the working folder, what is beside
    the file itself in its folder.
    """
    if posixpath.basename(text) == SELF:
        return posixpath.dirname(text) or "."
    found = _UNKNOWN.search(text)
    if found is None or not ("/" in text or _SUFFIX.search(text)):
        return None
    return posixpath.dirname(text[: found.start()]) or "."


class Import(NamedTuple):
    """One import: its level (dots), module, and the names that may be submodules of it."""

    level: int
    module: str
    names: tuple[str, ...] = ()


@dataclass
class Facts:
    """What one piece of text depends on, as far as it says so.

    Args:
        imports: What it imports, or names in a way that it may import.
        packages: Packages of which it imports modules by names that only a run knows.
        words: Strings and shell words that may be names of files.
        places: Paths put together from constants.
        scripts: Files that it executes, whatever they are called.
        roots: What it adds to ``sys.path``.
        folders: Where it changes the working folder to.
        computes: It imports, or executes, what is known when it runs only.
        computes_roots: It adds to ``sys.path`` what is known when it runs only.
        listings: Folders that it lists; with ``/**`` all below them too.
        lists: It lists folders that are known when it runs only.
        probes: It looks whether files are there that are known when it runs only.
        beside: It goes to the folder of a path that is known when it runs only.
    """

    imports: dict[Import, None] = field(default_factory=dict)
    packages: dict[str, None] = field(default_factory=dict)
    words: dict[str, None] = field(default_factory=dict)
    places: dict[Place, None] = field(default_factory=dict)
    scripts: dict[Place, None] = field(default_factory=dict)
    roots: dict[Place, None] = field(default_factory=dict)
    folders: dict[Place, None] = field(default_factory=dict)
    listings: dict[Place, None] = field(default_factory=dict)
    computes: bool = False
    computes_roots: bool = False
    lists: bool = False
    probes: bool = False
    beside: bool = False

    @property
    def unpickles(self) -> bool:
        """Whether it may restore objects, whose modules only a run knows."""
        return any(item.module.partition(".")[0] in _PICKLING for item in self.imports)

    def add_word(self, text: str) -> None:
        """Note a string, if a file may be called like that."""
        if (
            0 < len(text) <= _LONGEST_WORD
            and "\n" not in text
            and "\0" not in text
            and "://" not in text
        ):
            if len(self.words) < _MOST_WORDS:
                self.words.setdefault(text)
            elif text not in self.words:
                self.lists = self.probes = True  # it may be any file

    def to_plain(self) -> dict[str, Any]:
        """JSON values; what is empty is left out."""
        found = {
            "i": [list(item) for item in self.imports],
            "k": list(self.packages),
            "w": list(self.words),
            "p": [list(item) for item in self.places],
            "x": [list(item) for item in self.scripts],
            "r": [list(item) for item in self.roots],
            "f": [list(item) for item in self.folders],
            "g": [list(item) for item in self.listings],
            "c": self.computes,
            "s": self.computes_roots,
            "l": self.lists,
            "b": self.probes,
            "o": self.beside,
        }
        return {key: value for key, value in found.items() if value}

    @classmethod
    def from_plain(cls, data: dict[str, Any]) -> Facts:
        """What ``to_plain`` wrote."""
        return cls(
            imports=dict.fromkeys(Import(a, b, tuple(c)) for a, b, c in data.get("i", ())),
            packages=dict.fromkeys(data.get("k", ())),
            words=dict.fromkeys(data.get("w", ())),
            places=dict.fromkeys(Place(*item) for item in data.get("p", ())),
            scripts=dict.fromkeys(Place(*item) for item in data.get("x", ())),
            roots=dict.fromkeys(Place(*item) for item in data.get("r", ())),
            folders=dict.fromkeys(Place(*item) for item in data.get("f", ())),
            listings=dict.fromkeys(Place(*item) for item in data.get("g", ())),
            computes=data.get("c", False),
            computes_roots=data.get("s", False),
            lists=data.get("l", False),
            probes=data.get("b", False),
            beside=data.get("o", False),
        )
