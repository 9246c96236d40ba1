"""What a notebook depends on by its text alone; files are committed, nothing is run."""

from __future__ import annotations

import json
import warnings

import pytest

from tests.project import Cell, notebook_json
from tests.selection.repositories import Analysed

MODULES = {
    "src/app/__init__.py": "",
    "src/app/a.py": "from . import b\n",
    "src/app/b.py": "from .c import x\n",
    "src/app/c.py": "x = 1\n",
    "src/app/sub/__init__.py": "",
    "src/app/sub/deep.py": "from ..c import x\nfrom ...app import a\n",
    "nb/helper.py": "import other_helper\n",
    "nb/other_helper.py": "",
    "nb/random.py": "",
    "lib/ns/part/mod.py": "",
    "lib/plain.py": "",
    "tools/script.py": "import beside\n",
    "tools/beside.py": "",
    "tools/run.sh": "python tools/script.py\n",
    "data/x.csv": "1\n",
    "data/deep/y.csv": "1\n",
}
APP = {"src/app/__init__.py", "src/app/a.py", "src/app/b.py", "src/app/c.py"}

CASES = {
    "import app.a": APP,
    "from app import a": APP,
    "from app.a import *": APP,
    "import app.sub.deep": {*APP, "src/app/sub/__init__.py", "src/app/sub/deep.py"},
    "import helper": {"nb/helper.py", "nb/other_helper.py"},
    "import random": {"nb/random.py"},
    "import json, numpy": set(),
    "import importlib\nimportlib.import_module('app.c')": {"src/app/__init__.py", "src/app/c.py"},
    "from importlib import import_module\nimport_module('.c', 'app')": {
        "src/app/__init__.py",
        "src/app/c.py",
    },
    "__import__('helper')": {"nb/helper.py", "nb/other_helper.py"},
    "import sys\nsys.path.append('../lib')\nimport plain": {"lib/plain.py"},
    "import sys, os\nsys.path.insert(0, os.path.join('..', 'lib'))\nimport ns.part.mod": {
        "lib/ns/part/mod.py"
    },
    "import sys\nfrom pathlib import Path\nROOT = Path.cwd().parent\n"
    "sys.path += [str(ROOT / 'lib')]\nimport plain": {"lib/plain.py"},
    "import os\nos.chdir('../tools')\nimport beside": {"tools/beside.py"},
    "%run ../tools/script.py": {"tools/script.py", "tools/beside.py"},
    "%run ../tools/script": {"tools/script.py", "tools/beside.py"},
    "%load ../tools/beside.py": {"tools/beside.py"},
    "x = !python ../tools/script.py --fast": {"tools/script.py", "tools/beside.py"},
    "!cd .. && python -m app.c": {"src/app/__init__.py", "src/app/c.py"},
    "%%bash\ncd ..\nbash tools/run.sh": {"tools/run.sh", "tools/script.py", "tools/beside.py"},
    "open('../data/x.csv')": {"data/x.csv"},
    "from pathlib import Path\nDATA = Path('..') / 'data'\nopen(DATA / 'x.csv')": {"data/x.csv"},
    "import os.path as osp\nopen(osp.join('..', 'data', 'deep', 'y.csv'))": {"data/deep/y.csv"},
    "import subprocess\nsubprocess.run(['python', '../tools/script.py'])": {
        "tools/script.py",
        "tools/beside.py",
    },
    "from pkgutil import resolve_name\nresolve_name('app.c:x')": {
        "src/app/__init__.py",
        "src/app/c.py",
    },
    "import pydoc\npydoc.locate('helper')": {"nb/helper.py", "nb/other_helper.py"},
    "from image import locate\nlocate(image)": set(),
    "get_ipython().run_line_magic('run', '../tools/script')": {
        "tools/script.py",
        "tools/beside.py",
    },
    "get_ipython().run_line_magic('matplotlib', 'inline')": set(),
    "async def f(): ...\nawait f()\nimport helper": {"nb/helper.py", "nb/other_helper.py"},
    "print 'python 2'\nimport helper": {"nb/helper.py", "nb/other_helper.py"},
    "%%time\n%matplotlib inline\nimport helper": {"nb/helper.py", "nb/other_helper.py"},
    "helper?\n!pip list\nimport helper": {"nb/helper.py", "nb/other_helper.py"},
    "from importlib import import_module as load\nload('helper')": {
        "nb/helper.py",
        "nb/other_helper.py",
    },
    "import numpy as np\nmodel.eval()\nframe.eval('a + b')": set(),
    "def broken(:\n    '\\d'": set(),
}


@pytest.fixture(scope="module")
def analysed(tmp_path_factory):
    from tests.selection.repositories import make

    repo = make(tmp_path_factory.mktemp("static") / "p")
    for name, text in MODULES.items():
        repo.project.write(name, text)
    for number, source in enumerate(CASES):
        repo.project.notebook(f"nb/case{number}.ipynb", source)
    repo.project.commit()
    found = repo.analysis()
    yield found
    found.sources.close()


@pytest.mark.parametrize("number", range(len(CASES)), ids=[repr(case)[:60] for case in CASES])
def test_the_text_of_a_notebook_tells_what_it_depends_on(analysed, number: int):
    basis = analysed.basis(f"nb/case{number}.ipynb")

    found = {path for path in basis.files if not path.endswith("/")} - {"pyproject.toml"}
    assert found == list(CASES.values())[number]


def test_outputs_counts_markdown_and_page_tags_are_no_part_of_the_source(repo: Analysed):
    content = notebook_json(["x = 1", Cell("# old", kind="markdown"), Cell("2", ["hide-input"])])
    repo.project.write("a.ipynb", json.dumps(content))
    repo.project.commit()
    before = repo.fingerprint("a.ipynb")

    content["cells"][0] |= {
        "execution_count": 7,
        "outputs": [{"output_type": "stream", "name": "stdout", "text": "x"}],
    }
    content["cells"][1]["source"] = "# new"
    content["cells"][2]["metadata"] = {"collapsed": True}
    content["metadata"]["language_info"] = {"name": "python", "version": "3.13.0"}
    repo.project.write("a.ipynb", json.dumps(content, indent=4))
    repo.project.commit()
    assert repo.fingerprint("a.ipynb") == before

    content["cells"][2]["metadata"] = {"tags": ["raises-exception"]}
    repo.project.write("a.ipynb", json.dumps(content))
    repo.project.commit()
    assert repo.fingerprint("a.ipynb") != before


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["cells"].append({"cell_type": "markdow", "source": "x"}),
        lambda content: content["cells"].append("x"),
        lambda content: content.update(nbformat=5),
    ],
)
def test_a_notebook_that_is_no_longer_valid_is_another(repo: Analysed, change):
    content = notebook_json(["x = 1"])
    repo.project.write("a.ipynb", json.dumps(content))
    repo.project.commit()
    before = repo.fingerprint("a.ipynb")

    change(content)
    repo.project.write("a.ipynb", json.dumps(content))
    repo.project.commit()

    assert repo.fingerprint("a.ipynb") != before


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.write("conftest.py", "import helper_of_tests\n"),
        lambda p: p.write("helper_of_tests.py", "x = 2\n"),
        lambda p: p.write("requirements.txt", "numpy==2\n"),
        lambda p: p.write("docker/Dockerfile", "FROM x\n"),
        lambda p: p.write("sub/uv.lock", "x\n"),
        lambda p: p.table("timeout = 7"),
        lambda p: p.table('[[tool.nbci.notebook]]\npath = "nb/*"\nkernel = "other"'),
        lambda p: p.write("pyproject.toml", '[project]\ndependencies = ["numpy"]\n[tool.nbci]\n'),
        lambda p: p.notebook("nb/first.ipynb", "x = 2"),
    ],
)
def test_what_an_environment_a_test_or_a_needed_notebook_is_made_of_counts(repo: Analysed, change):
    repo.project.write("conftest.py", "import pytest, helper_of_tests\n")
    repo.project.write("helper_of_tests.py", "x = 1\n")
    repo.project.notebook("nb/first.ipynb", "x = 1")
    repo.project.notebook("nb/a.ipynb", "1", metadata={"nbci": {"needs": ["nb/first.ipynb"]}})
    repo.project.commit()
    before = repo.fingerprint("nb/a.ipynb")

    change(repo.project)
    repo.project.commit()

    assert repo.fingerprint("nb/a.ipynb") != before


@pytest.mark.parametrize(
    "text",
    [
        '[project]\nversion = "2"\ndescription = "new"\n[tool.nbci]\n[tool.ruff]\nline-length = 7\n',
        '[tool.nbci]\nstore = "s3://bucket"\nrun_all_on = []\n',
    ],
)
def test_what_changes_no_environment_in_pyproject_does_not_count(repo: Analysed, text: str):
    repo.project.notebook("a.ipynb", "1")
    repo.project.write("pyproject.toml", "[tool.nbci]\n")
    repo.project.commit()
    before = repo.fingerprint("a.ipynb")

    repo.project.write("pyproject.toml", text)
    repo.project.commit()

    assert repo.fingerprint("a.ipynb") == before


def test_parameters_of_the_profile_count_for_who_declares_them(repo: Analysed):
    repo.project.notebook("with.ipynb", Cell("epochs = 10", ["parameters"]))
    repo.project.notebook("without.ipynb", "1")
    repo.project.table("[tool.nbci.data.test]\nparameters = {epochs = 1}")
    repo.project.commit()
    before = {name: repo.fingerprint(name) for name in ("with.ipynb", "without.ipynb")}

    repo.project.table("[tool.nbci.data.test]\nparameters = {epochs = 2}")
    repo.project.commit()

    assert repo.fingerprint("with.ipynb") != before["with.ipynb"]
    assert repo.fingerprint("without.ipynb") == before["without.ipynb"]


@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize(
    "table",
    [
        '[[tool.nbci.notebook]]\npath = "nb/*"\nparameters = {path = "../conf/opt.json"}',
        '[tool.nbci.data.test]\nparameters = {path = ["../conf/opt.json"]}',
    ],
)
def test_a_file_that_a_parameter_names_counts(repo: Analysed, table: str, *, is_there: bool):
    repo.project.table(table)
    repo.project.notebook("nb/a.ipynb", Cell("path = 'x.csv'", ["parameters"]))
    if is_there:
        repo.project.write("conf/opt.json", '{"more": "../more.csv"}')
        repo.project.write("more.csv", "1")
    repo.project.commit()
    before = repo.fingerprint("nb/a.ipynb")

    repo.project.write("more.csv" if is_there else "conf/opt.json", "2")
    repo.project.commit()

    assert repo.fingerprint("nb/a.ipynb") != before


@pytest.mark.parametrize(
    "source",
    [
        "import importlib\nimportlib.import_module(f'plugins.{name}')",
        "exec(open(name).read())",
        "eval(text)",
        "from importlib import import_module as load\nload(name)",
        "import importlib\nimportlib.import_module('.' + name, __name__)",
        "import runpy\nrunpy.run_path(name)",
        "%run $name",
        "%%R\nsource(name)",
    ],
)
def test_where_the_code_computes_what_it_runs_its_whole_folder_counts(repo: Analysed, source: str):
    repo.project.notebook("nb/a.ipynb", source)
    repo.project.write("nb/plugins/one.py", "")
    repo.project.write("other/two.py", "")
    repo.project.commit()

    assert "nb/plugins/one.py" in repo.files("nb/a.ipynb")
    assert "other/two.py" not in repo.files("nb/a.ipynb")


@pytest.mark.parametrize(("kernel", "language"), [("ir", "R"), ("julia-1.9", "julia")])
def test_of_another_language_the_whole_folder_counts(repo: Analysed, kernel: str, language: str):
    repo.project.notebook("nb/a.ipynb", "source('helper.R')", kernel=kernel, language=language)
    repo.project.write("nb/helper.R", "")
    repo.project.write("nb/data.txt", "")
    repo.project.commit()

    assert {"nb/helper.R", "nb/data.txt"} <= repo.files("nb/a.ipynb")


def test_a_computed_sys_path_searches_everywhere(repo: Analysed):
    repo.project.notebook(
        "nb/a.ipynb", "import sys, os\nsys.path.append(os.environ['X'])\nimport far"
    )
    repo.project.write("deep/down/far.py", "")
    repo.project.commit()

    assert "deep/down/far.py" in repo.files("nb/a.ipynb")


def test_a_file_that_is_looked_for_counts_as_soon_as_it_is_there(repo: Analysed):
    repo.project.notebook("nb/a.ipynb", "import os\nos.path.exists('../conf/local.json')")
    repo.project.notebook("nb/b.ipynb", "try:\n    import local\nexcept ImportError:\n    pass")
    repo.project.commit()
    before = {name: repo.fingerprint(name) for name in ("nb/a.ipynb", "nb/b.ipynb")}

    repo.project.write("conf/local.json", "{}")
    repo.project.write("nb/local.py", "")
    repo.project.commit()

    for name, fingerprint in before.items():
        assert repo.fingerprint(name) != fingerprint


def test_links_are_followed_and_count_themselves(repo: Analysed):
    repo.project.write("shared/tool.py", "")
    repo.project.write("shared/tool2.py", "")
    (repo.project.root / "nb").mkdir()
    (repo.project.root / "nb/lib").symlink_to("../shared")
    repo.project.notebook("nb/a.ipynb", "import sys\nsys.path.append('lib')\nimport tool")
    repo.project.commit()

    assert {"nb/lib", "shared/tool.py"} <= repo.files("nb/a.ipynb")


@pytest.mark.parametrize("aim", ["/srv/data", "../outside", "../../../..", "ext", "/"])
def test_a_link_that_leads_out_of_the_repository_is_followed_no_further(repo: Analysed, aim: str):
    (repo.project.root / "ext").symlink_to(aim)
    source = "open('ext/a.csv')\nimport ext.b\nimport os; os.listdir('ext')"
    repo.project.notebook("a.ipynb", source)
    repo.project.commit()

    assert repo.files("a.ipynb") <= {"ext", "ext/"}


def test_files_that_are_no_notebooks_warn_of_nothing(repo: Analysed):
    broken = {
        "empty.ipynb": b"",
        "conflict.ipynb": b"<<<<<<< HEAD\n{}",
        "list.ipynb": b"[1]",
        "cells.ipynb": b'{"nbformat": 4, "metadata": {}, "cells": [{"cell_type": "code"}]}',
        "format3.ipynb": b'{"nbformat": 3, "metadata": {}, "worksheets": [{"cells": '
        b'[{"cell_type": "code", "language": "python", "input": "import helper"}]}]}',
        "nan.ipynb": b'{"nbformat": 4, "metadata": {"x": NaN}, "cells": []}',
        "latin.ipynb": '{"nbformat": 4, "é": 1}'.encode("latin-1"),
    }
    for name, content in broken.items():
        repo.project.write(name, content)
    repo.project.write("helper.py", "'\\d'\nx = 1 is 1\n")
    repo.project.commit()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = {name: repo.files(name) for name in broken}

    assert found["format3.ipynb"] == {"helper.py"}
    assert found["empty.ipynb"] == set()


def test_names_that_are_no_utf_8_and_no_ascii_are_followed(repo: Analysed):
    repo.project.write("nb/größe.py", "")
    repo.project.notebook("nb/日本.ipynb", "import größe\nopen('süß.csv')")
    repo.project.write("nb/süß.csv", "1")
    (repo.project.root / "nb" / "na\udcefve.ipynb").write_text(
        json.dumps(notebook_json(["import größe"]))
    )
    repo.project.commit()

    assert repo.files("nb/日本.ipynb") == {"nb/größe.py", "nb/süß.csv"}
    assert repo.files("nb/na\\xefve.ipynb") == {"nb/größe.py"}
