"""When notebooks are tests: the table, ``--nbci``, ``--no-nbci``, and nothing at all otherwise."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.project import Project

PLAIN_TABLE = '[project]\nname = "mine"\nversion = "1"\ndependencies = ["pytest-nbci"]\n'
LIGHT = {
    "pytest_nbci",
    "pytest_nbci.plugin",
    "pytest_nbci.settings",
    "pytest_nbci.errors",
}
HEAVY = {"papermill", "nbclient", "boto3", "botocore", "mlflow", "git", "nbformat", "zmq", "jinja2"}
SPY = """
import os, sys

def pytest_unconfigure(config):
    with open(os.environ["SPY_FILE"], "w") as file:
        file.write("\\n".join(sys.modules))
"""
# What pytest itself would write is not our promise.
WRITES_NOTHING = {"PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture
def two_notebooks(project: Project) -> Project:
    project.notebook("good.ipynb", "print('good')")
    project.notebook("sub/other.ipynb", "1 / 0")
    project.write("test_plain.py", "def test_plain(): pass\n")
    project.commit()
    return project


def everything_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if ".git" not in path.parts}


def test_without_a_table_no_notebook_is_collected_and_nothing_of_ours_is_imported(
    two_notebooks: Project, tmp_path: Path
):
    project = two_notebooks
    project.write("pyproject.toml", PLAIN_TABLE)
    spy = tmp_path / "spy"
    spy.mkdir()
    (spy / "module_spy.py").write_text(SPY)

    ran = project.pytest("-p", "module_spy", PYTHONPATH=str(spy), SPY_FILE=str(spy / "modules"))

    assert ran.code == 0
    assert ran.outcomes == {"passed": 1}
    assert "nbci:" not in ran.out
    assert not (project.root / ".nbci").exists()
    modules = set((spy / "modules").read_text().splitlines())
    assert {name for name in modules if name.startswith("pytest_nbci")} == LIGHT
    assert not modules & HEAVY


REWRITTEN = """
import os, sys

def pytest_unconfigure(config):
    found = [name for name, module in sys.modules.items()
             if "Rewriting" in type(getattr(module, "__loader__", None)).__name__]
    with open(os.environ["SPY_FILE"], "w") as file:
        file.write("\\n".join(found))
"""


def test_pytest_does_not_compile_our_modules_anew(two_notebooks: Project, tmp_path: Path):
    """It would in each new container, as those of every plugin."""
    spy = tmp_path / "spy"
    spy.mkdir()
    (spy / "module_spy.py").write_text(REWRITTEN)
    two_notebooks.pytest("-p", "module_spy", PYTHONPATH=str(spy), SPY_FILE=str(spy / "modules"))
    rewritten = set((spy / "modules").read_text().splitlines())
    assert "module_spy" in rewritten
    assert {name for name in rewritten if name.startswith("pytest_nbci")} <= {"pytest_nbci"}


def test_without_a_table_xdist_workers_collect_no_notebook_either(two_notebooks: Project):
    two_notebooks.write("pyproject.toml", PLAIN_TABLE)

    ran = two_notebooks.pytest("-n", "1")

    assert ran.outcomes == {"passed": 1}
    assert not (two_notebooks.root / ".nbci").exists()


def test_with_a_table_k_runs_just_that_notebook_and_publishes_nothing(two_notebooks: Project):
    ran = two_notebooks.pytest("-k", "good")

    assert ran.code == 0
    assert ran.outcomes == {"passed": 1, "deselected": 2}
    assert ran.text_of("good.ipynb") == "good\n"
    plan = {planned.notebook: (planned.due, planned.why) for planned in ran.session.plan}
    assert plan == {"good.ipynb": (True, ""), "sub/other.ipynb": (False, "deselected")}
    assert [summary.notebook for summary in ran.session.results] == ["good.ipynb"]
    assert everything_below(two_notebooks.root / ".nbci") - everything_below_results(ran.root) == {
        ".gitignore",
        "results",
        "selection",
        "selection/sources.json",
    }
    assert "published" not in ran.out


def everything_below_results(root: Path) -> set[str]:
    return {f"results/{name}" for name in everything_below(root / ".nbci/results")}


def test_k_that_leaves_no_notebook_makes_no_session(two_notebooks: Project):
    ran = two_notebooks.pytest("-k", "test_plain")

    assert ran.outcomes == {"passed": 1, "deselected": 2}
    assert not list(two_notebooks.root.glob(".nbci/results/**/_session.json"))


@pytest.mark.parametrize("arguments", [("--no-nbci",), ("--nbci", "--no-nbci")])
def test_no_nbci_switches_off(two_notebooks: Project, arguments: tuple[str, ...]):
    ran = two_notebooks.pytest(*arguments)

    assert ran.code == 0
    assert ran.outcomes == {"passed": 1}
    assert not (two_notebooks.root / ".nbci").exists()


def test_nbci_without_a_table_takes_the_top_of_the_repository(two_notebooks: Project):
    project = two_notebooks
    project.write("pyproject.toml", PLAIN_TABLE)

    ran = project.pytest("--nbci", "--nbci-mlflow", "off", cwd=project.root / "sub")

    assert ran.code == 1
    assert ran.outcomes == {"passed": 1, "failed": 1}
    assert [planned.notebook for planned in ran.session.plan] == ["good.ipynb", "sub/other.ipynb"]
    assert not (project.root / "sub/.nbci").exists()


def test_nbci_without_a_table_follows_a_linked_folder_to_its_repository(two_notebooks: Project):
    project = two_notebooks
    project.write("pyproject.toml", PLAIN_TABLE)
    project.notebook("deep/er/est/here.ipynb", "print('here')")
    project.commit()
    (project.root / "short").symlink_to("deep/er/est")

    ran = project.pytest("--nbci", "--collect-only", "-q", "short")

    assert "not in a git repository" not in ran.err
    assert ran.code in (0, 5)


def test_a_table_in_a_subfolder_names_notebooks_from_there(two_notebooks: Project):
    project = two_notebooks
    project.write("pyproject.toml", PLAIN_TABLE)
    project.write("examples/pyproject.toml", "[tool.nbci]\n")
    project.notebook("examples/deep/inner.ipynb", "import os; print(os.getcwd())")
    project.commit()

    ran = project.pytest("--nbci", "--nbci-mlflow", "off", "examples")

    assert ran.outcomes == {"passed": 1}
    assert not (project.root / ".nbci").exists()
    inner = dataclasses.replace(ran, root=project.root / "examples")
    assert [planned.notebook for planned in inner.session.plan] == ["deep/inner.ipynb"]
    assert inner.record("deep/inner.ipynb").notebook == "deep/inner.ipynb"
    cwd = inner.text_of("deep/inner.ipynb").strip()
    assert cwd.endswith("/examples/deep")
    assert not cwd.startswith(str(project.root))


def test_the_table_is_found_upward_from_the_current_folder(two_notebooks: Project):
    project = two_notebooks
    project.write("tests/unit/test_here.py", "def test_here(): pass\n")
    project.commit()

    ran = project.pytest("--collect-only", "-q", cwd=project.root / "tests/unit")

    assert ran.code == 0
    collected = [line for line in ran.out.splitlines() if "::" in line]
    assert sorted(line.rpartition("::")[2] for line in collected) == ["good", "other", "test_here"]


@pytest.mark.parametrize("arguments", [(), ("--nbci",), ("-n", "2"), ("good.ipynb",)])
def test_collect_only_writes_nothing(
    two_notebooks: Project, tmp_path: Path, arguments: tuple[str, ...]
):
    temporary = tmp_path / "t"
    temporary.mkdir()
    before = everything_below(two_notebooks.root)
    files = two_notebooks.state()

    ran = two_notebooks.pytest(
        "--collect-only",
        "-p",
        "no:cacheprovider",
        *arguments,
        TMPDIR=str(temporary),
        **WRITES_NOTHING,
    )

    assert ran.code == 0
    assert everything_below(two_notebooks.root) == before
    assert two_notebooks.state() == files
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("argument", ["--fixtures", "--markers"])
def test_asking_pytest_what_it_knows_writes_nothing(two_notebooks: Project, argument: str):
    before = everything_below(two_notebooks.root)

    ran = two_notebooks.pytest(argument, "-p", "no:cacheprovider", **WRITES_NOTHING)

    assert ran.code == 0
    assert everything_below(two_notebooks.root) == before
