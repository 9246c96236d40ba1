"""Other pytest plugins in the same session: they do us no harm, nor we them."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.project import Project, Ran

EVERY_NEIGHBOUR = (
    "--asyncio-mode=strict",
    "--reruns=1",
    "--cov=helper",
    "--junitxml=report.xml",
)
FLAKY = "import os, pathlib\np = pathlib.Path(os.environ['MARKS'], 'seen')\nif not p.exists(): p.touch(); 1 / 0"
PYTHON = """
import asyncio
import pytest
import helper

@pytest.mark.asyncio
async def test_async():
    await asyncio.sleep(0)
    assert helper.one() == 1

def test_plain():
    assert helper.one() == 1
"""


@pytest.fixture(scope="module")
def neighbours(shared_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    project = shared_project
    project.notebook("good.ipynb", "print('good')")
    project.notebook(
        "sub dir/broken.ipynb",
        "print('\\x1b[31mred\\x1b[0m \\x00')",
        "raise ValueError('\\x1b[1m<&>\\x07 \\ud800')",
    )
    project.notebook("flaky.ipynb", FLAKY)
    project.notebook("same.ipynb", "import asyncio\nawait asyncio.sleep(0)")
    project.notebook("b/same.ipynb", "import random, numpy\nprint(random.random())")
    project.notebook("later.ipynb", "1 / 0", metadata={"nbci": {"skip": "not today"}})
    project.write("helper.py", "def one():\n    return 1\n")
    project.write("test_python.py", PYTHON)
    project.write("conftest.py", "")
    project.commit()
    return project.pytest(
        *EVERY_NEIGHBOUR,
        plugins=(),
        MARKS=str(tmp_path_factory.mktemp("marks")),
    )


def test_verdicts_are_the_same_among_neighbours(neighbours: Ran):
    assert neighbours.code == 1
    assert neighbours.outcomes == {"passed": 6, "failed": 1, "skipped": 1}
    assert "2 rerun" in neighbours.out
    assert {(result.notebook, result.outcome) for result in neighbours.session.results} == {
        ("good.ipynb", "passed"),
        ("sub dir/broken.ipynb", "failed"),
        ("flaky.ipynb", "passed"),
        ("same.ipynb", "passed"),
        ("b/same.ipynb", "passed"),
        ("later.ipynb", "skipped"),
    }


def test_reruns_are_counted(neighbours: Ran):
    assert neighbours.record("flaky.ipynb").attempts == 2
    assert neighbours.record("sub dir/broken.ipynb").attempts == 2
    assert neighbours.record("good.ipynb").attempts == 1
    assert neighbours.record("flaky.ipynb").cause is None


def test_coverage_is_measured_and_random_order_announced(neighbours: Ran):
    assert "Using --randomly-seed" in neighbours.out
    assert "helper.py" in neighbours.out
    assert "100%" in neighbours.out


def test_junit_is_valid_xml_with_the_notebooks_names(neighbours: Ran):
    tree = ET.parse(neighbours.root / "report.xml")
    cases = {(case.get("classname"), case.get("name")): case for case in tree.iter("testcase")}

    assert set(cases) == {
        ("good.ipynb", "good"),
        ("sub dir.broken.ipynb", "broken"),
        ("flaky.ipynb", "flaky"),
        ("same.ipynb", "same"),
        ("b.same.ipynb", "same"),
        ("later.ipynb", "later"),
        ("test_python", "test_async"),
        ("test_python", "test_plain"),
    }
    failures = [case for case in cases.values() if case.find("failure") is not None]
    assert [case.get("name") for case in failures] == ["broken"]
    message = failures[0].find("failure").get("message")  # type: ignore[union-attr]
    assert message.startswith("sub dir/broken.ipynb, cell 2 (")  # type: ignore[union-attr]
    assert "\x1b" not in message  # type: ignore[operator]
    skipped = cases["later.ipynb", "later"].find("skipped")
    assert skipped is not None
    assert skipped.get("message") == "not today"


def test_randomly_leaves_a_notebook_behind_those_it_needs(project: Project):
    project.table('[[tool.nbci.notebook]]\npath = "model.ipynb"\nneeds = ["data.ipynb"]\n')
    for name in ("data", "model", "other", "x", "y"):
        project.notebook(f"{name}.ipynb", "pass")
    project.commit()

    for seed in ("1", "2", "3"):
        ran = project.pytest(
            "--collect-only", "-q", f"--randomly-seed={seed}", plugins=("-p", "no:cacheprovider")
        )
        order = [line for line in ran.out.splitlines() if "::" in line]
        assert order.index("data.ipynb::data") < order.index("model.ipynb::model")


def test_warnings_as_errors_hit_nothing_of_ours(project: Project):
    project.notebook("good.ipynb", "pass")
    project.write("test_python.py", "def test_python(): pass\n")
    project.commit()

    serial = project.pytest("-W", "error", "--junitxml=report.xml")
    parallel = project.pytest("-W", "error", "-n", "1")

    assert serial.outcomes == {"passed": 2}, serial.out + serial.err
    assert parallel.outcomes == {"passed": 2}, parallel.out + parallel.err
    assert not serial.err


def test_xfail_set_by_a_hook_is_pytests_word_and_the_record_keeps_the_cause(
    project: Project, tmp_path: Path
):
    project.write(
        "conftest.py",
        "import pytest\n\ndef pytest_collection_modifyitems(items):\n"
        "    for item in items:\n"
        "        item.add_marker(pytest.mark.xfail(reason='known'))\n",
    )
    project.notebook("broken.ipynb", "1 / 0")
    project.commit()

    ran = project.pytest()

    assert ran.code == 0
    assert ran.outcomes == {"xfailed": 1}
    record = ran.record("broken.ipynb")
    assert (record.outcome, record.cause) == ("skipped", "cell_error")
    assert "known" in str(record.skip_reason)


def test_a_session_fixture_that_fails_and_a_failing_hook_are_errors_with_a_record(project: Project):
    project.write(
        "a/conftest.py",
        "import pytest\n\n@pytest.fixture(autouse=True)\ndef database():\n    raise OSError('no database here')\n",
    )
    project.write(
        "b/conftest.py",
        "import pytest\n\n@pytest.fixture(autouse=True)\ndef closing():\n    yield\n    raise OSError('cannot close')\n",
    )
    project.notebook("a/setup.ipynb", "pass")
    project.notebook("b/teardown.ipynb", "pass")
    project.commit()

    ran = project.pytest()

    assert ran.code == 1
    assert ran.outcomes == {"passed": 1, "error": 2}
    for name, words in (
        ("a/setup.ipynb", "no database here"),
        ("b/teardown.ipynb", "cannot close"),
    ):
        assert ran.record(name).outcome == "error"
        assert words in ran.record(name).message
