"""The table of misbehaving notebooks in one session: every report says what the table says."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_nbci.records import CAUSES
from tests.project import Ran
from tests.table.mutations import MUTATIONS
from tests.table.session import ROWS, Told, disagreements, run_rows, write_rows

PACKAGE = Path(__file__).parent.parent.parent / "pytest_nbci"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return run_rows(write_rows(tmp_path_factory.mktemp("table") / "p"))


@pytest.fixture(scope="module")
def ran(told: Told) -> Ran:
    return told.ran


@pytest.mark.parametrize("name", ROWS)
def test_a_notebook_gets_the_verdict_of_an_honest_judge(told: Told, name: str):
    assert disagreements(told, name) == []


def test_no_process_is_left(told: Told):
    assert told.left == []


def test_no_line_of_output_is_lost(ran: Ran):
    assert ran.text_of("many_lines.ipynb") == "".join(f"{i}\n" for i in range(20_000))
    assert len(ran.executed("many_lines.ipynb")["cells"][0]["outputs"]) == 1


def test_outputs_that_may_be_incomplete_are_said_so(ran: Ran):
    assert "cell 1 may be incomplete" in ran.record("outputs_cut_off.ipynb").warnings[0]


def test_another_kernel_of_the_language_is_said_so(ran: Ran):
    for name, stood_in in (("unknown_kernel_name", "python3"), ("bash_by_language", "bash")):
        assert f"is not installed; {stood_in} ran it" in ran.record(f"{name}.ipynb").warnings[0]


def test_odd_tags_excuse_nothing_unseen(ran: Ran):
    statuses = [cell.status for cell in ran.record("tags_are_text.ipynb").cells]
    assert statuses == ["passed", "skipped"]


def test_nbformat_3_is_upgraded_and_run(ran: Ran):
    assert ran.text_of("format_3.ipynb") == "3\n"


def test_no_traceback_of_ours_is_shown(ran: Ran):
    assert "Traceback" not in ran.err
    assert "nbclient" not in ran.out
    # It is the program that cannot write a parameter in a language: the reader should know.
    assert ran.out.count("papermill") == ran.out.count("papermill cannot write the parameter")


def test_frames_are_cells_and_own_files(ran: Ran):
    def frames(name: str) -> list[tuple[str, int, str]]:
        error = ran.record(f"{name}.ipynb").error
        assert error is not None
        return [(frame.file, frame.line, frame.source) for frame in error.frames]

    assert frames("raises_in_function") == [("cell 2", 1, "f(0)"), ("cell 1", 2, "return 1 / a")]
    assert frames("missing_module_of_a_module") == [
        ("cell 1", 1, "import outer_module"),
        ("outer_module.py", 1, "import inner_module"),
        ("inner_module.py", 1, "import no_such_module_2"),
    ]


def test_endless_recursion_does_not_fill_the_record(ran: Ran):
    error = ran.record("recursion.ipynb").error
    assert error is not None
    assert len(error.frames) == 40
    assert (error.frames[0].file, error.frames[-1].file) == ("cell 2", "cell 1")


@pytest.mark.parametrize("cause", CAUSES)
def test_every_cause_has_a_line_whose_removal_turns_a_test_red(cause: str):
    """``make soak`` removes them; here the lines are still where they were named."""
    mutation = MUTATIONS[cause]
    lines = (PACKAGE / mutation.file).read_text().splitlines()
    assert lines.count(mutation.line) == 1
    assert {ROWS[name].cause for name in mutation.rows} <= {cause}
    assert mutation.rows or (PACKAGE.parent / mutation.test).exists()
