"""``-n 2``: the same verdicts and records as a serial run, and one session's record."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from pytest_nbci.records import Record
from tests.project import Project, Ran

TABLE = """
[[tool.nbci.notebook]]
path = "model.ipynb"
needs = ["raw/data.ipynb"]
[[tool.nbci.notebook]]
path = "later.ipynb"
skip = "not today"
[tool.nbci.data.test]
parameters = {rows = 3}
"""
DIFFERS = ("session", "started_at", "duration_s", "peak_memory_bytes", "cells", "job", "warnings")


@dataclasses.dataclass(frozen=True)
class Both:
    project: Project
    serial: Ran
    parallel: Ran


def every_record(ran: Ran) -> dict[str, Record]:
    folder = ran.session_folder
    found = {}
    for path in folder.rglob("*.ipynb.json"):
        record = Record.from_json(path.read_text())
        found[record.notebook] = record
    return found


def comparable(record: Record) -> dict[str, Any]:
    data = dataclasses.asdict(record)
    return {name: value for name, value in data.items() if name not in DIFFERS}


@pytest.fixture(scope="module")
def both(shared_project: Project) -> Both:
    project = shared_project
    project.table(TABLE)
    project.notebook("raw/data.ipynb", "open('made.txt', 'w').write('made')")
    project.notebook("model.ipynb", "print(open('raw/made.txt').read())")
    project.notebook("sub/broken.ipynb", "x = 1", "1 / 0", "pass")
    project.notebook("later.ipynb", "1 / 0")
    project.notebook("key.ipynb", "pass", metadata={"nbci": {"timeoutt": 1}})
    project.notebook("exit.ipynb", "import sys; sys.exit(0)", "pass")
    project.write("not json.ipynb", "{")
    project.write("test_python.py", "def test_good(): pass\n\ndef test_bad(): assert False\n")
    project.commit()
    parallel = project.pytest("-n", "2", "-v")
    parallel_folder = parallel.session_folder
    serial = project.pytest()
    assert serial.session_folder != parallel_folder
    return Both(project, serial, _Fixed(parallel, parallel_folder))


class _Fixed(Ran):
    """A run whose session stays the one it had, though a newer one followed."""

    def __init__(self, ran: Ran, folder: Any) -> None:
        super().__init__(ran.code, ran.out, ran.err, ran.root)
        object.__setattr__(self, "_folder", folder)

    @property
    def session_folder(self) -> Any:
        return self._folder  # type: ignore[attr-defined]


def test_verdicts_are_those_of_a_serial_run(both: Both):
    assert both.parallel.code == both.serial.code == 1
    assert both.serial.outcomes == {"passed": 3, "failed": 5, "skipped": 1}
    assert both.parallel.outcomes == both.serial.outcomes
    assert "sub/broken.ipynb, cell 2 (1 / 0): ZeroDivisionError" in both.parallel.out


def test_records_are_those_of_a_serial_run(both: Both):
    serial, parallel = every_record(both.serial), every_record(both.parallel)

    assert set(serial) == set(parallel)
    for name, record in serial.items():
        assert comparable(parallel[name]) == comparable(record)
        assert [cell.status for cell in parallel[name].cells] == [
            cell.status for cell in record.cells
        ]


def test_there_is_one_complete_session_with_the_whole_plan(both: Both):
    serial, parallel = both.serial.session, both.parallel.session

    assert parallel.complete
    assert parallel.exit_status == serial.exit_status == 1
    assert parallel.plan == serial.plan
    assert len(parallel.plan) == 7
    assert {(item.notebook, item.outcome, item.cause) for item in parallel.results} == {
        (item.notebook, item.outcome, item.cause) for item in serial.results
    }
    assert len(list(both.project.root.glob(".nbci/results/**/_session.json"))) == 2


def test_k_under_xdist_runs_and_plans_just_that_notebook(both: Both):
    ran = both.project.pytest("-n", "2", "-k", "broken")

    assert ran.code == 1
    assert ran.outcomes == {"failed": 1}
    assert [result.notebook for result in ran.session.results] == ["sub/broken.ipynb"]
    assert [plan.notebook for plan in ran.session.plan if plan.due] == ["sub/broken.ipynb"]
    assert set(every_record(ran)) == {"sub/broken.ipynb"}


@pytest.mark.parametrize("how", ["loadfile", "worksteal", "each"])
def test_other_ways_of_distributing_work_too(both: Both, how: str):
    ran = both.project.pytest("-n", "2", "--dist", how, "-k", "broken or data or test_good")

    times = 2 if how == "each" else 1
    assert ran.outcomes == {"passed": 2 * times, "failed": times}
    assert ran.session.complete
    assert [result.notebook for result in ran.session.results] == [
        "raw/data.ipynb",
        "sub/broken.ipynb",
    ]
    assert ran.record("raw/data.ipynb").outcome == "passed"


def test_no_scratch_folder_is_left(both: Both, tmp_path):
    ran = both.project.pytest("-n", "2", "-k", "broken", TMPDIR=str(tmp_path))

    assert ran.outcomes == {"failed": 1}
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("nbci-")] == []


def test_odd_names_are_planned_under_xdist(project: Project):
    project.notebook("sub dir/v[1] ü.ipynb", "print(1)")
    project.notebook("a::b.ipynb", "print(1)")
    project.commit()

    ran = project.pytest("-n", "1")

    assert ran.outcomes == {"passed": 2}
    assert [(entry.notebook, entry.due) for entry in ran.session.plan] == [
        ("a::b.ipynb", True),
        ("sub dir/v[1] ü.ipynb", True),
    ]
    assert len(ran.session.results) == 2


def test_notebooks_outside_pytests_rootdir_are_planned_under_xdist(project: Project):
    project.notebook("sub/inner.ipynb", "print(1)")
    project.notebook("plain.ipynb", "print(1)")
    project.write("sub/pytest.ini", "[pytest]\n")
    project.commit()

    ran = project.pytest("-n", "1", cwd=project.root / "sub")

    assert ran.outcomes == {"passed": 2}
    assert [(entry.notebook, entry.due) for entry in ran.session.plan] == [
        ("plain.ipynb", True),
        ("sub/inner.ipynb", True),
    ]


def test_a_crashed_worker_does_not_lose_finished_results(project: Project):
    project.notebook("a_first.ipynb", "print(1)")
    project.notebook("b_second.ipynb", "1 / 0")
    project.notebook("c_third.ipynb", "print(3)")
    project.write(
        "test_z.py", "import os\n\ndef test_crash(): os._exit(3)\n\ndef test_fine(): pass\n"
    )
    project.commit()

    ran = project.pytest("-n", "2")

    assert ran.code == 1
    assert "crashed while running" in ran.out
    assert "test_z.py::test_crash" in ran.out
    assert ran.session.complete
    assert {(item.notebook, item.outcome) for item in ran.session.results} == {
        ("a_first.ipynb", "passed"),
        ("b_second.ipynb", "failed"),
        ("c_third.ipynb", "passed"),
    }
    assert set(every_record(ran)) == {"a_first.ipynb", "b_second.ipynb", "c_third.ipynb"}
