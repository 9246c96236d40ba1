"""Files that appear or go: nobody sees a lookup that fails, so names count, for each notebook."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_nbci.records import Commit, Record, utc_now
from pytest_nbci.selection import Readings, entry_of
from pytest_nbci.selection.due import said as told
from tests.project import Project
from tests.selection.repositories import Analysed, passed_folder

LATER = """
import json
from pathlib import Path
for folder in json.load(open('../later.json')):
    (Path('..') / folder / f'v{folder}.csv').exists()
"""
# What it does, what its run opened and listed, and a new file that may change what it comes to.
SEES = {
    "a probe with a computed name": (
        "import os\nfor n in 'pq':\n    os.path.exists('../data/c' + n + '.csv')",
        Readings((), ()),
        "data/cp.csv",
    ),
    "a name that is put together": (
        "n = 7\ntry:\n    open(f'../data/deep/{n}.csv')\nexcept OSError:\n    pass",
        Readings((), ()),
        "data/deep/7.csv",
    ),
    "a template": (
        "T = '../data/%s.csv'\nimport os; os.path.exists(T % 7)",
        Readings((), ()),
        "data/7.csv",
    ),
    "a notebook of a computed name": (
        "import os\nfor n in 'pq': os.path.exists(f'../plugins/{n}.ipynb')",
        Readings((), ()),
        "plugins/p.ipynb",
    ),
    "a module of a computed name": (
        "from pathlib import Path\nfor n in 'pq': Path(f'../plugins/{n}.py').exists()",
        Readings((), ()),
        "plugins/p.py",
    ),
    "an extension module of a computed name": (
        "def there(p): ...\nfor n in 'pq': there('../plugins/%s.so' % n)",
        Readings((), ()),
        "plugins/p.so",
    ),
    "what may be a module in a folder that is named": (
        "from pathlib import Path\nD = Path('..') / 'plugins'\nfor n in 'pq': (D / where(n)).exists()",
        Readings((), ()),
        "plugins/p.py",
    ),
    "a folder in a variable": (
        "from pathlib import Path\nD = Path('..') / 'data'\nn = 'x'\n(D / (n + '.csv')).exists()",
        Readings((), ()),
        "data/other.csv",
    ),
    "the working folder": (
        "import os\nos.path.exists(''.join('x1') + '.csv')",
        Readings((), ()),
        "nb/x1.csv",
    ),
    "a folder that it opened something from": (
        "from conf import where\nopen(where())",
        Readings({"data/x.csv"}, ()),
        "data/y.csv",
    ),
    "anything, since it opened what nothing explains": (
        "from conf import where\nopen(where())",
        Readings({"data/x.csv"}, ()),
        "other/y.csv",
    ),
    "an ignored folder": (
        "import os\nfor n in 'pq':\n    os.path.exists('../docs/c' + n + '.csv')",
        Readings((), ()),
        "docs/cp.csv",
    ),
    "a folder that a configuration names": (
        "import json\njson.load(open('../conf.json'))",
        Readings({"conf.json"}, ()),
        "other/new.csv",
    ),
    "a pattern, of a folder that has no match yet": (
        "import glob\nglob.glob('../data/*/new.csv')",
        Readings((), {"data"}),
        "data/deep/new.csv",
    ),
    "an alias of glob": (
        "import helper\nfrom glob import glob as g\ng('*')",
        Readings({"nb/helper.py"}, {"nb"}),
        "nb/new.py",
    ),
    "an alias of listdir": (
        "import helper\nfrom os import listdir as ld\nld('.')",
        Readings({"nb/helper.py"}, {"nb"}),
        "nb/new.py",
    ),
    "resources of a package": (
        "import helper\nfrom importlib import resources\nresources.contents('helper')",
        Readings({"nb/helper.py"}, {"nb"}),
        "nb/new.py",
    ),
    "a data set of a whole folder": (
        "import helper\nfrom pyarrow import dataset\ndataset.dataset('.')",
        Readings({"nb/helper.py"}, {"nb"}),
        "nb/new.py",
    ),
    "files that a file system finds": (
        "import helper, fsspec\nfsspec.filesystem('file').find('.')",
        Readings({"nb/helper.py"}, {"nb"}),
        "nb/new.py",
    ),
    "modules beside the one that looks for them": (
        "import sys; sys.path.append('../src')\nimport finds; finds.has('new')",
        Readings({"src/finds.py"}, {"src"}),
        "src/new.py",
    ),
    "packages that are found": (
        "import sys; sys.path.append('../src')\nfrom setuptools import find_packages\nfind_packages('../src')",
        Readings({"src/a.py"}, {"src"}),
        "src/new/__init__.py",
    ),
    "a subprocess that lists": (
        "import helper, subprocess\nsubprocess.run(['ls'])",
        Readings({"nb/helper.py"}, {"nb"}),
        "nb/new.py",
    ),
    "a shell that lists": (
        "import helper\n!ls",
        Readings({"nb/helper.py"}, {"nb"}),
        "nb/new.py",
    ),
    "a library that packs what it finds": (
        "import tarfile\ntarfile.open('/tmp/o', 'w').add(where)",
        Readings({"plugins/__init__.py"}, {"plugins"}),
        "plugins/new.py",
    ),
    "what is beside a file": (
        "import sys; sys.path.append('../src')\nimport beside; beside.has('new')",
        Readings({"src/beside.py"}, {"src"}),
        "plugins/new.csv",
    ),
    "tests that are found": (
        "!python -m unittest -q",
        Readings((), {"nb"}),
        "nb/test_new.py",
    ),
    "plugins that are found": (
        "import pkgutil, sys; sys.path.append('..')\nimport plugins as p; pkgutil.iter_modules(p.__path__)",
        Readings((), {"plugins"}),
        "plugins/new.py",
    ),
    "plugins of a package that is named": (
        "import pkgutil, sys; sys.path.append('..')\nimport plugins; pkgutil.iter_modules(plugins.__path__)",
        Readings((), {"plugins"}),
        "plugins/new.py",
    ),
    "modules of a package by computed names": (
        "import sys, importlib; sys.path.append('..')\nimportlib.import_module(f'plugins.{name}')",
        Readings((), {"plugins"}),
        "plugins/new.py",
    ),
    "a pattern of the shell": ("!cat ../data/*.csv", Readings((), {"data"}), "data/new.csv"),
    "modules of computed names": (
        "import sys, importlib; sys.path.append('../src')\nfor n in 'ab': importlib.import_module(n)",
        Readings((), {"src"}),
        "src/b.py",
    ),
    "modules of computed names by an alias": (
        "from importlib import import_module as load\nload(name)",
        Readings((), {"nb"}),
        "src/b.py",
    ),
    "a function that imports, handed on": (
        "import importlib\nlist(map(importlib.import_module, names))",
        Readings((), {"nb"}),
        "src/b.py",
    ),
    "a folder that only a run knows": (
        "import os\nwhere = os.environ['DATA']\nos.path.exists(where + '/' + 'x')",
        Readings((), ()),
        "other/new.csv",
    ),
    "a name that is strung together": (
        "import os\nwhere = '/'.join(['..', 'ot' + 'her'])\nos.path.exists(where + '/' + str(1))",
        Readings((), ()),
        "other/1",
    ),
    "a variable that stands for many": (
        "base = '../other'\nfor base in bases(): open(base + '/x' + str(1))\n'../data/{}.csv'",
        Readings((), ()),
        "data/new.csv",
    ),
    "a specification of a computed name": (
        "import importlib.util as u\nfor n in 'ab': u.find_spec(n)",
        Readings((), {"nb"}),
        "nb/b.py",
    ),
    "a computed sys.path": (
        "import os, sys\nsys.path.insert(0, os.environ['LIBRARIES'])\nimport helper",
        Readings((), {"src"}),
        "src/b.py",
    ),
    "a compiled module beside the one that is imported": (
        "import helper",
        Readings({"nb/helper.py"}, {"nb"}),
        "nb/helper.cpython-311-x86_64-linux-gnu.so",
    ),
    "a hidden file by its name alone": (
        "for n in ['.later.json']: there(where, n)",
        Readings((), ()),
        "data/.later.json",
    ),
    "a file that may be missing, whatever fails": (
        "try:\n    frame = pd.read_csv(where())\nexcept Exception:\n    pass",
        Readings((), ()),
        "other/new.csv",
    ),
    "a file that may be missing, as nothing is said": (
        "import contextlib\nwith contextlib.suppress(Exception): (where() / 'x').open('rb')",
        Readings((), ()),
        "other/new.csv",
    ),
    "more strings than anybody keeps": (
        f"for n in {[f'{n}.csv' for n in range(5_001)]}: there(where, n)",
        Readings((), ()),
        "data/5000.csv",
    ),
    "a folder that comes later": (
        "import pathlib\nfor one in [pathlib.Path('../data/later')]: (one / name).exists()",
        Readings((), ()),
        "data/later/x.csv",
    ),
    "a folder that a name begins with and that comes later": (
        "import os\nos.path.exists(f'../data/later/{name}.csv')",
        Readings((), ()),
        "data/later/x.csv",
    ),
    "a folder that a configuration names and that comes later": (
        LATER,
        Readings({"later.json"}, ()),
        "data/later/x.csv",
    ),
    "a file beside a folder that is not there": (
        f"{LATER}\nPath(folder).parent.joinpath(folder[-1] + '.csv').exists()",
        Readings({"later.json"}, ()),
        "data/r.csv",
    ),
    "a file that is called like a folder that is not there": (
        LATER,
        Readings({"later.json"}, ()),
        "data/later-1.csv",
    ),
    "what the standard library imports": ("import helper", Readings((), {"nb"}), "nb/colorsys.py"),
    "what an installed package imports": (
        "import sys; sys.path.append('../src')",
        Readings((), {"src"}),
        "src/pytest.py",
    ),
}

# Whoever imports anything may find these first.
HIDING = ("nb/colorsys.py", "src/pytest.py")


@pytest.fixture
def watched(repo: Analysed) -> Analysed:
    """A repository in which somebody else lists every folder: what is new there is known."""
    project = repo.project
    for name in ("data/x.csv", "data/deep/x.csv", "other/x.csv", "docs/x.csv", "nb/x.csv"):
        project.write(name, "1")
    for name in ("nb/helper.py", "nb/conf.py", "src/a.py", "plugins/__init__.py"):
        project.write(name, "def where(): ...\n")
    project.write(
        "src/beside.py",
        "from pathlib import Path\n\n\ndef has(name):\n"
        "    return (Path(__file__).parents[1] / 'plugins/x').with_name(f'{name}.csv').exists()\n",
    )
    project.write(
        "src/finds.py",
        "from pathlib import Path\n\n\ndef has(name):\n"
        "    return (Path(__file__).parent / f'{name}.py').exists()\n",
    )
    project.write("src/looks.py", "import os\nos.path.exists(os.path.dirname(__file__) + name())\n")
    project.write("conf.json", '{"folders": ["other"]}')
    project.write("later.json", '["data/later"]')
    folders = ("data", "data/deep", "other", "docs", "nb", "src", "plugins")
    lists = "".join(f"os.listdir('../{folder}')\n" for folder in folders)
    project.notebook("nb/z.ipynb", f"import os\n{lists}")
    project.notebook("nb/idle.ipynb", "1")
    return repo


@pytest.mark.parametrize("what", SEES)
def test_a_new_file_makes_who_may_look_for_it_due(watched: Analysed, what: str):
    source, readings, new = SEES[what]
    watched.project.notebook("nb/a.ipynb", source)
    watched.project.commit()
    watched.passes({"nb/a.ipynb": readings})
    assert watched.due() == {}

    watched.project.write(new, "1")
    watched.project.commit()

    assert set(watched.due()) - {"nb/z.ipynb"} >= {"nb/a.ipynb"}
    assert "nb/idle.ipynb" not in watched.due() or new in HIDING


@pytest.mark.parametrize("what", SEES)
def test_a_file_that_goes_makes_who_may_have_looked_for_it_due(watched: Analysed, what: str):
    source, readings, new = SEES[what]
    watched.project.notebook("nb/a.ipynb", source)
    watched.project.write(new, "1")
    watched.project.commit()
    watched.passes({"nb/a.ipynb": readings})
    assert watched.due() == {}

    watched.project.git("rm", "-q", new)
    watched.project.commit()

    assert set(watched.due()) - {"nb/z.ipynb"} >= {"nb/a.ipynb"}
    assert "nb/idle.ipynb" not in watched.due() or new in HIDING


@pytest.mark.parametrize(
    ("source", "readings", "new"),
    [
        ("open('../data/x.csv')", Readings({"data/x.csv"}, ()), "data/y.csv"),
        ("import os; os.path.exists('../data/o.csv')", Readings((), ()), "data/y.csv"),
        ("try:\n    open('x.csv')\nexcept Exception:\n    n += 1", Readings((), ()), "data/y.csv"),
        ("import os; os.path.exists(f'../data/{n}.csv')", Readings((), ()), "data/y.py"),
        ("import os; os.path.exists('../data/' + n + '.csv')", Readings((), ()), "data/y.py"),
        ("n = ''.join('x'); open(f'../data/{n}.csv')", Readings({"data/x.csv"}, ()), "other/y.csv"),
        ("import glob; glob.glob('../data/*.csv')", Readings((), {"data"}), "other/y.csv"),
        ("import helper", Readings({"nb/helper.py"}, {"nb"}), "nb/other.py"),
        (
            "import sys; sys.path.append('../src'); import a",
            Readings({"src/a.py"}, {"src"}),
            "src/b.py",
        ),
        (
            "import sys; sys.path.append('../src'); import looks",
            Readings({"src/looks.py"}, {"src"}),
            "src/b.py",
        ),
        (
            "import subprocess; subprocess.run(['cat', '../data/x.csv'])",
            Readings((), ()),
            "nb/b.py",
        ),
        (LATER, Readings({"later.json"}, ()), "other/y.csv"),
        (LATER, Readings({"later.json"}, ()), "data/y.csv"),
    ],
)
def test_a_new_file_makes_nobody_due_who_cannot_mean_it(
    watched: Analysed, source: str, readings: Readings, new: str
):
    watched.project.notebook("nb/a.ipynb", source)
    watched.project.commit()
    watched.passes({"nb/a.ipynb": readings})

    watched.project.write(new, "1")
    watched.project.commit()

    assert set(watched.due()) == {"nb/z.ipynb"}


@pytest.mark.parametrize("other", ["exec(str(1))", "%%R\nlist.files('.')", "open('c.' + str(1))"])
def test_who_may_read_everything_makes_nothing_known(repo: Analysed, other: str):
    """What the one may read, another may have looked for in vain."""
    project = repo.project
    project.notebook("nb/a.ipynb", "import os\nfor n in 'ab': os.path.exists(n)")
    project.notebook("x.ipynb", other)
    project.write("Makefile", "1")
    project.commit()
    repo.passes({"x.ipynb": Readings((), {""})})

    project.write("nb/b", "1")
    project.commit()
    assert "nb/a.ipynb" in repo.due()
    repo.passes()
    project.write("Makefile", "2")
    project.commit()
    assert set(repo.due()) == {"nb/a.ipynb", "x.ipynb"}


@pytest.mark.parametrize("name", ["nb/.env", "nb/matplotlibrc", "setup.conf"])
def test_a_new_file_of_settings_makes_everything_due_whoever_lists_its_folder(
    repo: Analysed, name: str
):
    repo.project.notebook("nb/a.ipynb", "import os; os.listdir('.'); os.listdir('..')")
    repo.project.notebook("nb/deep/b.ipynb", "1")
    repo.project.commit()
    repo.passes()

    repo.project.write(name, "1")
    repo.project.commit()

    assert set(repo.due()) == {"nb/a.ipynb", "nb/deep/b.ipynb"}


def test_what_a_script_of_any_name_does_counts_and_not_its_whole_folder(repo: Analysed):
    project = repo.project
    project.notebook("a.ipynb", "exec(open('sc.txt').read())")
    project.notebook("b.ipynb", "1")
    project.notebook("c.ipynb", "open('other.txt')")
    project.write("sc.txt", "import helper\n")
    project.write("helper.py", "1")
    project.write("other.txt", "1")
    project.commit()
    assert repo.files("a.ipynb") == {"sc.txt", "helper.py"}
    repo.passes()

    project.write("other.txt", "2")
    project.commit()
    assert set(repo.due()) == {"c.ipynb"}


@pytest.mark.parametrize("source", ["os.listdir('../bin')", "os.access('../bin/' + n, os.X_OK)"])
def test_what_a_listing_tells_of_a_file_counts_and_not_its_content(repo: Analysed, source: str):
    project = repo.project
    tool = project.write("bin/tool", "1")
    latest = project.root / "bin/latest"
    latest.symlink_to("tool")
    project.notebook("nb/a.ipynb", f"import os; {source}")
    project.notebook("nb/b.ipynb", "open('../bin/tool')")
    project.commit()
    repo.passes()

    tool.write_text("2")
    project.commit()
    assert set(repo.due()) == {"nb/b.ipynb"}

    tool.chmod(0o755)
    project.commit()
    assert set(repo.due()) == {"nb/a.ipynb", "nb/b.ipynb"}
    repo.passes()

    latest.unlink()
    latest.symlink_to("../bin/tool")
    project.commit()
    assert "nb/a.ipynb" in repo.due()


def test_a_new_file_in_untracked_test_data_makes_everything_due(repo: Analysed):
    repo.project.table('[tool.nbci.data.test]\nroot = "samples"')
    repo.project.write(".gitignore", "samples/")
    repo.project.write("samples/x.csv", "1")
    repo.project.notebook("a.ipynb", "1")
    repo.project.commit()
    repo.passes()

    repo.project.write("samples/y.csv", "1")

    assert repo.due() == {"a.ipynb": "there are other files of test data"}


@pytest.mark.parametrize("is_written_by_run", [False, True])
def test_a_file_outside_that_is_named_counts_unless_the_run_wrote_it(
    repo: Analysed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_written_by_run: bool
):
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    outside = tmp_path / "x.csv"
    outside.write_text("1")
    repo.project.notebook("a.ipynb", f"open({str(outside)!r})")
    repo.project.commit()
    started_at = "2001-01-01T00:00:00+00:00" if is_written_by_run else utc_now()
    os.utime(outside, (1_000_000_000, 1_000_000_000))  # in September 2001
    repo.passes({"a.ipynb": Readings((), (), started_at=started_at)})
    assert repo.due() == {}

    outside.write_text("2")

    assert set(repo.due()) == (set() if is_written_by_run else {"a.ipynb"})


def test_a_new_file_behind_a_link_out_of_the_repository_counts(repo: Analysed, tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (repo.project.root / "ext").symlink_to(outside)
    repo.project.notebook("a.ipynb", "import os; os.listdir('ext')")
    repo.project.commit()
    repo.passes({"a.ipynb": Readings((), (), outside_folders={str(outside)})})
    assert repo.due() == {}

    (outside / "new.csv").write_text("1")

    assert repo.due() == {"a.ipynb": f"a.ipynb ← {outside}/ lists other files"}


# -- conftest.py ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "text"),
    [("fix/deep/x.csv", "2"), ("fix/new.csv", "1"), ("lists/new.csv", "1"), ("conf.ini", "b")],
)
def test_what_a_conftest_names_counts_with_all_that_is_in_it(
    repo: Analysed, change: str, text: str
):
    project = repo.project
    project.write(
        "nb/conftest.py",
        "import os, json\nfrom pathlib import Path\nTOP = Path(__file__).parent.parent\n"
        "DATA = TOP / 'fix'\nNAMES = os.listdir(TOP / 'lists')\nopen(TOP / 'conf.ini')\n",
    )
    for name in ("fix/deep/x.csv", "lists/x.csv", "conf.ini"):
        project.write(name, "1")
    project.notebook("nb/a.ipynb", "1")
    project.notebook("b.ipynb", "import os; os.listdir('fix'); os.listdir('lists')")
    project.commit()
    repo.passes()

    project.write(change, text)
    project.commit()

    assert "nb/a.ipynb" in repo.due()


@pytest.mark.parametrize(
    ("lists", "due"),
    [("glob('*.json')", {"top.json"}), ("rglob('*.json')", {"top.json", "data/x.json"})],
)
def test_what_a_conftest_lists_at_the_top_it_may_read(repo: Analysed, lists: str, due: set[str]):
    project = repo.project
    project.write(
        "conftest.py",
        f"import pathlib\nC = [f.read_text() for f in pathlib.Path(__file__).parent.{lists}]\n",
    )
    project.notebook("nb/a.ipynb", "1")
    for name in ("top.json", "data/x.json"):
        project.write(name, "1")
    # So that these are known, and do not make everything due.
    project.notebook("b.ipynb", "open('top.json'); open('data/x.json')")
    project.commit()
    repo.passes()

    for name in ("top.json", "data/x.json"):
        project.write(name, "2")
        project.commit()
        assert ("nb/a.ipynb" in repo.due()) == (name in due)
        project.write(name, "1")
        project.commit()


# -- results -------------------------------------------------------------------------------------


def test_an_older_pass_does_not_excuse_a_red_result_that_read_more(repo: Analysed):
    project = repo.project
    project.notebook("a.ipynb", "import random\nname = random.choice('ab')\nopen(f'd/{name}')")
    project.write("d/a", "1")
    project.write("d/b", "1")
    project.commit()
    repo.passes({"a.ipynb": Readings({"d/a"}, ())})
    keep = passed_folder(repo)
    kept = {path.name: path.read_bytes() for path in keep.iterdir()}
    for path in keep.iterdir():
        path.unlink()
    repo.passes({"a.ipynb": Readings({"d/a", "d/b"}, ())}, outcome="failed")
    for name, content in kept.items():
        (keep / name).write_bytes(content)

    project.write("d/b", "2")
    project.commit()

    assert repo.due()["a.ipynb"].startswith("it failed on ")


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ("failed", "it failed on 2"),
        ("error", "it ended in an error on 2"),
        ("lost", "it was lost on 2"),
    ],
)
def test_how_a_notebook_ended_is_said_in_words(repo: Analysed, outcome: str, said: str):
    repo.project.notebook("a.ipynb", "1")
    repo.project.commit()
    repo.passes(outcome=outcome)

    assert repo.due()["a.ipynb"].startswith(said)


@pytest.mark.parametrize(
    ("dirty", "said"), [(False, "in 01234567"), (True, "in 01234567 with uncommitted changes")]
)
def test_a_result_of_a_tree_that_is_in_no_commit_says_so(dirty: bool, said: str):  # noqa: FBT001
    commit = Commit("0123456789abcdef", "a", "a@b", "m", "main", utc_now())
    record = Record("s", "p", "a.ipynb", "passed", commit=commit, dirty=dirty)

    assert told(entry_of(record)).endswith(said)


def test_a_base_excuses_nobody_who_was_red(repo: Analysed):
    project = repo.project
    project.notebook("a.ipynb", "1")
    project.notebook("b.ipynb", "2")
    project.write("Makefile", "1")
    project.commit()
    base = project.git("rev-parse", "HEAD").strip()
    repo.passes(outcome="failed")
    project.write("Makefile", "2")  # belongs to nothing known
    project.write("c.csv", "2")
    project.commit()
    repo.passes(only={"b.ipynb"})
    project.write("Makefile", "1")
    project.git("rm", "-q", "c.csv")
    project.commit()

    why = {one.notebook: one.why for one in repo.choose(reference=base).decisions if one.due}

    assert why["a.ipynb"].startswith("it failed on ")


def test_two_projects_of_one_repository_share_no_results(tmp_path: Path):
    project = Project.create(tmp_path / "p")
    (project.root / "pyproject.toml").unlink()
    for name in ("one", "two"):
        project.write(f"{name}/pyproject.toml", "[tool.nbci]\n")
        project.notebook(f"{name}/a.ipynb", "open(''.join('x.csv'))")
    project.commit()
    one, two = (Analysed(Project(project.root / name)) for name in ("one", "two"))
    one.passes()
    results = project.root / "one/.nbci/results"
    (project.root / "two/.nbci").mkdir()
    results.rename(project.root / "two/.nbci/results")

    assert set(two.due()) == {"a.ipynb"}


def test_the_summary_tells_what_passed_from_what_is_as_in_the_base(repo: Analysed):
    repo.project.notebook("a.ipynb", "1")
    repo.project.commit()
    selector, analysis = repo.selector(), repo.analysis()

    selector.choose(analysis, ["a.ipynb"], reference="HEAD")

    analysis.sources.close()
    assert selector.lines() == [
        "0 of 1 notebook due; 0 passed before with the same inputs; 1 not changed since the base"
    ]


def test_the_net_knows_what_every_notebook_depends_on_not_the_failed_ones_alone(repo: Analysed):
    repo.project.notebook("a.ipynb", "1")
    repo.project.commit()
    repo.passes()
    repo.project.notebook("b.ipynb", "open('new.csv')")
    repo.project.write("new.csv", "1")
    repo.project.commit()
    analysis = repo.analysis()
    failed = Record("s", "p", "a.ipynb", "failed", started_at=utc_now())

    said = repo.selector().missed(analysis, ["a.ipynb", "b.ipynb"], [failed])

    analysis.sources.close()
    assert len(said) == 1
    assert "the input that was missed may be outside git" in said[0]


def test_the_net_names_what_was_read_or_listed_for_the_first_time(repo: Analysed):
    repo.project.notebook("a.ipynb", "1")
    repo.project.commit()
    repo.passes()
    analysis = repo.analysis()
    for depends_on, missed in (
        ({"inputs": {"x.csv": "1"}}, "x.csv"),
        ({"listed": {"data": "1"}}, "data/"),
    ):
        failed = Record(
            *("s", "p", "a.ipynb", "failed"), started_at=utc_now(), depends_on=depends_on
        )
        said = repo.selector().missed(analysis, ["a.ipynb"], [failed])
        assert f"The input that was missed: {missed}, which it did not read then" in said[0]
    analysis.sources.close()
