"""Reading .ipynb files: JSON, format versions, tags, declared parameters.

Collection reads bytes only (``read_metadata``); a run reads the whole notebook and upgrades older
formats in memory (``load``), so that every later step sees nbformat 4.5 with cell ids. The format:
https://nbformat.readthedocs.io/en/latest/format_description.html
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_nbci.errors import NotebookError

PARAMETERS = "parameters"
INJECTED_PARAMETERS = "injected-parameters"
SKIP_EXECUTION = "skip-execution"
RAISES_EXCEPTION = "raises-exception"

FORMAT, FORMAT_MINOR = 4, 5

_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_CONFLICT = re.compile(rb"^(<{7}|={7}|>{7})( |$)", re.MULTILINE)
_ASSIGNMENT = re.compile(r"^([A-Za-z_.][\w.]*)\s*(?::[^=\n]+)?(?:=(?!=)|<-)")


@dataclass(frozen=True)
class Notebook:
    """A notebook read for a run.

    ``content`` is nbformat 4.5 as plain JSON values, owned by the caller; ``numbers`` maps cell
    ids of code cells to their 1-based position among the code cells.
    """

    content: dict[str, Any]
    language: str
    kernel_name: str | None
    numbers: Mapping[str, int]
    source_sha256: str


def read_metadata(path: Path) -> object:
    """What the notebook's metadata hold under ``nbci``; None where nothing, or where unreadable.

    Bytes are searched first, so a notebook without own settings is never parsed here: a broken
    one fails when it runs, not at collection.
    """
    try:
        data = path.read_bytes()
        if b'"nbci"' not in data:
            return None
        return json.loads(data).get("metadata", {}).get("nbci")
    except (OSError, ValueError, AttributeError):
        return None


def load(path: Path, name: str) -> Notebook:
    """Read the notebook at ``path``; ``name`` is what messages call it.

    Raises:
        NotebookError: It is no notebook, or of a format that cannot be upgraded.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NotebookError(f"{name} could not be read: {error.strerror}.") from error
    content = _upgrade(_parse(data, name), name)
    cells = content["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    metadata = content["metadata"]
    kernelspec, info = _table(metadata, "kernelspec"), _table(metadata, "language_info")
    language = info.get("name") or kernelspec.get("language") or "python"
    return Notebook(
        content=content,
        language=str(language),
        kernel_name=str(kernelspec["name"]) if kernelspec.get("name") else None,
        numbers={cell["id"]: number for number, cell in enumerate(code, 1)},
        source_sha256=hashlib.sha256(data).hexdigest(),
    )


def is_accepted(content: object) -> bool:
    """Whether ``load`` reads a file that holds this JSON value, which may be changed."""
    try:
        _upgrade(_checked(content, ""), "")
    except NotebookError:
        return False
    return True


def _table(metadata: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = metadata.get(key)
    return found if isinstance(found, Mapping) else {}


def tags(cell: Mapping[str, Any]) -> tuple[str, ...]:
    """The cell's tags, whatever shape the metadata have."""
    found = cell.get("metadata", {}).get("tags", ())
    return tuple(str(tag) for tag in found) if isinstance(found, list | tuple) else ()


def first_line(source: str) -> str:
    """The first line of a cell that says something, stripped."""
    return next((line.strip() for line in source.splitlines() if line.strip()), "")


def declared_parameters(notebook: Notebook) -> tuple[str, ...]:
    """Names assigned at the top level of the cell tagged ``parameters``, in order.

    Python is parsed; in another language, or where that fails (a magic), the lines that begin
    with an assignment count.
    """
    for cell in notebook.content["cells"]:
        if PARAMETERS in tags(cell):
            is_python = "python" in notebook.language.lower()
            names = assigned_names(cell["source"], is_python=is_python)
            return tuple(dict.fromkeys(names))
    return ()


def assigned_names(source: str, *, is_python: bool) -> list[str]:
    """Names that the top level of ``source`` assigns; they may repeat."""
    statements = None
    with warnings.catch_warnings(), contextlib.suppress(SyntaxError, ValueError):
        warnings.simplefilter("ignore")  # of the user's escapes, whose place is the kernel
        statements = ast.parse(source).body if is_python else None
    if statements is None:
        found = (_ASSIGNMENT.match(line) for line in source.splitlines())
        return [match[1] for match in found if match]
    targets: list[ast.expr] = []
    for statement in statements:
        if isinstance(statement, ast.Assign):
            targets += statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets.append(statement.target)
    return [
        node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)
    ]


def _parse(data: bytes, name: str) -> dict[str, Any]:
    conflict = _CONFLICT.search(data)
    if conflict:
        line = data.count(b"\n", 0, conflict.start()) + 1
        raise NotebookError(
            f"{name} holds a merge conflict in line {line}.",
            f"Resolve it (git checkout --ours or --theirs {name}), run the notebook, commit it.",
        )
    if not data.strip():
        raise NotebookError(f"{name} is empty.", "Save it in Jupyter again, or remove it from git.")
    try:
        content = json.loads(data)
    except UnicodeDecodeError as error:
        raise NotebookError(
            f"{name} is not UTF-8: byte {data[error.start]:#04x} at position {error.start}.",
            f"Convert it (iconv -f ISO-8859-1 -t UTF-8 {name}), or save it in Jupyter again.",
        ) from error
    except (ValueError, RecursionError) as error:
        where = f" in line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        cure = "Restore it from an earlier commit, or save it in Jupyter again."
        if data.startswith(b"version https://git-lfs"):
            cure = "It is a Git LFS pointer: run git lfs pull."
        raise NotebookError(f"{name} is not valid JSON{where}: {reason}.", cure) from error
    return _checked(content, name)


def _checked(content: Any, name: str) -> dict[str, Any]:
    if not isinstance(content, dict) or "nbformat" not in content:
        raise NotebookError(
            f"{name} is JSON but no notebook: it has no nbformat.", "Save it in Jupyter again."
        )
    if not isinstance(content["nbformat"], int):
        raise NotebookError(
            f"{name} is JSON but no notebook: its nbformat is {content['nbformat']!r}.",
            "Save it in Jupyter again.",
        )
    return content


def _upgrade(content: dict[str, Any], name: str) -> dict[str, Any]:
    """To nbformat 4.5: outputs cleared, sources as one str, unique cell ids."""
    if content["nbformat"] > FORMAT:
        raise NotebookError(
            f"{name} has nbformat {content['nbformat']}, newer than {FORMAT}, which is known here.",
            "Save it as nbformat 4.",
        )
    if content["nbformat"] < FORMAT:
        content = _convert(content, name)
    if not isinstance(content.get("cells"), list):
        raise NotebookError(
            f"{name} is JSON but no notebook: it has no list of cells.", "Save it in Jupyter again."
        )
    try:
        cells = [_cell(position, cell) for position, cell in enumerate(content["cells"], 1)]
    except ValueError as error:
        raise NotebookError(
            f"{name} is not a valid notebook: {error}.", "Save it in Jupyter again."
        ) from error
    metadata = dict(_table(content, "metadata"))
    _give_ids(cells)
    return {
        **content,
        "cells": cells,
        "metadata": metadata,
        "nbformat": FORMAT,
        "nbformat_minor": FORMAT_MINOR,
    }


def _convert(content: dict[str, Any], name: str) -> dict[str, Any]:
    """Formats 1 to 3 to 4, by nbformat itself."""
    import nbformat
    import nbformat.reader

    for sheet in content.get("worksheets") or ():
        for cell in sheet.get("cells") or ():
            cell["outputs"] = []
    try:
        converted = nbformat.convert(nbformat.reader.reads(json.dumps(content)), FORMAT)
    except Exception as error:  # nbformat's converters raise whatever they happen to hit
        raise NotebookError(
            f"{name} (nbformat {content['nbformat']}) could not be upgraded: "
            f"{type(error).__name__} {error}.",
            "Save it in a current Jupyter.",
        ) from error
    plain: dict[str, Any] = json.loads(json.dumps(converted))
    return plain


def _cell(position: int, cell: object) -> dict[str, Any]:
    """One cell of either file as later steps expect it.

    Raises:
        ValueError: The sentence that says what is wrong with it.
    """
    if not isinstance(cell, dict):
        raise ValueError(f"cell {position} of all its cells is no object")  # noqa: TRY004
    kind, source = cell.get("cell_type"), cell.get("source", "")
    if kind not in ("code", "markdown", "raw"):
        raise ValueError(f"cell {position} of all its cells has the cell_type {kind!r}")
    text = "".join(map(str, source)) if isinstance(source, list) else source
    if not isinstance(text, str):
        raise ValueError(f"cell {position} of all its cells has the source {source!r}")  # noqa: TRY004
    metadata = dict(_table(cell, "metadata"))
    if "tags" in metadata:
        metadata["tags"] = _tags(metadata["tags"])
    plain = {**cell, "source": text, "metadata": metadata}
    return {**plain, "outputs": []} if kind == "code" else plain


def _tags(found: object) -> list[str]:
    """Tags as a list of str, whatever was stored; other readers take a lone str for several."""
    if isinstance(found, str):
        return [found]
    return [str(tag) for tag in found] if isinstance(found, list) else []


def _give_ids(cells: list[dict[str, Any]]) -> None:
    """Ids that are the same in every run, where the file has none or one twice."""
    seen: set[str] = set()
    for position, cell in enumerate(cells, 1):
        wanted = cell.get("id")
        if not isinstance(wanted, str) or wanted in seen or not _ID.fullmatch(wanted):
            wanted = f"cell-{position}"
            while wanted in seen:
                wanted += "-"
            cell["id"] = wanted
        seen.add(wanted)
