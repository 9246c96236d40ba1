"""Warm kernels: the same to a notebook as cold ones, and never a reason for another verdict."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pytest_nbci.execution.preload import modules_to_preload
from pytest_nbci.notebook import Notebook, load
from tests.project import Cell, Project, Ran, notebook_json, without_coverage

# What a notebook can see of its kernel. The first statement comes before any import of its own.
PROBE = """
import sys
_modules = sorted(sys.modules)
import atexit, gc, json, locale, os, resource, signal, threading, warnings
_main = sys.modules["__main__"]
_status = open("/proc/self/status").read().splitlines()
_files = [os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
print(json.dumps({
    "path": sys.path,
    "argv": [os.path.basename(word) for word in sys.argv],
    "orig_argv": [os.path.basename(word)[:30] for word in sys.orig_argv],
    "flags": str(sys.flags), "warnoptions": sys.warnoptions,
    "filters": [str(one) for one in warnings.filters],
    "modules": _modules, "main": sorted(vars(_main)), "main_spec": str(_main.__spec__),
    "cwd": os.path.basename(os.getcwd()), "environ": sorted(os.environ),
    "values": {name: os.environ.get(name) for name in ("TERM", "MPLBACKEND", "PAGER", "HOME")},
    "signals": {one.name: str(signal.getsignal(one)).split(" at ")[0] for one in signal.Signals},
    "masks": [line for line in _status if line.startswith(("SigBlk", "SigIgn", "SigCgt"))],
    "files": sorted(os.path.basename(one).split(":")[0] for one in _files
                    if "anon" not in one and not os.path.basename(one).isdigit()),
    "limits": [resource.getrlimit(n) for n in range(10)],
    "locale": [locale.getlocale(locale.LC_CTYPE), locale.getpreferredencoding()],
    "atexit": atexit._ncallbacks(),
    "threads": sorted(thread.name.split("-")[0] for thread in threading.enumerate()),
    "leads": [os.getpgid(0) == os.getpid(), os.getsid(0) == os.getpid()],
    "parent": os.environ["JPY_PARENT_PID"] == str(os.getppid()),
    "gc": [gc.get_threshold(), gc.isenabled()], "recursion": sys.getrecursionlimit(),
    "streams": [type(one).__name__ for one in (sys.stdin, sys.stdout, sys.stderr)],
    "tracing": [str(sys.gettrace()), str(sys.getprofile()), sys.getswitchinterval()],
    "magics": sorted(get_ipython().magics_manager.magics["line"]),
    "history": get_ipython().history_manager.hist_file,
}))
"""
RANDOM = "import random, numpy\nprint(random.random(), numpy.random.random(), hash('x') != 0)"
PLOT = """
import matplotlib, matplotlib.pyplot as plt
print(matplotlib.get_backend())
plt.plot([1, 3, 2])
plt.show()
"""
PROCESSES = """
import multiprocessing, os, subprocess, sys
def double(x): return 2 * x
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(double, [1, 2, 3]))
print(subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True, text=True).stdout)
"""


def write(project: Project, setting: str) -> Project:
    project.table(f"warm = {setting}")
    project.notebook("probe.ipynb", PROBE)
    project.notebook("random1.ipynb", RANDOM)
    project.notebook("random2.ipynb", RANDOM)
    project.notebook("plot.ipynb", PLOT)
    project.notebook("processes.ipynb", PROCESSES)
    project.commit()
    return project


@pytest.fixture(scope="module")
def warm(shared_project: Project) -> Ran:
    return write(shared_project, "true").pytest(**without_coverage())


@pytest.fixture(scope="module")
def cold(shared_project: Project, warm: Ran) -> Ran:
    return write(shared_project, "false").pytest(**without_coverage())


def outputs(folder: Path, notebook: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / notebook).read_text())["cells"][0]["outputs"]
    return found


@pytest.fixture(scope="module")
def folders(warm: Ran) -> list[Path]:
    return [warm.session_folder]


@pytest.fixture(scope="module")
def both(folders: list[Path], cold: Ran) -> tuple[Path, Path]:
    return folders[0], cold.session_folder


def test_a_notebook_cannot_tell_a_warm_kernel_from_a_cold_one(both: tuple[Path, Path]):
    seen = [json.loads(outputs(folder, "probe.ipynb")[0]["text"]) for folder in both]
    files = [Counter(one.pop("files")) for one in seen]
    assert seen[0] == seen[1]
    assert files[0] == files[1]


def test_kernels_draw_other_random_numbers(both: tuple[Path, Path]):
    first, second = (outputs(both[0], f"random{n}.ipynb")[0]["text"].split() for n in (1, 2))
    assert first[0] != second[0]
    assert first[1] != second[1]


def test_pictures_are_the_same(both: tuple[Path, Path]):
    (said, picture), (cold_said, cold_picture) = (outputs(one, "plot.ipynb") for one in both)
    assert said == cold_said
    assert picture["data"]["image/png"] == cold_picture["data"]["image/png"]


def test_processes_of_a_notebook_work(both: tuple[Path, Path]):
    texts = [outputs(folder, "processes.ipynb")[0]["text"] for folder in both]
    assert texts[0] == texts[1] == "[2, 4, 6]\n1\n\n"


def test_no_warning_is_recorded(folders: list[Path]):
    for path in folders[0].glob("*.ipynb.json"):
        assert json.loads(path.read_text())["warnings"] == []


def test_a_server_that_dies_costs_a_warning_and_no_verdict(project: Project):
    # The parent of a kernel is its guardian, whose parent is the server.
    kill = "import os, psutil\nos.kill(psutil.Process(os.getppid()).ppid(), 9)"
    project.notebook("a.ipynb", kill)
    project.notebook("b.ipynb", "1")
    project.notebook("c.ipynb", "1 / 0")
    project.commit()
    ran = project.pytest()
    assert ran.outcomes == {"passed": 2, "failed": 1}
    warnings = [ran.record(f"{name}.ipynb").warnings for name in "abc"]
    assert sum(map(len, warnings)) == 1
    assert "start cold from here on" in str(warnings)
    assert ran.record("c.ipynb").cause == "cell_error"


def test_a_module_of_the_repository_wins_over_a_library_of_its_name(project: Project):
    project.write("bs4.py", "whose = 'ours'\n")
    project.notebook("a.ipynb", "import bs4\nassert bs4.whose == 'ours'")
    project.commit()
    assert project.pytest().outcomes == {"passed": 1}


def test_a_warning_at_an_import_stays_the_notebooks(project: Project, tmp_path: Path):
    package = tmp_path / "site" / "networkx"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("import warnings\nwarnings.warn('old')\n")
    project.notebook("a.ipynb", "import networkx")
    project.commit()
    found = [str(package.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    ran = project.pytest(PYTHONPATH=os.pathsep.join(found))
    assert "UserWarning: old" in ran.text_of("a.ipynb")
    assert ran.record("a.ipynb").warnings == ()


def read(tmp_path: Path, *cells: str | Cell) -> Notebook:
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(notebook_json(cells)))
    return load(path, "a.ipynb")


def test_only_what_the_notebook_imports_itself_is_imported_ahead(tmp_path: Path):
    notebook = read(
        tmp_path,
        "%matplotlib inline\nimport numpy as np, os\nfrom matplotlib import pyplot as plt",
        "!pip list\nif False:\n    import scipy\ndef f():\n    import sklearn",
        "from . import pandas\nimport tensorflow, plotly",
        "import seaborn as (",
        Cell("import sympy", ("skip-execution",)),
    )
    expected = (("numpy", None), ("matplotlib", "pyplot"))
    assert modules_to_preload(notebook, ()) == expected
    assert modules_to_preload(notebook, {"numpy"}) == expected[1:]


LEFT_OPEN = """
import atexit, threading, time
import left
mine = open("mine.txt", "w")
mine.write("mine")
loop = [open("loop.txt", "w")]
loop[0].write("loop")
loop.append(loop)
class Ends:
    def __del__(self): open("deleted.txt", "w").write("deleted")
ends = Ends()
atexit.register(lambda: open("handler.txt", "w").write("handler"))
threading.Timer(0.3, lambda: open("thread.txt", "w").write("thread")).start()
"""


@pytest.mark.parametrize("is_warm", ["true", "false"])
def test_what_a_notebook_leaves_open_is_written_at_its_end(project: Project, is_warm: str):
    project.table(f"warm = {is_warm}")
    project.write("left.py", "file = open('module.txt', 'w')\nfile.write('module')\n")
    project.notebook("a.ipynb", LEFT_OPEN)
    names = ("mine", "loop", "deleted", "handler", "thread", "module")
    project.notebook(
        "b.ipynb",
        f"print([open(name + '.txt').read() for name in {names}])",
        metadata={"nbci": {"needs": ["a.ipynb"]}},
    )
    project.commit()
    ran = project.pytest()
    assert ran.outcomes == {"passed": 2}, ran.out
    assert ran.text_of("b.ipynb") == f"{list(names)}\n"


# What stands between imports decides on the later ones.
BETWEEN = {
    "attribute": ("import PIL", "assert not hasattr(PIL, 'Image')", "from PIL import Image"),
    "variable": (
        "import os\nos.environ['MPLBACKEND'] = 'svg'",
        "import matplotlib\nassert matplotlib.get_backend() == 'svg'",
    ),
    "path": (
        "import sys\nsys.path.insert(0, 'vendor')",
        "import networkx\nassert networkx.whose == 'ours'",
    ),
    "written": (
        "%%writefile unused.py\nfrom PIL import Image",
        "import PIL\nassert not hasattr(PIL, 'Image')",
    ),
    "installed": (
        "!mkdir -p new/bs4 && echo 'version = 2' > new/bs4/__init__.py",
        "import sys\nsys.path.insert(0, 'new')\nimport bs4\nassert bs4.version == 2",
    ),
}


@pytest.mark.parametrize("is_warm", ["true", "false"])
def test_an_import_is_made_where_it_stands(project: Project, is_warm: str):
    project.table(f"warm = {is_warm}")
    project.write("vendor/networkx.txt", "")
    project.write("vendor/.keep", "")
    for name, cells in BETWEEN.items():
        project.notebook(f"{name}.ipynb", *cells)
    project.write("conftest.py", VENDOR)
    project.commit()
    ran = project.pytest()
    assert ran.outcomes == {"passed": len(BETWEEN)}, ran.out


VENDOR = """
import pytest
from pytest_nbci import NotebookData

@pytest.fixture
def nbci_test_data(tmp_path):
    file = tmp_path / "networkx.py"
    file.write_text("whose = 'ours'")
    return NotebookData(files={"vendor/networkx.py": file})
"""


@pytest.mark.parametrize("is_warm", ["true", "false"])
def test_what_an_interpreter_reads_in_its_folder_is_read_there(project: Project, is_warm: str):
    project.table(f"warm = {is_warm}")
    project.write("src/mine.py", "x = 1\n")
    project.write("matplotlibrc", "lines.linewidth: 7\n")
    project.notebook("a.ipynb", "import mine")
    project.notebook(
        "b.ipynb", "import matplotlib\nassert matplotlib.rcParams['lines.linewidth'] == 7"
    )
    project.commit()
    paths = ["src", *filter(None, [os.environ.get("PYTHONPATH")])]
    ran = project.pytest(PYTHONPATH=os.pathsep.join(paths))
    assert ran.outcomes == {"passed": 2}, ran.out


FIXTURES = """
import multiprocessing, os, pytest, time

@pytest.fixture(autouse=True)
def child():
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(30,))
    process.start()
    yield
    process.kill()

@pytest.fixture(autouse=True, scope="session")
def mask():
    os.umask(0o077)
    os.nice(3)
"""


@pytest.mark.parametrize("is_warm", ["true", "false"])
def test_what_fixtures_do_to_the_process_holds_for_kernels(project: Project, is_warm: str):
    project.table(f"warm = {is_warm}")
    project.write("conftest.py", FIXTURES)
    seen = "import os\nprint(oct(os.umask(0)), os.getpriority(os.PRIO_PROCESS, 0) >= 3)"
    for name in "ab":
        project.notebook(f"{name}.ipynb", seen)
    project.commit()
    begun = time.monotonic()
    ran = project.pytest()
    assert ran.outcomes == {"passed": 2}, ran.out
    assert [ran.text_of(f"{name}.ipynb") for name in "ab"] == ["0o77 True\n"] * 2
    assert all(ran.record(f"{name}.ipynb").warnings == () for name in "ab")
    assert time.monotonic() - begun < 25  # it does not wait for the fixture's child


def test_a_library_that_is_not_installed_says_nothing_in_the_log(project: Project):
    project.notebook("a.ipynb", "import sympy_that_is_not\nimport sympy")
    project.notebook("b.ipynb", "import statsmodels")
    project.commit()
    ran = project.pytest()
    assert ran.outcomes == {"failed": 2}
    assert "Captured log" not in ran.out
