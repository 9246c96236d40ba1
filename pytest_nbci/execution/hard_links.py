"""Hard links: what is read through one was opened under a name that nobody watches."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, islice


def touched_since(
    begun_ns: int, listed: Iterable[str], others: Iterable[str], at_most: int | None
) -> Iterator[str]:
    """Files that got or lost a name: that changes ``st_ctime``, also if the link is gone again.

    Args:
        begun_ns: Since when, in nanoseconds of the system's time.
        listed: Folders that were listed: who links a whole tree does.
        others: Further folders.
        at_most: How many files of these are looked at; None: all.
    """
    for folder in listed:
        yield from _touched(_files_in(folder), begun_ns)
    some = islice(chain.from_iterable(map(_files_in, others)), at_most)
    yield from _touched(some, begun_ns)


def _touched(files: Iterable[os.DirEntry[str]], begun_ns: int) -> Iterator[str]:
    for entry in files:
        with suppress(OSError):
            if entry.stat(follow_symlinks=False).st_ctime_ns >= begun_ns:
                yield entry.path


def _files_in(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if entry.is_file(follow_symlinks=False)]
    except OSError:
        return []
