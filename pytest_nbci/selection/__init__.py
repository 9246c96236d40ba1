"""Which notebooks are due in a session, and why: those that did not pass with the same inputs.

``Analysis`` knows the static basis of each notebook of a tree, ``gather`` joins it with what a run
read, ``State`` is what sessions remember, ``choose`` decides.
"""

from __future__ import annotations

from pytest_nbci.selection.due import (
    Choice,
    Decision,
    choose,
    since,
)
from pytest_nbci.selection.entry import Entry, Evidence, Readings, entry_of, gather
from pytest_nbci.selection.facts import Import
from pytest_nbci.selection.fingerprint import Analysis, Rules
from pytest_nbci.selection.kept import read_kept, write_kept
from pytest_nbci.selection.known import known_files
from pytest_nbci.selection.passed import Passed, passed_key, read_passed
from pytest_nbci.selection.plan import plan_notebooks
from pytest_nbci.selection.reasons import missed_input
from pytest_nbci.selection.sources import Sources
from pytest_nbci.selection.state import FileTable, State, merged
from pytest_nbci.selection.tree import Tree, read_tree

__all__ = [
    "Analysis",
    "Choice",
    "Decision",
    "Entry",
    "Evidence",
    "FileTable",
    "Import",
    "Passed",
    "Readings",
    "Rules",
    "Sources",
    "State",
    "Tree",
    "choose",
    "entry_of",
    "gather",
    "known_files",
    "merged",
    "missed_input",
    "passed_key",
    "plan_notebooks",
    "read_kept",
    "read_passed",
    "read_tree",
    "since",
    "write_kept",
]
