"""What a diagnosis of a failed cell looks at, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pytest_nbci.notebook import Notebook
from pytest_nbci.records import Failure


@dataclass(frozen=True)
class Diagnosis:
    """A cause of the design, what the message adds to the error, and the cure."""

    cause: str
    addition: str
    cure: str


@dataclass(frozen=True)
class Place:
    """Where a notebook ran.

    Attributes:
        checkout: Top of the private checkout; what lies below it is the reader's own code.
        folder: The notebook's folder in it, the kernel's working folder.
        users_top: Top of the user's working tree.
        prefix: The project root relative to a top ("" or ending in "/").
    """

    checkout: Path
    folder: Path
    users_top: Path
    prefix: str = ""


@dataclass(frozen=True)
class Scene:
    """Where the error happened.

    Attributes:
        notebook: The notebook as it was read.
        failure: The error.
        cell_id: The failed cell.
        place: Where it ran.
        owner: Module that the object of an AttributeError belongs to, where the kernel said it.
        traceback: The whole traceback as plain text.
    """

    notebook: Notebook
    failure: Failure
    cell_id: str
    place: Place
    owner: str
    traceback: str
