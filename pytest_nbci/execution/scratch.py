"""The scratch folder of a session: outside the repository, short, gone afterwards.

Short because a Unix socket's path holds 107 bytes at most (man 7 unix); outside because inside,
an upward search of a notebook would find the user's real files.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pytest_nbci.errors import CheckoutError

_PREFIX = "nbci-"
_LONGEST_BASE = 60


def make_scratch(outside: Path) -> tuple[Path, int]:
    """A new scratch folder that is not below ``outside``, and the descriptor that keeps it ours.

    The lock ends with this process, however it ends; a later session removes what is unlocked.

    Raises:
        CheckoutError: The temporary folder is full, or cannot be written.
    """
    try:
        base = _base(outside)
        for stale in _unlocked(base):
            remove_tree(stale)
        return _make_locked(base)
    except OSError as error:
        raise CheckoutError(
            f"No temporary folder could be made: {error}.",
            "Free space there, or set TMPDIR to another disk.",
        ) from error


def _make_locked(base: Path) -> tuple[Path, int]:
    # Under another name until it is locked: a session that looks now would take it for stale.
    made = Path(tempfile.mkdtemp(prefix=f"new-{_PREFIX}", dir=base))
    descriptor = os.open(made / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return made.rename(made.with_name(made.name.removeprefix("new-"))), descriptor


def remove_scratch(folder: Path, descriptor: int) -> None:
    """Remove what ``make_scratch`` made."""
    remove_tree(folder)
    os.close(descriptor)


def remove_tree(folder: Path) -> None:
    """Remove ``folder``, whatever its depth and permissions.

    ``rm`` copes with trees that are too deep for shutil; what it may not enter is made writable
    for another try. What still resists (another user's file) is left behind.
    """
    remove = ["rm", "-rf", "--", str(folder)]
    for command in (remove, ["chmod", "-R", "u+rwx", "--", str(folder)], remove):
        done = subprocess.run(command, check=False, capture_output=True)
        if command is remove and not done.returncode:
            return
    shutil.rmtree(folder, ignore_errors=True)


def _base(outside: Path) -> Path:
    """The system's temporary folder, or /tmp where that is too long or inside the repository."""
    wanted = Path(tempfile.gettempdir()).resolve()
    inside = wanted.is_relative_to(outside.resolve())
    return Path("/tmp") if inside or len(str(wanted)) > _LONGEST_BASE else wanted  # noqa: S108


def _unlocked(base: Path) -> Iterator[Path]:
    for lock in base.glob(f"{_PREFIX}*/lock"):
        with contextlib.suppress(OSError):
            if lock.parent.is_symlink() or lock.stat().st_uid != os.geteuid():
                continue
            descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield lock.parent
            finally:
                os.close(descriptor)
