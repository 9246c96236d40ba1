"""The smallest project: one good and one broken notebook, run as a user would."""

from __future__ import annotations

from tests.project import Project


def test_a_good_notebook_passes_and_a_broken_one_fails_with_its_cell(project: Project):
    project.notebook("good.ipynb", "x = 1", "print(x + 1)")
    project.notebook("sub/broken.ipynb", "x = 1", "1 / 0", "print('later')")
    project.commit()

    ran = project.pytest()

    assert ran.code == 1
    assert ran.outcomes == {"passed": 1, "failed": 1}
    assert "sub/broken.ipynb, cell 2 (1 / 0): ZeroDivisionError: division by zero." in ran.out
    assert ran.text_of("good.ipynb") == "2\n"
    record = ran.record("sub/broken.ipynb")
    assert (record.outcome, record.cause) == ("failed", "cell_error")
    assert [cell.status for cell in record.cells] == ["passed", "failed", "not run"]
    assert ran.session.complete
    assert [planned.notebook for planned in ran.session.plan] == ["good.ipynb", "sub/broken.ipynb"]
