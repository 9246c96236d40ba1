"""A notebook that removes our whole scratch folder costs the others no wrong verdict."""

from __future__ import annotations

from tests.project import Project

VANDAL = """import os, shutil
scratch = os.path.dirname(os.path.dirname(os.path.dirname(os.getcwd())))
assert os.path.basename(scratch).startswith('nbci-'), scratch
for name in os.listdir(scratch):
    shutil.rmtree(os.path.join(scratch, name), ignore_errors=True)"""


def write(project: Project) -> None:
    project.notebook("a_vandal.ipynb", VANDAL)
    project.notebook("b_victim.ipynb", "1")
    project.commit()


def test_the_next_notebook_runs_from_a_new_checkout(project: Project):
    write(project)

    ran = project.pytest()

    assert ran.outcomes == {"passed": 2}


def test_what_was_not_committed_cannot_be_restored_and_is_said_so(project: Project):
    write(project)
    project.notebook("b_victim.ipynb", "2")

    ran = project.pytest()

    assert ran.record("a_vandal.ipynb").outcome == "passed"
    record = ran.record("b_victim.ipynb")
    assert (record.outcome, record.cause) == ("error", "checkout_error")
    assert record.message.startswith("b_victim.ipynb: The private checkout of ")
    assert record.cure
    assert "Traceback" not in ran.out + ran.err
