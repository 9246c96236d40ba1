"""Which notebooks are collected, by which names, and that pytest's own switches reach them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.project import Project, Ran, notebook_json

TESTS_ONLY = """
[tool.pytest.ini_options]
testpaths = ["tests"]

[tool.nbci]
exclude = ["**/draft_*.ipynb"]
"""
EVERY_NOTEBOOK = {
    ".hidden/notes.ipynb::notes",
    "a/train.ipynb::train",
    "b/train.ipynb::train",
    "build/report.ipynb::report",
    "tests/inner.ipynb::inner",
}


def collected(ran: Ran) -> set[str]:
    assert ran.code in (0, 5), ran.out + ran.err
    found = [line for line in ran.out.splitlines() if "::" in line]
    assert len(found) == len(set(found))
    return set(found)


def say(name: str) -> str:
    return f"print({name!r})"


@pytest.fixture(scope="module")
def scattered(shared_project: Project) -> Project:
    """Notebooks where pytest would not look, and Python tests that it must not find there."""
    project = shared_project
    project.write("pyproject.toml", TESTS_ONLY)
    project.write("tests/test_plain.py", "def test_plain(): pass\n")
    for folder in ("other", "build", ".hidden", "a"):
        project.write(f"{folder}/test_in_{folder.strip('.')}.py", "def test_foreign(): pass\n")
    project.write("test_top.py", "def test_foreign(): pass\n")
    for nodeid in EVERY_NOTEBOOK:
        project.notebook(nodeid.split("::")[0], say(nodeid))
    project.notebook("a/draft_idea.ipynb", "1 / 0")
    project.notebook("a/.ipynb_checkpoints/train-checkpoint.ipynb", "1 / 0")
    project.notebook("gone.ipynb", "1 / 0")
    project.commit()
    (project.root / "gone.ipynb").unlink()
    project.notebook("new/untracked.ipynb", "1 / 0")
    return project


def test_notebooks_are_collected_everywhere_and_python_tests_where_pytest_looks(
    scattered: Project,
):
    ran = scattered.pytest("--collect-only", "-q")

    assert collected(ran) == EVERY_NOTEBOOK | {"tests/test_plain.py::test_plain"}


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        (["--ignore=build"], EVERY_NOTEBOOK - {"build/report.ipynb::report"}),
        (["--ignore=a/train.ipynb"], EVERY_NOTEBOOK - {"a/train.ipynb::train"}),
        (
            ["--ignore-glob=*/train.ipynb"],
            EVERY_NOTEBOOK - {"a/train.ipynb::train", "b/train.ipynb::train"},
        ),
        (["--ignore-glob=.hid*"], EVERY_NOTEBOOK - {".hidden/notes.ipynb::notes"}),
        (["--deselect=b/train.ipynb::train"], EVERY_NOTEBOOK - {"b/train.ipynb::train"}),
        (["--deselect=b/"], EVERY_NOTEBOOK - {"b/train.ipynb::train"}),
        (
            ["-k", "train or notes"],
            {name for name in EVERY_NOTEBOOK if name[0] in ".ab" and "report" not in name},
        ),
        (["-m", "nosuch"], set()),
    ],
)
def test_pytests_own_switches_leave_notebooks_out(
    scattered: Project, arguments: Sequence[str], left: set[str]
):
    ran = scattered.pytest("--collect-only", "-q", *arguments)

    assert {name for name in collected(ran) if ".ipynb" in name} == left


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["a"], {"a/train.ipynb::train", "a/test_in_a.py::test_foreign"}),
        (["a/train.ipynb"], {"a/train.ipynb::train"}),
        (["a/train.ipynb::train"], {"a/train.ipynb::train"}),
        (["tests"], {"tests/inner.ipynb::inner", "tests/test_plain.py::test_plain"}),
        (["build"], {"build/report.ipynb::report", "build/test_in_build.py::test_foreign"}),
        (["b", "build/report.ipynb"], {"b/train.ipynb::train", "build/report.ipynb::report"}),
        (["a/draft_idea.ipynb"], {"a/draft_idea.ipynb::draft_idea"}),
        (["new/untracked.ipynb"], {"new/untracked.ipynb::untracked"}),
        (["new"], set()),
        (["tests/test_plain.py"], {"tests/test_plain.py::test_plain"}),
    ],
)
def test_path_arguments_limit_what_is_collected(
    scattered: Project, arguments: Sequence[str], found: set[str]
):
    ran = scattered.pytest("--collect-only", "-q", *arguments)

    assert collected(ran) == found


def test_the_top_folder_as_argument_collects_as_pytest_would_and_all_notebooks(
    scattered: Project,
):
    ran = scattered.pytest("--collect-only", "-q", ".")

    assert collected(ran) == EVERY_NOTEBOOK | {
        "tests/test_plain.py::test_plain",
        "a/test_in_a.py::test_foreign",
        "other/test_in_other.py::test_foreign",
        "test_top.py::test_foreign",
    }


def test_paths_from_a_subfolder_mean_what_they_mean_for_any_test(scattered: Project):
    ran = scattered.pytest("--collect-only", "-q", "../b/train.ipynb", cwd=scattered.root / "a")

    assert {line.rpartition("b/")[2] for line in collected(ran)} == {"train.ipynb::train"}


def test_a_foreign_tests_conftest_or_doctest_is_not_collected_for_our_sake(scattered: Project):
    ran = scattered.pytest("--collect-only", "-q", "--doctest-modules", "--doctest-glob=*.toml")

    assert {name for name in collected(ran) if ".ipynb" not in name} == {
        "tests/test_plain.py::test_plain"
    }


def test_collect_ignore_in_a_conftest_leaves_notebooks_and_folders_out(project: Project):
    project.write("conftest.py", 'collect_ignore = ["build", "b/train.ipynb"]\n')
    project.write("c/conftest.py", 'collect_ignore_glob = ["x*.ipynb"]\n')
    for name in ("build/report", "a/train", "b/train", "c/x1", "c/y1"):
        project.notebook(f"{name}.ipynb", "pass")
    project.commit()

    ran = project.pytest("--collect-only", "-q")

    assert collected(ran) == {"a/train.ipynb::train", "c/y1.ipynb::y1"}


def test_untracked_notebooks_are_counted_and_one_named_as_argument_runs(project: Project):
    project.notebook("kept.ipynb", "pass")
    project.write(".gitignore", "ignored.ipynb\n")
    project.commit()
    project.notebook("new one.ipynb", "import os; print(sorted(os.listdir()))")
    project.notebook("sub/newer.ipynb", "1 / 0")
    project.notebook("ignored.ipynb", "1 / 0")

    every = project.pytest()
    named = project.pytest("new one.ipynb")

    assert every.outcomes == {"passed": 1}
    assert (
        "2 notebooks are not in git and did not run: new one.ipynb, sub/newer.ipynb (git add)"
        in every.out
    )
    assert named.code == 0
    assert named.outcomes == {"passed": 1}
    assert named.record("new one.ipynb").outcome == "passed"
    assert "1 notebook is not in git and did not run: sub/newer.ipynb (git add)" in named.out
    # It runs in the checkout, which holds what git knows.
    assert (
        named.text_of("new one.ipynb") == "['.git', '.gitignore', 'kept.ipynb', 'pyproject.toml']\n"
    )


MARKS = """
[tool.pytest.ini_options]
markers = ["slow: takes long", "gpu: needs one"]

[tool.nbci]
[[tool.nbci.notebook]]
path = "slow/**"
marks = ["slow"]
"""


@pytest.fixture(scope="module")
def mixed(shared_project: Project) -> Project:
    project = Project.create(shared_project.root.parent / "mixed")
    project.write("pyproject.toml", MARKS)
    project.notebook("one.ipynb", "print('one')")
    project.notebook("bad.ipynb", "1 / 0")
    project.notebook("slow/two.ipynb", "print('two')", metadata={"nbci": {"marks": ["gpu"]}})
    project.write("test_python.py", "def test_good(): pass\n\ndef test_bad(): assert False\n")
    project.commit()
    return project


def test_notebooks_and_python_tests_run_in_one_session_and_lf_ff_x_work(mixed: Project):
    first = mixed.pytest("-v")

    assert first.code == 1
    assert first.outcomes == {"passed": 3, "failed": 2}
    assert "bad.ipynb::bad FAILED" in first.out
    assert "slow/two.ipynb::two PASSED" in first.out

    last_failed = mixed.pytest("-v", "--lf")

    assert last_failed.outcomes["failed"] == 2
    assert "passed" not in last_failed.outcomes
    plan = {planned.notebook: planned.due for planned in last_failed.session.plan}
    assert plan == {"bad.ipynb": True, "one.ipynb": False, "slow/two.ipynb": False}

    failed_first = mixed.pytest("-v", "--ff", "-x")

    assert failed_first.outcomes == {"failed": 1}
    assert failed_first.session.complete
    assert [result.notebook for result in failed_first.session.results] == ["bad.ipynb"]


def test_marks_from_the_settings_select_and_the_notebooks_own_replace_the_rules(mixed: Project):
    mixed.notebook("slow/three.ipynb", "print('three')")
    mixed.git("add", "slow/three.ipynb")

    assert collected(mixed.pytest("--collect-only", "-q", "-m", "slow")) == {
        "slow/three.ipynb::three"
    }
    assert collected(mixed.pytest("--collect-only", "-q", "-m", "gpu")) == {"slow/two.ipynb::two"}


ODD_NAMES = (
    "with space/two words.ipynb",
    "brackets [x]/v[1].ipynb",
    "日本/グラフ.ipynb",
    "a/train.ipynb",
    "b/train.ipynb",
    "quote'$HOME `x` {y} %s.ipynb",
    "line\nbreak.ipynb",
    "a::b.ipynb",
    "-k.ipynb",
    "UPPER.train.v2.ipynb",
)


def test_odd_names_run_and_are_recorded_under_their_names(project: Project):
    for name in ODD_NAMES:
        project.notebook(name, "pass")
    raw = os.fsencode(project.root) + b"/latin-\xe9.ipynb"
    Path(os.fsdecode(raw)).write_text(json.dumps(notebook_json(["1 / 0"])))
    project.commit()

    ran = project.pytest()

    assert ran.code == 1, ran.out
    assert ran.outcomes == {"passed": len(ODD_NAMES), "failed": 1}
    for name in ODD_NAMES:
        record = ran.record(name)
        assert (record.notebook, record.outcome) == (name, "passed")
    assert ran.record("latin-\\xe9.ipynb").cause == "cell_error"
    planned = [planned.notebook for planned in ran.session.plan]
    assert sorted(planned) == sorted([*ODD_NAMES, "latin-\\xe9.ipynb"])
    assert all(entry.due for entry in ran.session.plan)

    again = project.pytest("--lf")

    assert again.outcomes["failed"] == 1
    assert "passed" not in again.outcomes


def test_names_with_brackets_are_found_by_k_and_by_lf(project: Project):
    project.notebook("v[1].ipynb", "1 / 0")
    project.notebook("good.ipynb", "pass")
    project.commit()

    ran = project.pytest("-k", "v and 1")
    again = project.pytest("--lf")

    assert ran.outcomes == {"failed": 1, "deselected": 1}
    assert "reproduce: pytest -k" in ran.out
    assert again.outcomes["failed"] == 1
    reproduce = ran.record("v[1].ipynb").reproduce
    third = project.run(
        "sh", "-c", reproduce.replace("pytest", "$PY -m pytest", 1), PY=sys.executable
    )
    assert third.outcomes["failed"] == 1


def test_an_untracked_notebook_in_a_new_folder_runs_when_named(project: Project):
    project.write("data.txt", "data")
    project.commit()
    project.notebook("new/folder/first.ipynb", "print(open('../../data.txt').read())")

    ran = project.pytest("new/folder/first.ipynb")

    assert ran.outcomes == {"passed": 1}, ran.out
    assert ran.text_of("new/folder/first.ipynb") == "data\n"


def test_setup_plan_runs_nothing_and_records_nothing(project: Project):
    project.notebook("good.ipynb", "pass")
    project.commit()

    ran = project.pytest("--setup-plan")

    assert ran.code == 0
    assert "SETUP    F nbci_run" in ran.out
    assert not list(project.root.glob(".nbci/results/**/*.ipynb*"))


def test_a_repository_in_a_folder_that_norecursedirs_names_is_collected(tmp_path: Path):
    project = Project.create(tmp_path / "build")
    project.notebook("good.ipynb", "pass")
    project.notebook("node_modules/x/inner.ipynb", "pass")
    project.write("test_python.py", "def test_python(): pass\n")
    project.write("node_modules/x/test_inner.py", "def test_inner(): pass\n")
    project.commit()

    assert collected(project.pytest("--collect-only", "-q")) == {
        "good.ipynb::good",
        "node_modules/x/inner.ipynb::inner",
        "test_python.py::test_python",
    }


def test_a_symlink_to_the_repository_as_current_folder_or_argument_works(project: Project):
    project.notebook("sub/train.ipynb", "pass")
    project.commit()
    link = project.root.parent / "link"
    link.symlink_to(project.root)

    inside = project.pytest(cwd=link, PWD=str(link))
    argument = project.pytest(str(link / "sub"), cwd=project.root.parent)

    assert inside.outcomes == {"passed": 1}
    assert argument.outcomes == {"passed": 1}
    assert [planned.notebook for planned in argument.session.plan] == ["sub/train.ipynb"]


def test_fixtures_of_a_conftest_two_folders_deep_reach_the_notebook(project: Project):
    project.write(
        "a/conftest.py",
        "import pytest\n\n"
        "@pytest.fixture(autouse=True)\n"
        "def greeting(monkeypatch):\n"
        "    monkeypatch.setenv('GREETING', 'from a')\n\n"
        "@pytest.fixture\n"
        "def nothing_special(tmp_path):\n"
        "    return tmp_path\n",
    )
    project.write(
        "a/b/conftest.py",
        "import pytest\n\n"
        "@pytest.fixture(autouse=True)\n"
        "def greeting(monkeypatch, greeting, nothing_special):\n"
        "    monkeypatch.setenv('DEEPER', str(nothing_special.is_dir()))\n\n"
        "@pytest.fixture(autouse=True, scope='module')\n"
        "def per_module(request):\n"
        "    print('module of', request.module.__name__)\n"
        "    yield\n\n"
        "@pytest.fixture(autouse=True, scope='class')\n"
        "def per_class(): yield\n",
    )
    cell = "import os; print(os.environ.get('GREETING'), os.environ.get('DEEPER'))"
    project.notebook("top.ipynb", cell)
    project.notebook("a/one.ipynb", cell)
    project.notebook("a/b/two.ipynb", cell)
    project.commit()

    ran = project.pytest()

    assert ran.outcomes == {"passed": 3}
    assert ran.text_of("top.ipynb") == "None None\n"
    assert ran.text_of("a/one.ipynb") == "from a None\n"
    assert ran.text_of("a/b/two.ipynb") == "from a True\n"


def test_a_skipped_notebook_says_its_reason_and_an_excluded_one_nothing(project: Project):
    project.table(
        'exclude = ["drafts/"]\n[[tool.nbci.notebook]]\npath = "old*.ipynb"\nskip = "needs Oracle"\n'
    )
    project.notebook("old_report.ipynb", "1 / 0")
    project.notebook("drafts/idea.ipynb", "1 / 0")
    project.write(
        "conftest.py",
        "import pytest\n\ndef pytest_runtest_setup(item):\n    if item.name == 'by_hook': pytest.skip('not today')\n",
    )
    project.notebook("by_hook.ipynb", "1 / 0")
    project.commit()

    ran = project.pytest("-rs")

    assert ran.code == 0
    assert ran.outcomes == {"skipped": 2}
    assert "needs Oracle" in ran.out
    record = ran.record("old_report.ipynb")
    assert (record.outcome, record.cause, record.skip_reason) == ("skipped", None, "needs Oracle")
    assert ran.record("by_hook.ipynb").skip_reason == "not today"
    assert not (ran.session_folder / "old_report.ipynb").exists()
    assert [planned.notebook for planned in ran.session.plan] == [
        "by_hook.ipynb",
        "old_report.ipynb",
    ]


NEEDS = """
[[tool.nbci.notebook]]
path = "a_model.ipynb"
needs = ["z_data.ipynb", "y_clean.ipynb"]
[[tool.nbci.notebook]]
path = "y_clean.ipynb"
needs = ["z_data.ipynb"]
"""
COUNT = "import os\nwith open(os.environ['COUNT'], 'a') as f: f.write('{0} ')\n"


@pytest.fixture
def chained(project: Project) -> Project:
    project.table(NEEDS)
    project.notebook("z_data.ipynb", COUNT.format("data") + "open('data.txt', 'w').write('raw')")
    project.notebook(
        "y_clean.ipynb",
        COUNT.format("clean") + "open('clean.txt', 'w').write(open('data.txt').read() + '+clean')",
    )
    project.notebook("a_model.ipynb", COUNT.format("model") + "print(open('clean.txt').read())")
    project.notebook("b_alone.ipynb", COUNT.format("alone") + "import os; print(os.listdir())")
    project.commit()
    return project


def test_needed_notebooks_run_before_once_each_and_their_files_are_there(
    chained: Project, tmp_path: Path
):
    count = tmp_path / "count"

    ran = chained.pytest(COUNT=str(count))

    assert ran.outcomes == {"passed": 4}
    assert ran.text_of("a_model.ipynb") == "raw+clean\n"
    assert "clean.txt" not in ran.text_of("b_alone.ipynb")
    assert sorted(count.read_text().split()) == ["alone", "clean", "data", "model"]


def test_a_notebook_alone_brings_what_it_needs_and_only_its_own_record(
    chained: Project, tmp_path: Path
):
    count = tmp_path / "count"

    ran = chained.pytest("-k", "model", COUNT=str(count))

    assert ran.outcomes == {"passed": 1, "deselected": 3}
    assert count.read_text().split() == ["data", "clean", "model"]
    assert [result.notebook for result in ran.session.results] == ["a_model.ipynb"]
    assert not (ran.session_folder / "z_data.ipynb.json").exists()


def test_a_needed_notebook_that_fails_a_cycle_and_a_missing_one_are_said(project: Project):
    project.table(
        '[[tool.nbci.notebook]]\npath = "user.ipynb"\nneeds = ["broken.ipynb"]\n'
        '[[tool.nbci.notebook]]\npath = "egg.ipynb"\nneeds = ["hen.ipynb"]\n'
        '[[tool.nbci.notebook]]\npath = "hen.ipynb"\nneeds = ["egg.ipynb"]\n'
        '[[tool.nbci.notebook]]\npath = "lost.ipynb"\nneeds = ["nowhere.ipynb"]\n'
        '[[tool.nbci.notebook]]\npath = "own.ipynb"\nneeds = ["own.ipynb"]\n'
    )
    for name in ("user", "egg", "hen", "lost", "own"):
        project.notebook(f"{name}.ipynb", "print('never')")
    project.notebook("broken.ipynb", "1 / 0")
    project.notebook("fine.ipynb", "pass")
    project.commit()

    ran = project.pytest()

    assert ran.code == 1
    assert ran.outcomes == {"passed": 1, "failed": 1, "error": 5}
    said = {name: ran.record(f"{name}.ipynb") for name in ("user", "egg", "hen", "lost", "own")}
    assert {record.outcome for record in said.values()} == {"error"}
    assert "broken.ipynb, which this notebook needs, failed" in said["user"].message
    assert "egg.ipynb → hen.ipynb → egg.ipynb" in said["egg"].message
    assert "hen.ipynb → egg.ipynb → hen.ipynb" in said["hen"].message
    assert "lost.ipynb needs nowhere.ipynb, which does not exist" in said["lost"].message
    assert "own.ipynb → own.ipynb" in said["own"].message


def test_a_git_worktree_is_a_repository_like_any_other(project: Project):
    project.notebook(
        "train.ipynb",
        "import subprocess\nprint(subprocess.run(['git', 'log', '--format=%s'], capture_output=True, text=True).stdout)",
    )
    project.commit("The first one")
    project.git("worktree", "add", "-q", "../tree", "-b", "side")
    tree = Project(project.root.parent / "tree")
    tree.write("more.txt", "x")
    tree.commit("On the side")

    ran = tree.pytest()

    assert ran.outcomes == {"passed": 1}
    assert ran.text_of("train.ipynb").split("\n")[:2] == ["On the side", "The first one"]
    record = ran.record("train.ipynb")
    assert record.commit is not None
    assert (record.commit.branch, record.commit.message) == ("side", "On the side\n")


def test_a_module_in_a_submodule_can_be_imported(project: Project):
    inner = Project(project.root.parent / "library")
    inner.root.mkdir()
    inner.git("init", "-q", "-b", "main")
    for setting in (("user.name", "B"), ("user.email", "b@example.org")):
        inner.git("config", *setting)
    inner.write("helper.py", "def twice(x): return 2 * x\n")
    inner.notebook("inner.ipynb", "1 / 0")
    inner.commit()
    project.git(
        "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner.root), "lib"
    )
    project.notebook(
        "use.ipynb", "import sys; sys.path.insert(0, 'lib')\nimport helper\nprint(helper.twice(21))"
    )
    project.commit()
    project.write("lib/helper.py", "def twice(x): return x + x\n")

    ran = project.pytest()

    assert ran.outcomes == {"passed": 1}, ran.out
    assert ran.text_of("use.ipynb") == "42\n"


def test_a_repository_without_any_commit_runs_what_is_staged(project: Project):
    project.notebook("first.ipynb", "print('first')")
    project.git("add", "-A")

    ran = project.pytest()

    assert ran.outcomes == {"passed": 1}, ran.out + ran.err
    record = ran.record("first.ipynb")
    assert (record.commit, record.tested_commit, record.outcome) == (None, None, "passed")
    assert "-00000000-" in record.session


def test_an_empty_repository_is_no_error(project: Project):
    ran = project.pytest()

    assert ran.code == 5
    assert not ran.err


def test_a_thousand_notebooks_are_collected(project: Project):
    text = json.dumps(notebook_json(["pass"]))
    for number in range(1000):
        project.write(f"folder{number % 50}/notebook{number}.ipynb", text)
    project.git("add", "-A")

    ran = project.pytest("--collect-only", "-q")

    assert ran.code == 0
    assert len(collected(ran)) == 1000


@pytest.mark.parametrize("arguments", [(), ("-k", "a"), ("-n", "1")], ids=["all", "k", "xdist"])
def test_what_a_conftest_writes_while_pytest_starts_is_tested(
    project: Project, arguments: tuple[str, ...]
):
    project.write("made.txt", "old")
    project.write(
        "conftest.py",
        "import pathlib\n"
        "def pytest_sessionstart():\n"
        "    pathlib.Path(__file__).with_name('made.txt').write_text('new')\n",
    )
    project.notebook("a.ipynb", "print(open('made.txt').read())")
    project.commit()
    ran = project.pytest(*arguments)
    assert ran.outcomes["passed"] == 1, ran.out
    assert ran.text_of("a.ipynb") == "new\n"
