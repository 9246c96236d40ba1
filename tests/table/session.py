"""Rows of the table run for real in one project, and where reports and table disagree."""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.project import PLAIN, Project, Ran, notebook_json
from tests.table import control, errors, files, kernels, peers, tampering
from tests.table.row import TIMEOUT_S, Row

ROWS: Mapping[str, Row] = {
    **control.ROWS,
    **errors.ROWS,
    **tampering.ROWS,
    **kernels.ROWS,
    **files.ROWS,
    **peers.ROWS,
}

MODULES = {
    "helper.py": "def f(a):\n    return 1 / a\n",
    "broken_module.py": "x = 1\ny = (\n",
    "outer_module.py": "import inner_module\n",
    "inner_module.py": "import no_such_module_2\n",
    "raises.py": "1 / 0\n",
    "exits.py": "import sys\n\nsys.exit(3)\n",
    "data/conftest.py": "import pytest\n\n\n@pytest.fixture\ndef nbci_test_data():\n"
    "    raise OSError('no share is mounted')\n",
}

MARK = "NBCI_TEST_TABLE"
# A guard for a machine that is busy with other things.
LONGEST_SESSION_S = 1_800


@dataclass(frozen=True)
class Told:
    """What the reports of one session say of each notebook, and which processes it left."""

    ran: Ran
    summary: Mapping[str, str]
    cases: Mapping[str, ET.Element]
    left: list[str]


def write_rows(root: Path, names: Iterable[str] = ROWS, settings: str = "") -> Project:
    """A project with the notebooks of the rows, committed; kernels lie beside it."""
    project = Project.create(root)
    project.table(f"timeout = {TIMEOUT_S}\n{settings}")
    kernels.write_kernelspecs(root.parent / "jupyter")
    for name, text in MODULES.items():
        project.write(name, text)
    for name in names:
        row = ROWS[name]
        metadata = {"nbci": row.nbci} if row.nbci else {}
        content = notebook_json(row.cells, metadata, row.kernel, row.language)
        project.write(
            f"{name}.ipynb", json.dumps(content).encode() if row.file is None else row.file
        )
    project.commit()
    return project


def run_rows(project: Project, *arguments: str, **environment: str) -> Told:
    """Run pytest on them in one session."""
    mark, before = uuid.uuid4().hex, set(processes())
    ran = project.run(
        *(sys.executable, "-m", "pytest", *PLAIN),
        *("-q", "-rA", "--junitxml=junit.xml", *arguments),
        timeout_s=LONGEST_SESSION_S,
        **{MARK: mark, "COLUMNS": "10000", "CI": "true"},
        JUPYTER_PATH=str(project.root.parent / "jupyter"),
        **environment,
    )
    junit = ET.parse(project.root / "junit.xml").getroot()
    return Told(
        ran,
        dict(_summary_lines(ran.out)),
        {f"{case.get('classname')}::{case.get('name')}": case for case in junit.iter("testcase")},
        left_behind(project.root, mark, before),
    )


def disagreements(told: Told, name: str) -> list[str]:
    """Where record, terminal or JUnit say something else than the table, or took too long."""
    row, record = ROWS[name], told.ran.record(f"{name}.ipynb")
    stem = name.rpartition("/")[2]
    place = f"{name}.ipynb::{stem}"
    case = told.cases[f"{name.replace('/', '.')}.ipynb::{stem}"]
    failed = record.failed_cell.number if record.failed_cell else None
    line, (tag, said) = told.summary.get(place, ""), _junit(case)
    word = {"error": "ERROR", "failed": "FAILED", "passed": "PASSED"}.get(row.outcome, "")
    tells = {"error": "failed on setup with ", "failed": ""}.get(row.outcome, "")
    is_bad = row.outcome in ("failed", "error")
    # pytest tells an exception of a fixture itself, with the traceback that leads there.
    foreign = record.message.partition("a fixture failed in setup: ")[2]
    sentence = foreign or record.message
    checks: dict[str, tuple[object, object]] = {
        "outcome": (record.outcome, row.outcome),
        "cause": (record.cause, row.cause),
        "cell": (failed, row.cell),
        "says": (row.says in record.message + record.cure, True),
        "cell in message": (row.cell is None or f"cell {row.cell}" in record.message, True),
        "cure": (bool(record.cure), is_bad),
        "one sentence": (len(record.message.splitlines()), 1 if is_bad else 0),
        "terminal": (
            line,
            f"{word} {place}{f' - {sentence}' if is_bad else ''}" if word else "",
        ),
        "section": (f"cure: {record.cure}\n" in told.ran.out or not is_bad or foreign != "", True),
        "JUnit tag": (tag, {"failed": "failure", "passed": ""}.get(row.outcome, row.outcome)),
        "JUnit message": (
            said if is_bad else "",
            (f'{tells}"{sentence}"' if tells else sentence) if is_bad else "",
        ),
        "seconds": (float(case.get("time", "nan")) <= row.longest_s, True),
    }
    found = [
        f"{what}: {seen!r}, not {due!r}" for what, (seen, due) in checks.items() if seen != due
    ]
    return [*found, f"message: {record.message} {record.cure}"] if found else []


def _summary_lines(out: str) -> Iterable[tuple[str, str]]:
    for line in out.splitlines():
        word, _, rest = line.partition(" ")
        if word in ("PASSED", "FAILED", "ERROR"):
            yield rest.partition(" - ")[0], line


def _junit(case: ET.Element) -> tuple[str, str]:
    for tag in ("failure", "error", "skipped"):
        found = case.find(tag)
        if found is not None:
            return tag, found.get("message", "")
    return "", ""


def processes() -> list[str]:
    """Ids of all processes."""
    return [path.name for path in Path("/proc").glob("[0-9]*")]


def left_behind(root: Path, mark: str, before: set[str]) -> list[str]:
    """New processes that carry the session's mark, or work in its checkout or project."""
    found = []
    for pid in set(processes()) - before - {str(os.getpid())}:
        with suppress(OSError):
            folder = Path("/proc", pid)
            words = (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
            cwd = str((folder / "cwd").readlink())
            if mark.encode() in words or str(root).encode() in words or cwd.startswith(str(root)):
                found.append(f"{pid} {words[-200:]!r} in {cwd}")
    return found
