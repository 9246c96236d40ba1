"""What a session leaves: each fault costs no more than it must."""

from __future__ import annotations

import json

import pytest

from tests.project import Project


def test_a_kept_file_that_vanishes_costs_nothing(project: Project):
    project.table('keep = ["**/*.csv"]')
    project.write("tracked.csv", "1")
    project.notebook(
        "a.ipynb",
        "import tempfile, pathlib\nd = tempfile.TemporaryDirectory(dir='.')\n"
        "pathlib.Path(d.name, 'x.csv').write_text('1')\npathlib.Path('mine.csv').write_text('2')",
    )
    project.notebook("b.ipynb", "1")
    project.commit()

    ran = project.pytest()

    assert ran.outcomes == {"passed": 2}
    assert ran.record("a.ipynb").kept == ("mine.csv",)
    assert (ran.session_folder / "a.files" / "mine.csv").read_text() == "2"


def test_a_failing_teardown_does_not_hide_the_first_failure(project: Project):
    project.write(
        "conftest.py",
        "import pytest\n\n@pytest.fixture(autouse=True)\ndef closing():\n    yield\n"
        "    raise OSError('cannot close')\n",
    )
    project.notebook("a.ipynb", "raise ValueError('first')")
    project.commit()

    ran = project.pytest()

    record = ran.record("a.ipynb")
    assert (record.outcome, record.cause) == ("failed", "cell_error")
    assert "cannot close" in record.warnings[0]


def test_a_notebook_whose_worker_crashed_is_lost_and_the_others_are_kept(project: Project):
    project.write(
        "b/conftest.py",
        "import os, pytest\n\n@pytest.fixture(autouse=True)\ndef crash():\n    os._exit(9)\n",
    )
    project.notebook("a.ipynb", "1")
    project.notebook("b/crashes.ipynb", "1")
    project.notebook("c.ipynb", "1")
    project.commit()

    ran = project.pytest("-n", "2")

    assert ran.code == 1
    outcomes = {result.notebook: result.outcome for result in ran.session.results}
    assert outcomes == {"a.ipynb": "passed", "b/crashes.ipynb": "lost", "c.ipynb": "passed"}
    assert "b/crashes.ipynb is lost" in ran.out
    assert ran.record("a.ipynb").outcome == "passed"


def test_a_result_that_cannot_be_written_is_one_sentence(project: Project):
    project.notebook("a.ipynb", "1")
    project.commit()
    project.write(".nbci", "a file is in the way")

    ran = project.pytest()

    assert ran.outcomes == {"passed": 1}
    assert ".nbci cannot be written" in ran.out
    assert "Traceback" not in ran.out + ran.err


def test_tests_of_the_user_find_their_event_loop(project: Project):
    project.notebook("a.ipynb", "1")
    project.write(
        "test_z.py",
        "import asyncio, warnings\n\ndef test_loop():\n"
        "    with warnings.catch_warnings():\n        warnings.simplefilter('ignore')\n"
        "        asyncio.get_event_loop()\n",
    )
    project.commit()

    assert project.pytest("a.ipynb", "test_z.py").outcomes == {"passed": 2}


def test_what_interrupts_a_notebook_from_outside_is_not_blamed_on_a_fixture(project: Project):
    project.write(
        "conftest.py",
        "import pytest\n\n@pytest.hookimpl(wrapper=True)\ndef pytest_runtest_call(item):\n"
        "    yield\n    raise RuntimeError('a plugin says no')\n",
    )
    project.notebook("a.ipynb", "1")
    project.commit()

    record = project.pytest().record("a.ipynb")

    assert (record.outcome, record.cause) == ("failed", "not_run")
    assert "a plugin says no" in record.message
    assert "fixture" not in record.message


@pytest.mark.parametrize("arguments", [(), ("-n", "1")], ids=["serial", "xdist"])
def test_a_disk_that_fails_at_the_end_is_told_and_the_session_completed(
    project: Project, arguments: tuple[str, ...]
):
    project.write(
        "conftest.py",
        "import errno, os\n"
        "def fsync(number, real=os.fsync):\n"
        "    if os.readlink(f'/proc/self/fd/{number}').endswith('b.ipynb'):\n"
        "        raise OSError(errno.EIO, os.strerror(errno.EIO))\n"
        "    real(number)\n"
        "os.fsync = fsync\n",
    )
    project.notebook("a.ipynb", "1")
    project.notebook("b.ipynb", "1")
    project.commit()

    ran = project.pytest(*arguments)

    assert ran.code == 1
    assert ran.out.count("b.ipynb could not be written: Input/output error.") == 1
    assert ran.session.complete
    assert (ran.session_folder / "index.html").is_file()


def test_whatever_json_can_hold_may_be_displayed_and_attached(project: Project):
    project.notebook("a.ipynb", "display({'text/plain': 5}, raw=True)")
    project.notebook("b.ipynb", "display({'text/plain': {'a': [True]}}, raw=True)")
    content = json.loads((project.root / "b.ipynb").read_text())
    for odd in ("text", {"x.png": "z"}, ["y"]):
        cell = {"cell_type": "markdown", "metadata": {}, "source": "m", "attachments": odd}
        content["cells"].append(cell)
    (project.root / "c.ipynb").write_text(json.dumps(content))
    project.commit()

    ran = project.pytest("--junitxml=junit.xml")

    assert ran.outcomes == {"passed": 3}, ran.out
