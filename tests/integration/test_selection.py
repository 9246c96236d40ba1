"""``--nbci-changed``: what passed with the same inputs does not run, and everybody is told why."""

from __future__ import annotations

import json
import shutil
import sys
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.project import Project, Ran, notebook_json

if TYPE_CHECKING:
    from tests.servers import Minio

LISTS = "import glob\nprint(sum(len(open(path).read()) for path in glob.glob('../parts/*.csv')))"


def due(ran: Ran) -> set[str]:
    return {planned.notebook for planned in ran.session.plan if planned.due}


def nbci(project: Project, *arguments: str, **env: str) -> Ran:
    return project.run(sys.executable, "-m", "pytest_nbci.cli", *arguments, **env)


@pytest.fixture
def three(project: Project) -> Project:
    """A notebook that imports and reads, one that lists, and one that needs the first."""
    project.notebook(
        "nb/a.ipynb",
        "import sys; sys.path.append('../src')\nfrom pkg.mod import x",
        "name = 'x' + '.csv'\nprint(open('../data/' + name).read(), open('a.txt', 'w').write('1'))",
    )
    project.notebook("nb/b.ipynb", LISTS)
    needs = {"nbci": {"needs": ["nb/a.ipynb"]}}
    project.notebook("nb/c.ipynb", "print(open('a.txt').read())", metadata=needs)
    project.write("src/pkg/__init__.py", "")
    project.write("src/pkg/mod.py", "x = 1\n")
    project.write("data/x.csv", "1")
    project.write("parts/1.csv", "1")
    project.commit()
    return project


def test_only_what_a_change_can_have_broken_runs_and_the_rest_is_reused(three: Project):
    junit = three.root.parent / "junit.xml"
    first = three.pytest("-n", "2", "--nbci-changed")
    assert first.outcomes == {"passed": 3}
    session = first.session.session
    record = first.record("nb/a.ipynb")
    inputs = {item["path"]: item for item in record.inputs}
    assert set(inputs) == {"data/x.csv", "src/pkg/__init__.py", "src/pkg/mod.py"}
    assert inputs["data/x.csv"]["origin"] == "git"
    assert inputs["data/x.csv"]["bytes"] == 1
    assert len(inputs["data/x.csv"]["sha256"]) == 64
    assert record.due == "it has no result yet"
    assert first.record("nb/b.ipynb").listed == ("parts",)
    assert "data/x.csv" in {item["path"] for item in first.record("nb/c.ipynb").inputs}

    again = three.pytest("--nbci-changed")
    assert again.code == 0
    assert "0 of 3 notebooks due; 3 passed before with the same inputs" in again.out
    assert due(again) == set()
    assert again.session.complete
    assert {one.reused_from for one in again.session.plan} == {session}

    three.write("data/x.csv", "2")
    three.notebook("nb/d.ipynb", "1")
    three.commit()
    third = three.pytest("--nbci-changed", f"--junit-xml={junit}")
    assert due(third) == {"nb/a.ipynb", "nb/c.ipynb", "nb/d.ipynb"}
    assert "3 of 4 notebooks due; 1 passed before with the same inputs" in third.out
    assert "nb/a.ipynb ← data/x.csv changed" in third.out
    assert third.record("nb/a.ipynb").due == "nb/a.ipynb ← data/x.csv changed"
    assert junit.read_text().count("<testcase") == 3

    runs = nbci(three, "runs", "b")
    assert [line.split()[2] for line in runs.out.splitlines()] == ["reused", "reused", "passed"]


def test_why_says_what_is_due_and_names_the_page_of_what_is_not(three: Project):
    """What passed with a longer timeout on the command line passed."""
    three.pytest("--nbci-changed", "--nbci-timeout=300")
    three.write("src/pkg/mod.py", "from pkg.below import x\n")
    three.write("src/pkg/below.py", "x = 1\n")
    three.git("add", "-A")

    everything = nbci(three, "why")
    one = nbci(three, "why", "nb/b.ipynb")
    unknown = nbci(three, "why", "nb/zzz.ipynb")
    nameless = nbci(three, "why", "")

    assert everything.code == 0
    assert "due  nb/a.ipynb ← src/pkg/mod.py changed" in everything.out
    assert "2 of 3 notebooks due; 1 passed before with the same inputs" in everything.out
    assert "nb/b.ipynb: passed with the same inputs on 2" in one.out
    page = one.out.split("page: ")[1].strip()
    assert (three.root / page).is_file()
    assert unknown.code == 4
    assert unknown.err.count("\n") == 1
    assert "'nb/zzz.ipynb'" in unknown.err
    assert "No notebook of " in nameless.err
    assert " matches ''." in nameless.err


def test_a_session_that_means_only_what_is_left_out_is_a_success_and_speaks_of_nothing_else(
    project: Project,
):
    project.notebook("nb/first.ipynb", "1", metadata={"nbci": {"marks": ["slow"]}})
    project.notebook("nb/other.ipynb", "1")
    project.write("tests/test_plain.py", "def test_plain(): pass")
    project.commit()
    project.pytest("--nbci-changed", "-k", "first")

    codes = {
        arguments: project.pytest("--nbci-changed", "--collect-only", *arguments).code
        for arguments in (
            ("-k", "First and not other"),
            ("-m", "slow"),
            ("-k", "nobody"),
            ("-m", "slow", "-k", "other"),
            ("nb/other.ipynb", "-k", "first"),
        )
    }
    elsewhere = project.pytest("--nbci-changed", "tests")

    assert list(codes.values()) == [0, 0, 5, 5, 5]
    assert elsewhere.outcomes == {"passed": 1}
    assert " due" not in elsewhere.out
    assert "nb/" not in elsewhere.out


def test_variables_switch_it_on_and_a_scheduled_pipeline_runs_everything(project: Project):
    project.notebook("a.ipynb", "import os\nassert not os.path.exists('/' + 'flag-of-nobody')")
    project.notebook("b.ipynb", "import os\nprint(1 / int(os.environ.get('LUCK', '1')))")
    project.commit()
    project.pytest(NBCI_CHANGED="1")

    off = project.pytest("--collect-only", "-q", NBCI_CHANGED="0")
    on = project.pytest("--collect-only", "-q", NBCI_CHANGED="1")
    wrong = project.pytest(NBCI_CHANGED="maybe")
    named = project.pytest("a.ipynb", "--nbci-changed")
    nightly = project.pytest(NBCI_CHANGED="1", CI_PIPELINE_SOURCE="schedule", LUCK="0")
    after = project.pytest(NBCI_CHANGED="1")

    assert "a.ipynb::a" in off.out
    assert "a.ipynb::a" not in on.out
    assert wrong.code == 4
    assert "changed = 'maybe' (NBCI_CHANGED) is not true or false" in wrong.err
    assert named.outcomes == {"passed": 1}
    assert "every notebook runs: run_all_on names the pipeline source schedule" in nightly.out
    assert nightly.outcomes == {"passed": 1, "failed": 1}
    assert due(after) == {"b.ipynb"}
    assert "b.ipynb failed, and --nbci-changed would have left it out: it passed on" in nightly.out
    assert "the input that was missed may be outside git" in nightly.out
    assert "b.ipynb: it failed on 2" in after.out


def test_data_that_a_fixture_makes_depends_on_what_the_fixture_reads(project: Project):
    project.write(
        "conftest.py",
        "import pytest\nfrom pathlib import Path\nfrom pytest_nbci import NotebookData\n\n\n"
        "@pytest.fixture(scope='session')\ndef source():\n"
        "    return (Path(__file__).parent / ''.join(['full', '.csv'])).read_text()\n\n\n"
        "@pytest.fixture\ndef nbci_test_data(source, tmp_path):\n"
        "    (tmp_path / 'x').write_text(source)\n"
        "    return NotebookData(files={'data/x.csv': tmp_path / 'x'})\n",
    )
    project.write("full.csv", "1")
    project.notebook("a.ipynb", "print(open('data/x.csv').read())")
    project.notebook("b.ipynb", "1")
    project.commit()
    project.pytest("--nbci-changed")

    assert due(project.pytest("--nbci-changed")) == set()
    project.write("full.csv", "2")
    changed = project.pytest("--nbci-changed")

    assert "a.ipynb ← conftest.py ← full.csv changed" in changed.out


def test_what_a_conftest_reads_and_lists_counts_for_every_notebook_below_it(project: Project):
    """A hook reads, a fixture lists; the notebook asks for neither."""
    project.write(
        "nb/conftest.py",
        "import os\nimport pytest\nTOP = os.path.dirname(os.path.dirname(__file__))\n\n\n"
        "def pytest_runtest_setup(item):\n"
        "    with open(os.path.join(TOP, *['full' + '.csv'])) as file:\n"
        "        os.environ['FULL'] = file.read()\n\n\n"
        "@pytest.fixture(autouse=True, scope='session')\ndef parts():\n"
        "    os.environ['PARTS'] = ' '.join(os.listdir(os.path.join(TOP, *['par' + 'ts'])))\n",
    )
    for name in ("full.csv", "parts/1.csv", "data/x.csv", "src/mod.py"):
        project.write(name, "1")
    project.notebook("nb/a.ipynb", "import os; os.environ['FULL'], os.environ['PARTS']")
    project.notebook("b.ipynb", "open('full.csv'); import os; os.listdir('parts')")
    project.commit()
    project.pytest("--nbci-changed")
    assert due(project.pytest("--nbci-changed")) == set()

    project.write("full.csv", "2")
    assert "nb/a.ipynb" in due(project.pytest("--nbci-changed"))
    project.write("parts/2.csv", "1")
    project.git("add", "-A")
    assert "nb/a.ipynb" in due(project.pytest("--nbci-changed"))
    project.notebook("b.ipynb", "open('data/x.csv')")
    project.git("add", "-A")
    project.pytest("--nbci-changed")
    project.write("data/x.csv", "2")
    assert due(project.pytest("--nbci-changed")) == {"b.ipynb"}


def test_what_pytest_itself_reads_is_no_input_and_what_a_conftest_loads_or_reads_is(
    project: Project,
):
    """Modules by pytest's own ``sys.path``, and files that are not in git; in xdist workers too."""
    table = "[tool.pytest.ini_options]\npythonpath = ['tests']\n\n[tool.nbci]\n"
    for name, text in {
        "pyproject.toml": table,
        ".gitignore": ".nbci/\n__pycache__/\nlocal/\n",
        "conftest.py": "import pathlib\nimport pytest\nfrom helper17 import V\n"
        "pytest_plugins = ['plug']\n\n\n@pytest.fixture(autouse=True)\ndef big():\n"
        "    return pathlib.Path(__file__).with_name('local').joinpath('big.csv').read_text()\n",
        "tests/helper17.py": "V = 1\n",
        "tests/late.py": "",
        "tests/test_x.py": "def test_x():\n    import late, wave\n",
        "plug.py": "",
        "local/big.csv": "1",
    }.items():
        project.write(name, text)
    for name in "abcd":  # so that a worker runs more than one
        project.notebook(f"{name}.ipynb", "1")
    project.commit()
    assert project.pytest("-n", "2").outcomes == {"passed": 5}

    project.write("pyproject.toml", f"{table}\n[tool.ruff]\nline-length = 99\n")
    project.write("tests/test_y.py", "")
    project.git("add", "-A")
    assert "0 of 4 notebooks due" in nbci(project, "why").out

    for name in ("tests/helper17.py", "plug.py", "local/big.csv"):
        project.write(name, "V = 2\n")
    project.git("add", "-A")
    for name in ("a", "d"):
        said = nbci(project, "why", f"{name}.ipynb").out
        assert all(f"{one} changed" in said for one in ("helper17.py", "plug.py", "big.csv"))


def test_a_project_below_the_top_a_kernel_that_lists_and_a_new_neighbour(project: Project):
    """Names are relative to the project; starting a kernel does not count as listing a folder."""
    (project.root / "pyproject.toml").unlink()
    project.write("inner/pyproject.toml", "[tool.nbci]\n")
    project.notebook("inner/a.ipynb", "print(open('../shared/x.csv').read())")
    project.notebook("inner/b.ipynb", "import os\nprint(os.listdir('.'))")
    project.write("shared/x.csv", "1")
    project.commit()
    inner = project.root / "inner"
    first = Project(inner).pytest("--nbci-changed")
    assert [item["path"] for item in first.record("a.ipynb").inputs] == ["../shared/x.csv"]

    (inner / "new.ipynb").write_text(json.dumps(notebook_json(["1"])))
    project.git("add", "-A")
    second = Project(inner).pytest("--nbci-changed")

    assert due(second) == {"b.ipynb", "new.ipynb"}


def test_a_test_that_another_hook_failed_is_not_remembered_as_passed(project: Project):
    project.write(
        "conftest.py",
        "import pytest\n\n\n@pytest.hookimpl(wrapper=True, tryfirst=True)\n"
        "def pytest_runtest_makereport(item):\n    report = yield\n"
        "    if {'a': 'call', 'b': 'teardown'}.get(item.name) == report.when:\n"
        "        report.outcome, report.longrepr = 'failed', 'no'\n    return report\n",
    )
    for name in ("a", "b", "c"):
        project.notebook(f"{name}.ipynb", "1")
    project.commit()
    project.pytest("-n", "2")

    said = nbci(project, "why").out

    assert "a.ipynb: it failed on 2" in said
    assert "b.ipynb: it failed on 2" in said
    assert "c.ipynb: passed with the same inputs" in said


def test_before_the_first_commit_and_with_edits_that_are_not_committed(project: Project):
    """What counts is what lies in the working tree, that of submodules included."""
    inner = Project.create(project.root.parent / "inner")
    inner.write("lib.py", "x = 1\n")
    inner.commit()
    project.git(
        *("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner.root), "sub")
    )
    project.notebook("a.ipynb", "import sys; sys.path.append('sub')\nimport lib")
    project.notebook("b.ipynb", "print(open(b'na\\xefve.txt').read())")
    project.write("na\udcefve.txt", "1")
    project.git("add", "-A")

    assert project.pytest("--nbci-changed").outcomes == {"passed": 2}
    assert due(project.pytest("--nbci-changed")) == set()
    project.commit("The first")
    assert due(project.pytest("--nbci-changed")) == set()
    project.write("sub/lib.py", "x = 2\n")
    assert due(project.pytest("--nbci-changed")) == {"a.ipynb"}
    project.write("na\udcefve.txt", "2")
    assert due(project.pytest("--nbci-changed")) == {"b.ipynb"}


def test_broken_and_foreign_notebooks_crash_nothing_and_warn_of_nothing(project: Project):
    for number, source in enumerate(
        (
            "def broken(:\n    '\\d'",
            "print 'python 2'",
            "await x\nasync with y: pass",
            "%time\n%%bash\n!ls |\n?x",
            "%%unknown\n$ % !",
            "!\n%\n%%\n",
            "x = 1 is 1; '\\d'; assert (x, 'always')",
        )
    ):
        project.notebook(f"python{number}.ipynb", source)
    project.notebook("r.ipynb", "x <- read.csv('a.csv')", kernel="ir", language="R")
    project.notebook("julia.ipynb", "using CSV", kernel="julia-1.11", language="julia")
    project.write("empty.ipynb", "")
    project.commit()

    told = nbci(project, "why")
    listed = project.pytest("--nbci-changed", "--collect-only", "-q", "-W", "error")

    assert told.code == 0, told.err
    assert told.err == ""
    assert "10 of 10 notebooks due" in told.out
    assert "arning" not in listed.out + listed.err


@pytest.mark.server
def test_another_runner_reads_what_passed_from_the_bucket(minio: Minio, project: Project):
    bucket = f"b{uuid.uuid4().hex}"
    minio.client().create_bucket(Bucket=bucket)
    env = {**minio.environment, "NBCI_STORE": f"s3://{bucket}/x", "MLFLOW_TRACKING_URI": "off"}
    for name in ("a", "b"):
        project.notebook(f"{name}.ipynb", f"'{name}'")
    project.commit()
    first = project.pytest("--nbci", "--nbci-changed", **env)
    assert first.outcomes == {"passed": 2}
    shutil.rmtree(project.root / ".nbci")

    second = project.pytest("--nbci", "--nbci-changed", **env)

    assert second.code == 0
    assert "0 of 2 notebooks due; 2 passed before with the same inputs" in second.out
    keys = [item["Key"] for item in minio.client().list_objects_v2(Bucket=bucket)["Contents"]]
    sessions = [key for key in keys if key.endswith("/_session.json")]
    assert len(sessions) == 2
    assert sum("/_passed/main/" in key for key in keys) == 1
