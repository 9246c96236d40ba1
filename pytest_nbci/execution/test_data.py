"""Test data: what the fixture ``nbci_test_data`` returns, and laying it over the checkout.

Small files are copied, large ones linked; a linked file that the notebook changed is an error,
since the change reached the user's own data.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from pytest_nbci.errors import DataError
from pytest_nbci.settings import is_plain

# Above this a copy before each notebook costs more than a notebook's own start (about 0.05 s).
LINK_ABOVE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class NotebookData:
    """Data for one notebook's test run.

    Args:
        parameters: Values for the cell tagged ``parameters``; a name that the notebook does not
            declare is left out.
        files: File name relative to the project root → the file or folder to lay there.
        root: A folder; everything below it is laid over the project root.

    Relative paths (values of ``files``, ``root``) are relative to the user's project root.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str | os.PathLike[str]] = field(default_factory=dict)
    root: str | os.PathLike[str] | None = None


@dataclass(frozen=True)
class Linked:
    """A file that was linked instead of copied, and its state before the notebook ran."""

    name: str
    source: Path
    state: tuple[int, int, int]


@dataclass(frozen=True)
class LaidOver:
    """What lies over the checkout: names relative to the project root, and the file of each."""

    sources: Mapping[str, Path] = field(default_factory=dict)
    linked: tuple[Linked, ...] = ()


def check_data(value: object, origin: str) -> NotebookData:
    """``value`` if it is what the fixture may return; None stands for "no data".

    Raises:
        DataError: It is something else.
    """
    if value is None:
        return NotebookData()
    if not isinstance(value, NotebookData):
        raise DataError(
            f"The fixture nbci_test_data ({origin}) returned "
            f"a {type(value).__name__}: {value!r:.80}.",
            "Return pytest_nbci.NotebookData(parameters={...}, files={...}, root=...).",
        )
    for name, kind in (("parameters", value.parameters), ("files", value.files)):
        if not isinstance(kind, Mapping):
            raise DataError(
                f"NotebookData.{name} of nbci_test_data ({origin}) is {kind!r:.80}.",
                "Give a dict.",
            )
    for name, path in (*value.files.items(), ("root", value.root or "")):
        if not isinstance(name, str) or not isinstance(path, str | os.PathLike):
            raise DataError(
                f"The test data file {name!r} of nbci_test_data ({origin}) is {path!r:.80}.",
                "Give paths.",
            )
    parameters = {
        name: os.fspath(item) if isinstance(item, os.PathLike) else item
        for name, item in value.parameters.items()
    }
    for name, item in parameters.items():
        if not isinstance(name, str) or not is_plain(item):
            raise DataError(
                f"The parameter {name!r} of nbci_test_data ({origin}) is {item!r:.80}, "
                f"a {type(item).__name__}.",
                "Give text, a number, a truth value, None, or lists and dicts of these.",
            )
    return replace(value, parameters=parameters)


def lay_over(
    data: NotebookData, project_root: Path, target_root: Path, target_top: Path
) -> LaidOver:
    """Put the files of ``data`` into the checkout.

    Args:
        data: What to lay.
        project_root: The user's project root; relative paths start there.
        target_root: The project root in the checkout.
        target_top: The checkout itself; nothing is written outside it.

    Raises:
        DataError: A file does not exist, cannot be read, or would leave the checkout.
    """
    sources: dict[str, Path] = {}
    linked: list[Linked] = []
    for name, source in list_files(data, project_root):
        target = _target(name, target_root, target_top)
        try:
            state = source.stat()
            if target.is_dir() and not target.is_symlink():
                raise DataError(f"The test data file {name} would replace a folder of that name.")
            target.unlink(missing_ok=True)
            if state.st_size > LINK_ABOVE_BYTES:
                target.symlink_to(source)
                linked.append(Linked(name, source, _state(source)))
            else:
                shutil.copyfile(source, target)
                shutil.copymode(source, target)
        except OSError as error:
            raise DataError(
                f"The test data file {source} could not be laid at {name}: "
                f"{error.strerror or error}."
            ) from error
        sources[name] = source
    return LaidOver(sources, tuple(linked))


def check_unchanged(laid: LaidOver) -> None:
    """Make sure that no linked file was changed by the notebook.

    Raises:
        DataError: One was; the sentence names it.
    """
    for link in laid.linked:
        try:
            same = _state(link.source) == link.state
        except OSError:
            same = False
        if not same:
            raise DataError(
                f"The notebook changed {link.source}, test data that was linked as {link.name}.",
                "Let it write to another file; restore the data.",
            )


def list_files(data: NotebookData, project_root: Path) -> Iterator[tuple[str, Path]]:
    """Name relative to the project root and file of all that ``data`` lays.

    Raises:
        DataError: A file or folder does not exist.
    """
    if data.root is not None:
        root = project_root / data.root
        if not root.is_dir():
            raise DataError(
                f"The folder of test data {root} does not exist.",
                "Create it and git add its files, or correct root.",
            )
        yield from _walk(root, "")
    for name, value in data.files.items():
        source = project_root / value
        if source.is_dir():
            yield from _walk(source, f"{name.rstrip('/')}/")
        elif source.is_file():
            yield str(name), Path(os.path.abspath(source))  # noqa: PTH100 - a link stays a link
        else:
            raise DataError(
                f"The test data file {source} (for {name}) does not exist.",
                "Create it, or correct files.",
            )


def folders_of(data: NotebookData, files: Iterable[Path], project_root: Path) -> set[Path]:
    """Folders that ``data`` lays, and those below them of ``files``, which are all that it lays."""
    values = [*data.files.values(), *([] if data.root is None else [data.root])]
    given = [Path(os.path.abspath(project_root / one)) for one in values]  # noqa: PTH100
    laid = [one for one in given if one.is_dir()]
    below = {file.parent for file in files}
    return {*laid, *(one for one in below if any(one.is_relative_to(top) for top in laid))}


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    for parent, folders, names in os.walk(os.path.abspath(folder)):  # noqa: PTH100
        folders.sort()
        base = Path(parent).relative_to(os.path.abspath(folder)).as_posix()  # noqa: PTH100
        for name in sorted(names):
            yield prefix + (name if base == "." else f"{base}/{name}"), Path(parent, name)


def _target(name: str, root: Path, top: Path) -> Path:
    pure = PurePosixPath(name)
    refusal = f"The test data name {name!r} leads outside the checkout."
    cure = "Use a name relative to the project root."
    if pure.is_absolute() or not pure.name:
        raise DataError(refusal, cure)
    target = Path(os.path.normpath(root / pure))
    if not target.is_relative_to(top) or ".git" in target.relative_to(top).parts:
        raise DataError(refusal, cure)
    real = target.parent.resolve()
    if not real.is_relative_to(top.resolve()):
        raise DataError(
            f"{refusal[:-1]}: {target.parent.relative_to(top)} is a link to {real}.",
            "Remove that link from git.",
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"The test data file {name} cannot be laid: "
            f"{os.path.relpath(error.filename, root)} is not a folder."
        ) from error
    return target


def _state(path: Path) -> tuple[int, int, int]:
    state = path.stat()
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns
