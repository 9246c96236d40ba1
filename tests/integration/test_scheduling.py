"""``-n``: the longest notebooks first, and what follows each other in one worker."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.project import Project, Ran


def started(ran: Ran, *names: str) -> list[str]:
    """Notebooks in the order in which their runs began."""
    return sorted(names, key=lambda name: ran.record(f"{name}.ipynb").started_at)


def test_the_longest_of_the_last_time_start_first_in_different_workers(project: Project):
    names = ["a", "b", "c", "d", "long1", "long2"]
    for name in names:
        project.notebook(f"{name}.ipynb", f"import time; time.sleep({2 if 'long' in name else 0})")
    project.commit()
    assert project.pytest("-n", "2").outcomes == {"passed": 6}

    again = project.pytest("-n", "2", "-v")
    assert set(started(again, *names)[:2]) == {"long1", "long2"}
    ends = [re.search(rf"\[(gw\d)\].*PASSED {one}\.ipynb", again.out) for one in ("long1", "long2")]
    assert len({end[1] for end in ends if end}) == 2

    project.notebook("e.ipynb", "1")  # nobody knows how long that takes
    project.commit()
    third = project.pytest("-n", "2")
    assert "e" in started(third, *names, "e")[:2]


def test_notebooks_that_follow_each_other_run_in_one_worker_and_once(project: Project):
    log = project.root.parent / "log"
    note = f"open({str(log)!r}, 'a').write(NAME)"
    for number in range(3):
        name = f"p{number}"
        project.notebook(f"{name}.ipynb", f"NAME = '{name} '", note, "open('x', 'w').write('1')")
        needs = {"nbci": {"needs": [f"{name}.ipynb"]}}
        project.notebook(
            f"q{number}.ipynb", f"NAME = 'q{number} '", note, "open('x').read()", metadata=needs
        )
    project.commit()
    assert project.pytest("-n", "2").outcomes == {"passed": 6}
    assert sorted(log.read_text().split()) == ["p0", "p1", "p2", "q0", "q1", "q2"]


def test_ordinary_tests_stay_one_by_one_beside_notebooks(project: Project):
    project.notebook("a.ipynb", "1")
    project.write("test_m.py", "import time\n\ndef test_1(): pass\n\ndef test_2(): pass\n")
    project.commit()
    ran = project.pytest("-n", "2", "-v")
    assert ran.outcomes == {"passed": 3}
    assert "NotebookScheduling" in ran.out
    assert "NotebookScheduling" not in project.pytest("-n", "2", "-v", "test_m.py").out
    assert "NotebookScheduling" not in project.pytest("-n", "2", "-v", "--dist", "loadfile").out
