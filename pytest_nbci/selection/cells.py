"""A notebook as selection sees it: what of it a verdict depends on, and what its cells tell.

Outputs, execution counts, markdown and everything that only pages show are left out, so that a
commit of those alone changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_nbci.notebook import (
    INJECTED_PARAMETERS,
    PARAMETERS,
    RAISES_EXCEPTION,
    SKIP_EXECUTION,
    assigned_names,
    is_accepted,
    tags,
)
from pytest_nbci.selection.facts import CWD, UNKNOWN, Facts, Import, Place
from pytest_nbci.selection.python import add_python, parse
from pytest_nbci.selection.shell import FILE_MAGICS, add_file_magic, add_shell, add_words

_TAGS = {PARAMETERS, INJECTED_PARAMETERS, SKIP_EXECUTION, RAISES_EXCEPTION}
# Kernels of several languages keep the language of a cell in its metadata.
_CELL_LANGUAGE = ("kernel", "vscode", "polyglot_notebook", "dotnet_interactive")
_PYTHON = ("python", "python3", "ipython", "python2")

_SHELL_MAGICS = ("bash", "sh", "script", "system", "sx", "!", "zsh", "cmd")
_ALIASES = ("ls", "ll", "lf", "lk", "ldir", "lx", "cat", "cp", "mv", "rm", "less", "more")
_PYTHON_MAGICS = ("python", "python3", "pypy", "time", "timeit", "capture", "prun", "memit")
_OTHER_LANGUAGES = ("R", "julia", "perl", "ruby", "octave", "matlab", "scala", "sos", "js", "node")
_CODE_MAGICS = ("time", "timeit", "prun", "memit", "mprun", "lprun", "debug")
_MAGIC = re.compile(
    r"^(?P<indent>\s*)(?P<left>[\w.,\s\[\]'\"]+=\s*)?(?P<sign>%(?=[\w%])|!!?(?!=))(?P<rest>.*)$"
)
_HELP = re.compile(r"^\s*\?{1,2}[\w.%]+\s*$|^\s*[\w.%]+\?{1,2}\s*$")
_QUOTED = re.compile(r"""(["'])((?:(?!\1)[^\\\n])*)\1""")


@dataclass
class Source:
    """What selection keeps of a notebook.

    Args:
        digest: Hash of all that a verdict depends on in it.
        kernel: Name of its kernel; None where it names none.
        language: Of its cells.
        nbci: Its own settings as they stand in its metadata.
        declared: Parameters that it declares.
        facts: What its cells tell.
    """

    digest: str
    kernel: str | None = None
    language: str = "python"
    nbci: Any = None
    declared: tuple[str, ...] = ()
    facts: Facts = field(default_factory=Facts)

    def to_plain(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "d": self.digest,
            "k": self.kernel,
            "l": self.language,
            "n": self.nbci,
            "p": list(self.declared),
            "f": self.facts.to_plain(),
        }

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Source:
        """What ``to_plain`` wrote."""
        return cls(
            digest=data["d"],
            kernel=data["k"],
            language=data["l"],
            nbci=data["n"],
            declared=tuple(data["p"]),
            facts=Facts.from_plain(data["f"]),
        )

    @property
    def is_python(self) -> bool:
        """Whether its cells are Python."""
        return self.language.lower() in _PYTHON


def read_source(data: bytes) -> Source:
    """The parts of a notebook that count; of what is no notebook, the bytes themselves."""
    try:
        content = json.loads(data)
        found = _read(content)
        is_notebook = is_accepted(content)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        is_notebook = False
    return found if is_notebook else Source(hashlib.sha256(data).hexdigest())


def _read(content: Mapping[str, Any]) -> Source:
    metadata = content.get("metadata") or {}
    kernelspec, info = metadata.get("kernelspec") or {}, metadata.get("language_info") or {}
    language = str(info.get("name") or kernelspec.get("language") or "python")
    kernel = kernelspec.get("name")
    cells = [_cell(cell) for cell in _code_cells(content)]
    kept = [content["nbformat"], kernel, language, [item for item in cells if item[0].strip()]]
    source = Source(
        digest=hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest(),
        kernel=None if kernel is None else str(kernel),
        language=language,
        nbci=metadata.get("nbci"),
    )
    texts = [text for text, _, _ in cells]
    if source.is_python:
        _add_cells(texts, source.facts)
    else:
        _add_text("\n".join(texts), source.facts)
        source.facts.computes = True
    declaring = [text for text, found, _ in cells if PARAMETERS in found]
    if declaring:
        source.declared = tuple(assigned_names(declaring[0], is_python=source.is_python))
    return source


def _code_cells(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Code cells of any format: 3 and older keep them in worksheets."""
    if "cells" in content:
        found = content["cells"]
    else:
        found = [cell for sheet in content["worksheets"] for cell in sheet["cells"]]
    return [cell for cell in found if cell["cell_type"] == "code"]


def _cell(cell: Mapping[str, Any]) -> tuple[str, list[str], dict[str, Any]]:
    source = cell["source"] if "source" in cell else cell["input"]
    metadata = cell.get("metadata") or {}
    found = metadata.get("tags")
    counting = tags({"metadata": {"tags": [found] if isinstance(found, str) else found}})
    language = {name: metadata[name] for name in _CELL_LANGUAGE if name in metadata}
    if "language" in cell:
        language["language"] = cell["language"]
    text = source if isinstance(source, str) else "".join(source)
    return text, sorted(_TAGS & set(counting)), language


def _add_cells(texts: list[str], facts: Facts) -> None:
    names: dict[str, Place] = {}
    for text in texts:
        first = next((line for line in text.splitlines() if line.strip()), "")
        if first.lstrip().startswith("%%"):
            _add_cell_magic(text[text.index("%%") :], facts, names)
        else:
            _add_python_cell(text, facts, names)


def _add_cell_magic(text: str, facts: Facts, names: dict[str, Place]) -> None:
    head, _, body = text.partition("\n")
    name, _, arguments = head[2:].strip().partition(" ")
    add_words(arguments, facts)
    if name in _SHELL_MAGICS:
        add_shell(body, facts)
    elif name in _OTHER_LANGUAGES:
        _add_text(body, facts)
        facts.computes = True
    elif name in _PYTHON_MAGICS or parse(body) is not None:
        if name in _CODE_MAGICS:
            _add_python_cell(arguments, facts, names)
        _add_python_cell(body, facts, names)
    else:
        _add_text(body, facts)


def _add_python_cell(text: str, facts: Facts, names: dict[str, Place]) -> None:
    if parse(text) is None:
        text = _without_magics(text, facts, names)
    add_python(text, facts, names)


def _without_magics(text: str, facts: Facts, names: dict[str, Place]) -> str:
    """The Python of a cell, each magic replaced by a statement that does nothing."""
    lines = []
    pending = ""
    for line in text.splitlines():
        joined = pending + line
        match = _MAGIC.match(joined)
        if match is None and not _HELP.match(joined):
            lines.append(joined)
        elif match is not None and joined.endswith("\\"):
            pending = joined[:-1] + " "
            continue
        else:
            if match is not None:
                _add_line_magic(match["sign"], match["rest"], facts, names)
            indent = match["indent"] if match is not None else ""
            left = (match["left"] or "").strip() if match is not None else ""
            lines.append(f"{indent}{left} None" if left else f"{indent}pass")
        pending = ""
    return "\n".join([*lines, *filter(None, [pending])])


def _add_line_magic(sign: str, rest: str, facts: Facts, names: dict[str, Place]) -> None:
    if sign != "%":
        add_shell(rest, facts)
        return
    name, _, arguments = rest.lstrip("%").partition(" ")
    arguments = arguments.strip()
    if name in _CODE_MAGICS:
        add_python(re.sub(r"^(-\w+\s+(\d+\s+)?)*", "", arguments), facts, names)
    elif name == "cd":
        facts.folders.setdefault(Place(CWD, arguments.strip("\"' ")))
    elif name in ("load_ext", "reload_ext", "aimport"):
        for module in re.findall(r"[\w.]+", arguments):
            facts.imports.setdefault(Import(0, module))
    elif name in FILE_MAGICS:
        add_file_magic(arguments, facts)
    elif name in (*_SHELL_MAGICS, *_ALIASES):
        add_shell(f"{name} {arguments}" if name in _ALIASES else arguments, facts)
    else:
        add_words(arguments, facts)


def _add_text(text: str, facts: Facts) -> None:
    """Another language: its strings may name files, and what it lists nobody knows."""
    facts.lists = True
    for quoted in _QUOTED.finditer(text):
        facts.add_word(quoted[2])
        facts.add_word(f"{quoted[2]}{UNKNOWN}")  # it may be put together with others
