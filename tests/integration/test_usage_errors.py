"""What cannot be done is said in one sentence, with exit code 4, before anything is written."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.project import Project, Ran

QUIET = {"PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture
def one_notebook(project: Project) -> Project:
    project.notebook("train.ipynb", "print(1)")
    project.commit()
    return project


def refused(project: Project, *arguments: str, cwd: Path | None = None, **env: str) -> str:
    """The one sentence of a run that must not have begun."""
    before = project.state()
    ran = project.pytest("-p", "no:cacheprovider", *arguments, cwd=cwd, **QUIET, **env)
    assert ran.code == 4, ran.out + ran.err
    assert project.state() == before
    assert not list(project.root.rglob(".nbci"))
    return the_sentence(ran)


def the_sentence(ran: Ran) -> str:
    lines = [line for line in ran.err.splitlines() if line.strip()]
    assert len(lines) == 1, ran.err
    assert "Traceback" not in ran.out + ran.err
    return lines[0].removeprefix("ERROR: ")


TABLES: dict[str, tuple[str, Sequence[str]]] = {
    "unknown key": ("timeoutt = 5", ["'timeoutt'", "[tool.nbci] in", "Did you mean 'timeout'?"]),
    "far key": ("zzz = 5", ["'zzz'", "Known:", "timeout"]),
    "wrong type": ('timeout = "long"', ["timeout = 'long'", "a number of seconds above 0"]),
    "not positive": ("timeout = 0", ["timeout = 0", "a number of seconds above 0"]),
    "truth as number": ("cell_timeout = true", ["cell_timeout = True", "a number of seconds"]),
    "list expected": ('exclude = "a"', ["exclude = 'a'", "a list of strings"]),
    "rule key": (
        '[[tool.nbci.notebook]]\npath = "*.ipynb"\ncel_timeout = 1',
        ["'cel_timeout'", "'*.ipynb'", "Did you mean 'cell_timeout'?"],
    ),
    "rule without path": ("[[tool.nbci.notebook]]\ntimeout = 1", ["has no path"]),
    "rule with session key": (
        '[[tool.nbci.notebook]]\npath = "*"\nstore = "s3://b/p"',
        ["'store'", "is not a setting"],
    ),
    "one bracket": ('[tool.nbci.notebook]\npath = "*"', ["array of tables"]),
    "profile key": ('[tool.nbci.data.test]\nfile = {a = "b"}', ["'file'", "'files'"]),
    "profile type": ("[tool.nbci.data.test]\nroot = 1", ["root = 1", "a string"]),
    "date as parameter": ("parameters = {day = 2024-01-31}", ["datetime.date", "as a string"]),
    "profile no table": ('[tool.nbci.data]\ntest = "x"', ["test"]),
    "data no table": ("data = 5", ["data", "5"]),
    "broken TOML": ("timeout = = 5", ["pyproject.toml"]),
    "unknown profile": ('profile = "fll"', ["'fll'", "profile in [tool.nbci]", "known: test"]),
    "store no URL": ('store = "/mnt/x"', ["'/mnt/x'", "store in [tool.nbci]", "s3://"]),
    "mlflow no scheme": ('mlflow = "host:5000"', ["'host:5000'", "mlflow in [tool.nbci]"]),
    "project up": ('project = "../x"', ["'../x'", "project in [tool.nbci]"]),
}


@pytest.mark.parametrize("case", TABLES)
def test_a_table_that_cannot_be_worked_with_is_refused(one_notebook: Project, case: str):
    text, words = TABLES[case]
    one_notebook.table(text)

    sentence = refused(one_notebook)

    for word in words:
        assert word in sentence
    assert str(one_notebook.root) in sentence


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--nbci-profile", "full"), ["'full'", "--nbci-profile", "known: small, test"]),
        (("--nbci-store", "http://h/b"), ["'http://h/b'", "--nbci-store", "s3://"]),
        (("--nbci-store", "s3://"), ["'s3://'", "--nbci-store"]),
        (("--nbci-mlflow", "nowhere"), ["'nowhere'", "--nbci-mlflow"]),
        (("-n", "2", "--nbci-profile", "full"), ["'full'", "--nbci-profile"]),
    ],
)
def test_a_flag_that_cannot_be_worked_with_is_refused(
    one_notebook: Project, arguments: tuple[str, ...], words: list[str]
):
    one_notebook.table("[tool.nbci.data.small]")

    sentence = refused(one_notebook, *arguments)

    for word in words:
        assert word in sentence


@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan", "inf"])
def test_a_timeout_that_is_no_time_is_refused(one_notebook: Project, value: str):
    ran = one_notebook.pytest(f"--nbci-timeout={value}")

    assert ran.code == 4
    said = [line for line in ran.err.splitlines() if "error:" in line]
    assert len(said) == 1
    assert "--nbci-timeout" in said[0]
    assert f"'{value}' is not a number of seconds above 0" in said[0]
    assert "Traceback" not in ran.err
    assert not (one_notebook.root / ".nbci").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NBCI_STORE", "bucket/prefix"),
        ("NBCI_PROFILE", "huge"),
        ("MLFLOW_TRACKING_URI", "nowhere"),
        ("CI_PROJECT_PATH", "a//b"),
    ],
)
def test_a_variable_that_cannot_be_worked_with_is_refused(
    one_notebook: Project, name: str, value: str
):
    sentence = refused(one_notebook, **{name: value})

    assert f"'{value}'" in sentence
    assert name in sentence


def test_an_empty_variable_counts_as_not_set(one_notebook: Project):
    ran = one_notebook.pytest("--collect-only", "-q", NBCI_STORE="", NBCI_PROFILE="")

    assert ran.code == 0


def test_a_folder_without_git_is_refused(tmp_path: Path):
    project = Project(tmp_path / "plain")
    project.table("")
    project.notebook("train.ipynb", "print(1)")

    sentence = refused(project)

    assert sentence.startswith(f"{project.root} is not in a git repository.")
    assert "git init" in sentence


def test_a_bare_repository_is_refused(tmp_path: Path):
    bare = tmp_path / "bare.git"
    subprocess.run(["git", "init", "-q", "--bare", str(bare)], check=True)

    sentence = refused(Project(bare), "--nbci")

    assert str(bare) in sentence


def test_broken_toml_in_a_parent_folder_is_refused(one_notebook: Project):
    one_notebook.table("timeout = = 5")
    (one_notebook.root / "sub").mkdir()

    assert "pyproject.toml" in refused(one_notebook, cwd=one_notebook.root / "sub")


def test_an_unmerged_index_is_refused(one_notebook: Project):
    project = one_notebook
    project.write("notes with space.txt", "one\n")
    project.commit()
    project.git("checkout", "-q", "-b", "other")
    project.write("notes with space.txt", "two\n")
    project.commit()
    project.git("checkout", "-q", "main")
    project.write("notes with space.txt", "three\n")
    project.commit()
    with pytest.raises(subprocess.CalledProcessError):
        project.git("merge", "other")

    sentence = refused(project)

    assert "unmerged" in sentence
    assert "notes with space.txt" in sentence
    assert "git add" in sentence
    assert refused(project, "-n", "1") == sentence


def test_a_wrong_key_in_one_notebook_fails_that_notebook_only(project: Project):
    project.notebook("good.ipynb", "print(1)")
    project.notebook("key.ipynb", "print(1)", metadata={"nbci": {"timeoutt": 3}})
    project.notebook("kind.ipynb", "print(1)", metadata={"nbci": {"timeout": "3"}})
    project.notebook("shape.ipynb", "print(1)", metadata={"nbci": [1]})
    project.commit()

    ran = project.pytest()

    assert ran.code == 1
    assert ran.outcomes == {"passed": 1, "failed": 3}
    record = ran.record("key.ipynb")
    assert (record.outcome, record.cause) == ("failed", "bad_notebook")
    assert "'timeoutt' in the metadata of key.ipynb" in record.message
    assert record.cure == "Did you mean 'timeout'?"
    assert "timeout = '3' in the metadata of kind.ipynb" in ran.record("kind.ipynb").message
    assert "nbci in the metadata of shape.ipynb is [1]" in ran.record("shape.ipynb").message
    assert "Traceback" not in ran.out


def test_marks_that_pytest_refuses_fail_that_notebook_only(project: Project):
    project.write("pytest.ini", "[pytest]\naddopts = --strict-markers\n")
    project.notebook("good.ipynb", "print(1)")
    project.notebook("marked.ipynb", "print(1)", metadata={"nbci": {"marks": ["slw"]}})
    project.notebook("odd.ipynb", "print(1)", metadata={"nbci": {"marks": ["_odd"]}})
    project.commit()

    ran = project.pytest()

    assert ran.code == 1
    assert ran.outcomes == {"passed": 1, "failed": 2}
    record = ran.record("marked.ipynb")
    assert (record.outcome, record.cause) == ("failed", "bad_notebook")
    assert "'slw'" in record.message
