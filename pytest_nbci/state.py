"""The folder for all that this project writes: ``.nbci``, ``NBCI_DIR``, or a temporary one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pytest_nbci.errors import UsageError
from pytest_nbci.store import write_atomically

STATE_FOLDER = ".nbci"


def ensure_home() -> None:
    """Name a home folder that does not exist where there is none at all.

    Without HOME and without an entry for this user (a container), Jupyter and MLflow fail.
    """
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = "/nonexistent"


def state_folder(root: Path, environment: Mapping[str, str]) -> Path:
    """Where all that this project writes lies: ``NBCI_DIR``, else ``.nbci`` in the root."""
    named = environment.get("NBCI_DIR")
    return Path(named).absolute() if named else root / STATE_FOLDER


def make_state_folder(root: Path, environment: Mapping[str, str]) -> tuple[Path, str]:
    """The folder for all that this project writes, and a note where it is not the usual one.

    Where ``state_folder`` cannot be written it is a new temporary one.

    Raises:
        UsageError: That cannot be written either.
    """
    wanted = state_folder(root, environment)
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        if wanted == root / STATE_FOLDER:
            _ignore_all(wanted)
        with tempfile.TemporaryFile(dir=wanted) as file:
            file.write(b"a full disk takes an empty file")
    except OSError as error:
        said = f"{wanted} cannot be written ({error.strerror or error})"
    else:
        return wanted, ""
    try:
        folder = Path(tempfile.mkdtemp(prefix="nbci-results-"))
    except OSError as error:
        raise UsageError(
            f"{said}, and no temporary folder could be made ({error.strerror or error}).",
            "Set NBCI_DIR to a folder that can be written.",
        ) from error
    return folder, f"{said}: the results are in {folder}"


def _ignore_all(folder: Path) -> None:
    """A .gitignore of its own keeps the folder out of the user's git status."""
    path = folder / ".gitignore"
    if not path.exists():
        write_atomically(path, b"*\n")
