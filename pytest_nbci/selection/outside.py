"""Files outside of the repository that code names by their absolute paths: nobody observes them."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from datetime import datetime

# Of the system, not data of anybody: they differ from one container to the next.
_SYSTEM = ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys")


def outside_inputs(named: Iterable[str], started_at: str) -> Iterator[str]:
    """Those of ``named`` that are files which a run may have read.

    Args:
        named: Absolute paths.
        started_at: When the run began, UTC in ISO 8601, or empty. What was written since then it
            may have written itself: in a fresh container that is not there.
    """
    ignored = (*_SYSTEM, "/usr", sys.prefix, sys.base_prefix, tempfile.gettempdir())
    begun = datetime.fromisoformat(started_at).timestamp() if started_at else float("inf")
    for path in named:
        if any(path.startswith(f"{folder}/") for folder in ignored):
            continue
        with contextlib.suppress(OSError, ValueError):
            state = os.stat(path)  # noqa: PTH116 - may be no path at all
            if stat.S_ISREG(state.st_mode) and state.st_mtime < begun:
                yield path
