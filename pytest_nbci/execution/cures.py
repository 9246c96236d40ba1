"""Cures for errors whose own words do not tell a reader what to do in a run without a person."""

from __future__ import annotations

import re

from pytest_nbci.records import Failure

_DISPLAY = (
    "There is no display here: use %matplotlib inline, or leave the magic out; %matplotlib widget "
    "needs the package ipympl."
)
MEMORY = (
    "Make it work on less test data, free what is no longer needed, or give the job more memory."
)
_WORKER = (
    "A worker process crashed or was killed: look for its memory, and run the work once in the "
    "notebook's own process to see the error."
)

_NOBODY = "Nobody can answer: take the value from the cell tagged parameters; remove a debugger."
_PYTHON_2 = (
    r"Missing parentheses in call to '(?:print|exec)'|leading zeros in decimal"
    r"|multiple exception types must be parenthesized"
)

# Error name, what its text holds, cure.
_KNOWN: tuple[tuple[str, str, str], ...] = (
    ("StdinNotImplementedError", "", _NOBODY),
    (
        "RuntimeError",
        r"asyncio\.run\(\) cannot be called|This event loop is already running",
        "A notebook has a running event loop: write await instead.",
    ),
    ("SyntaxError", _PYTHON_2, "It is written for Python 2: port the notebook to Python 3."),
    (
        "UsageError",
        r"magic (?:function )?`%+\w+` not found",
        "Load the extension that has the magic (%load_ext) in a cell above, or leave it out.",
    ),
    ("MemoryError|_ArrayMemoryError", "", MEMORY),
    ("BrokenProcessPool|TerminatedWorkerError", "", _WORKER),
    ("RuntimeError|ImportError", "GUI loop|Qt binding|Cannot load backend", _DISPLAY),
    ("TclError", "display", _DISPLAY),
)


def known_cure(failure: Failure) -> str | None:
    """The cure for a well-known error; None for any other."""
    return next(
        (
            cure
            for name, text, cure in _KNOWN
            if re.fullmatch(name, failure.name) and re.search(text, failure.value)
        ),
        None,
    )
