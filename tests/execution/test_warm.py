"""Warm kernels: the same to a notebook as cold ones, and never a reason for another verdict."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import pytest_nbci
from pytest_nbci.execution.preload import modules_to_preload
from pytest_nbci.execution.processes import MARK
from pytest_nbci.notebook import Notebook, load
from tests.project import Cell, Project, Ran, notebook_json, without_coverage
from tests.table.mutations import FIDELITY

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
    "threads": sorted(type(thread).__name__ for thread in threading.enumerate()),
    "leads": [os.getpgid(0) == os.getpid(), os.getsid(0) == os.getpid()],
    "parent": os.environ["JPY_PARENT_PID"] == str(os.getppid()),
    "gc": [gc.get_threshold(), gc.isenabled()], "recursion": sys.getrecursionlimit(),
    "streams": [type(one).__name__ for one in (sys.stdin, sys.stdout, sys.stderr)],
    "tracing": [str(sys.gettrace()), str(sys.getprofile()), sys.getswitchinterval()],
    "magics": sorted(get_ipython().magics_manager.magics["line"]),
    "history": get_ipython().history_manager.hist_file,
    "profile": [os.path.basename(get_ipython().ipython_dir), os.environ["IPYTHONDIR"][-10:]],
}))
"""
RANDOM = (
    "import random, numpy.random\nprint(random.random(), numpy.random.random(), hash('x') != 0)"
)
PLOT = """
import matplotlib, matplotlib.pyplot as plt
print(matplotlib.get_backend())
plt.plot([1, 3, 2])
plt.show()
"""
WARNS = """
import numpy
import sys, warnings
print(warnings.showwarning.__module__, sorted(sys.modules))
warnings.warn("seen")
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
    project.notebook("warns.ipynb", WARNS)
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


def test_modules_and_warnings_are_the_same_after_an_import(both: tuple[Path, Path]):
    said, cold_said = (
        [
            output["text"].partition(": ")[-1] or output["text"]
            for output in outputs(one, "warns.ipynb")
        ]
        for one in both
    )
    assert said == cold_said
    assert "UserWarning: seen" in said[-1]


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


SITE = """
import os, threading, time
if os.environ.get({mark!r}) == "server":
    threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
"""


def test_a_server_that_never_served_costs_a_warning_and_no_verdict(
    project: Project, tmp_path: Path
):
    """It ends with the first order unread: some tools start a thread in each process."""
    (tmp_path / "sitecustomize.py").write_text(SITE.format(mark=MARK))
    for name in "ab":
        project.notebook(f"{name}.ipynb", "1")
    project.commit()
    ran = project.pytest(PYTHONPATH=path_of(tmp_path))
    assert ran.outcomes == {"passed": 2}, ran.out
    warnings = [ran.record(f"{name}.ipynb").warnings for name in "ab"]
    assert sum(map(len, warnings)) == 1
    assert "start cold from here on" in str(warnings)


def test_a_module_of_the_repository_wins_over_a_library_of_its_name(project: Project):
    project.write("PIL.py", "whose = 'ours'\n")
    project.notebook("a.ipynb", "import PIL\nassert PIL.whose == 'ours'")
    project.commit()
    assert project.pytest().outcomes == {"passed": 1}


# What an import does, and what each notebook must find that makes it.
AT_IMPORT = {
    "warning": ("import warnings\nwarnings.warn('old')", "print('nothing else')"),
    "thread": (
        "import threading\nthread = threading.Timer(100, print)\nthread.daemon = True\nthread.start()",
        "assert networkx.thread.is_alive() and networkx.thread in threading.enumerate()",
    ),
    "variable": (
        "import os\nos.environ['NETWORKX_PROCESS'] = str(os.getpid())",
        "assert os.environ['NETWORKX_PROCESS'] == str(os.getpid())",
    ),
}


@pytest.mark.parametrize("effect", AT_IMPORT)
def test_what_an_import_does_besides_is_done_in_the_notebook(
    project: Project, tmp_path: Path, effect: str
):
    code, check = AT_IMPORT[effect]
    package = tmp_path / "site" / "networkx"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(code)
    for name in "ab":
        project.notebook(f"{name}.ipynb", "import networkx", f"import os, threading\n{check}")
    project.commit()
    ran = project.pytest(PYTHONPATH=path_of(package.parent))
    assert ran.outcomes == {"passed": 2}, ran.out
    for name in "ab":
        assert ("UserWarning: old" in ran.text_of(f"{name}.ipynb")) is (effect == "warning")
        assert ran.record(f"{name}.ipynb").warnings == ()


def path_of(*folders: Path) -> str:
    """PYTHONPATH with these folders before those that it has."""
    return os.pathsep.join([*map(str, folders), *filter(None, [os.environ.get("PYTHONPATH")])])


def read(tmp_path: Path, *cells: str | Cell) -> Notebook:
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(notebook_json(cells)))
    return load(path, "a.ipynb")


NUMPY, SCIPY, PYPLOT = ("numpy", None), ("scipy", None), ("matplotlib", "pyplot")
AHEAD: dict[str, tuple[tuple[str | Cell, ...], tuple[object, ...]]] = {
    "all": (
        (
            "%matplotlib inline\nimport numpy as np, os\nfrom matplotlib import pyplot",
            "import scipy",
        ),
        (NUMPY, PYPLOT, SCIPY),
    ),
    "constants": (('"""A report."""\nn = 3\nimport numpy', "import scipy"), (NUMPY, SCIPY)),
    "call": (("import numpy\nn = f()\nimport pandas", "import scipy"), (NUMPY,)),
    "magic": (("import numpy\n%pip install x\nimport pandas", "import scipy"), (NUMPY,)),
    "shell": (("!pip list\nimport pandas", "import scipy"), ()),
    "conditional": (("import numpy\nif x:\n    import pandas", "import scipy"), (NUMPY,)),
    "function": (("def f():\n    import pandas", "import scipy"), ()),
    "broken": (("import pandas as (", "import scipy"), ()),
    "relative": (("from . import pandas\nfrom .sklearn import svm\nimport numpy",), (NUMPY,)),
    "unknown": (("import tensorflow, plotly, numpy",), (NUMPY,)),
    "skipped": ((Cell("import sympy\nf()", ("skip-execution",)), "import scipy"), (SCIPY,)),
    "text": ((Cell("import sympy", kind="markdown"), "import scipy"), (SCIPY,)),
}


@pytest.mark.parametrize("name", AHEAD)
def test_only_what_the_notebook_imports_first_is_imported_ahead(tmp_path: Path, name: str):
    cells, expected = AHEAD[name]
    assert modules_to_preload(read(tmp_path, *cells), ()) == expected


def test_what_the_repository_may_have_itself_is_not_imported_ahead(tmp_path: Path):
    notebook = read(tmp_path, "import numpy, seaborn\nfrom matplotlib import pyplot")
    assert modules_to_preload(notebook, {"numpy"}) == (("seaborn", None), PYPLOT)
    assert modules_to_preload(notebook, {"matplotlibrc"}) == (NUMPY,)


LEFT_OPEN = """
import atexit, os, sys, threading, time
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
os.dup2(os.open("stdout.txt", os.O_WRONLY | os.O_CREAT), 1)
sys.__stdout__.write("stdout")
threading.Timer(0.3, lambda: open("thread.txt", "w").write("thread")).start()
"""


@pytest.mark.parametrize("is_warm", ["true", "false"])
def test_what_a_notebook_leaves_open_is_written_at_its_end(project: Project, is_warm: str):
    project.table(f"warm = {is_warm}")
    project.write("left.py", "file = open('module.txt', 'w')\nfile.write('module')\n")
    project.notebook("a.ipynb", LEFT_OPEN)
    names = ("mine", "loop", "deleted", "handler", "thread", "module", "stdout")
    project.notebook(
        "b.ipynb",
        f"print([open(name + '.txt').read() for name in {names}])",
        metadata={"nbci": {"needs": ["a.ipynb"]}},
    )
    project.commit()
    ran = project.pytest(PYTHONUNBUFFERED="")
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
    project.notebook("a.ipynb", "import mine")
    project.commit()
    ran = project.pytest(PYTHONPATH=path_of(Path("src")))
    assert ran.outcomes == {"passed": 1}, ran.out


@pytest.mark.parametrize("is_warm", ["true", "false"])
def test_matplotlib_reads_the_settings_beside_the_notebook(project: Project, is_warm: str):
    project.table(f"warm = {is_warm}")
    project.write("matplotlibrc", "lines.linewidth: 7\n")
    project.notebook(
        "a.ipynb", "import matplotlib\nassert matplotlib.rcParams['lines.linewidth'] == 7"
    )
    project.commit()
    ran = project.pytest()
    assert ran.outcomes == {"passed": 1}, ran.out


@pytest.mark.parametrize("is_warm", ["true", "false"])
def test_a_startup_file_runs_where_the_notebook_does(
    project: Project, tmp_path: Path, is_warm: str
):
    project.table(f"warm = {is_warm}")
    startup = tmp_path / "startup.py"
    startup.write_text("import os\nwhere = os.getcwd()\n")
    project.notebook("a.ipynb", "import os\nassert where == os.getcwd()")
    project.commit()
    ran = project.pytest(PYTHONSTARTUP=str(startup))
    assert ran.outcomes == {"passed": 1}, ran.out


@pytest.mark.parametrize("is_warm", ["true", "false"])
def test_a_folder_of_modules_may_come_after_the_servers(
    project: Project, tmp_path: Path, is_warm: str
):
    project.table(f"warm = {is_warm}")
    later = tmp_path / "later"
    project.write("conftest.py", LATER.format(folder=str(later)))
    project.notebook("a.ipynb", "import fresh")
    project.commit()
    ran = project.pytest(PYTHONPATH=path_of(later))
    assert ran.outcomes == {"passed": 1}, ran.out


LATER = """
import pathlib, pytest

@pytest.fixture(autouse=True)
def later():
    folder = pathlib.Path({folder!r})
    folder.mkdir()
    (folder / "fresh.py").write_text("")
"""


CHANGES = """
import os, pytest, resource, shutil

@pytest.fixture(autouse=True)
def change(request):
    if "b.ipynb" in request.node.nodeid:
        {change}
"""
# What a fixture of the second notebook changes, how its kernel sees it, and what it then sees.
SURROUNDINGS = {
    "umask": ("os.umask(0o077)", "oct(os.umask(0))", "0o77"),
    "priority": ("os.nice(3)", "os.getpriority(os.PRIO_PROCESS, 0) >= 3", "True"),
    "limit": (
        "resource.setrlimit(resource.RLIMIT_NOFILE, (777, 777))",
        "resource.getrlimit(resource.RLIMIT_NOFILE)[1]",
        "777",
    ),
    "processors": (
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})",
        "len(os.sched_getaffinity(0))",
        "1",
    ),
    "variable": ("os.environ['WHICH'] = 'second'", "networkx.which", "second"),
    "package": ("shutil.move(FOLDER + 'new', FOLDER + 'networkx')", "networkx.version", "2"),
}


@pytest.mark.parametrize("is_warm", ["true", "false"])
@pytest.mark.parametrize("changed", SURROUNDINGS)
def test_what_a_fixture_changes_holds_for_its_kernel(
    project: Project, tmp_path: Path, changed: str, is_warm: str
):
    change, seen, expected = SURROUNDINGS[changed]
    project.table(f"warm = {is_warm}")
    site = tmp_path / "site-packages"
    for name, version in (("networkx", 1), ("new", 2)):
        (site / name).mkdir(parents=True)
        text = f"import os\nversion = {version}\nwhich = os.environ.get('WHICH')\n"
        (site / name / "__init__.py").write_text(text)
    if changed == "package":
        change = f"shutil.rmtree(FOLDER + 'networkx')\n        {change}"
    change = change.replace("FOLDER", repr(f"{site}/"))
    project.write("conftest.py", CHANGES.format(change=change))
    for name in "ab":
        project.notebook(f"{name}.ipynb", "import networkx", f"import os, resource\nprint({seen})")
    project.commit()
    ran = project.pytest(PYTHONPATH=path_of(site))
    assert ran.outcomes == {"passed": 2}, ran.out
    assert ran.text_of("b.ipynb") == f"{expected}\n"
    assert ran.text_of("a.ipynb") != f"{expected}\n" or changed in {"processors", "priority"}
    assert all(ran.record(f"{name}.ipynb").warnings == () for name in "ab")


@pytest.mark.parametrize("arguments", [(), ("-n", "1")], ids=["serial", "xdist"])
def test_what_a_conftest_sets_while_pytest_collects_holds_for_kernels(
    project: Project, arguments: tuple[str, ...]
):
    project.write("conftest.py", "import os\nos.environ['WHICH'] = 'collected'\n")
    project.notebook("a.ipynb", "import os\nprint(os.environ['WHICH'])")
    project.commit()
    ran = project.pytest(*arguments)
    assert ran.outcomes == {"passed": 1}, ran.out
    assert ran.text_of("a.ipynb") == "collected\n"
    assert ran.record("a.ipynb").warnings == ()


@pytest.mark.parametrize("arguments", [(), ("-n", "1")], ids=["serial", "xdist"])
def test_a_path_that_a_conftest_sets_when_the_session_starts_leads_into_the_checkout(
    project: Project, arguments: tuple[str, ...]
):
    project.write("src/mine.py", "")
    project.write(
        "conftest.py",
        "import os, pathlib\n"
        "def pytest_sessionstart():\n"
        "    os.environ['PYTHONPATH'] = str(pathlib.Path(__file__).with_name('src'))\n",
    )
    project.notebook("a.ipynb", "import mine\nprint(mine.__file__)")
    project.commit()
    ran = project.pytest(*arguments)
    assert ran.outcomes == {"passed": 1}, ran.out
    assert not ran.text_of("a.ipynb").startswith(str(project.root))
    assert ran.text_of("a.ipynb").endswith("/src/mine.py\n")


FIXTURES = """
import multiprocessing, pytest, time

@pytest.fixture(autouse=True)
def child():
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(30,))
    process.start()
    yield
    process.kill()
"""


@pytest.mark.parametrize("is_warm", ["true", "false"])
def test_a_process_that_a_fixture_forks_holds_nothing_up(project: Project, is_warm: str):
    project.table(f"warm = {is_warm}")
    project.write("conftest.py", FIXTURES)
    for name in "ab":
        project.notebook(f"{name}.ipynb", "1")
    project.commit()
    begun = time.monotonic()
    ran = project.pytest()
    assert ran.outcomes == {"passed": 2}, ran.out
    assert all(ran.record(f"{name}.ipynb").warnings == () for name in "ab")
    assert time.monotonic() - begun < 25  # it does not wait for the fixture's child


FORKS = """
import os, signal

def test_forks():
    processes = []
    for _ in range(20):
        process = os.fork()
        if process == 0:
            signal.alarm(20)
            import pytest_nbci.pages.page
            os._exit(0)
        processes.append(process)
    assert not any(os.waitpid(process, 0)[1] for process in processes)
"""


def test_a_process_that_a_test_forks_can_import_what_pages_need(project: Project):
    project.write("test_forks.py", FORKS)
    project.notebook("z.ipynb", "1")
    project.commit()
    ran = project.pytest()
    assert ran.outcomes == {"passed": 2}, ran.out


def test_a_library_that_is_not_installed_says_nothing_in_the_log(project: Project):
    project.notebook("a.ipynb", "import sympy_that_is_not\nimport sympy")
    project.notebook("b.ipynb", "import statsmodels")
    project.commit()
    ran = project.pytest()
    assert ran.outcomes == {"failed": 2}
    assert "Captured log" not in ran.out


@pytest.mark.parametrize("is_warm", ["true", "false"])
@pytest.mark.parametrize("safe_path", ["", "1"])
def test_a_path_that_a_fixture_sets_leads_into_the_checkout(
    project: Project, is_warm: str, safe_path: str
):
    project.table(f"warm = {is_warm}")
    project.write("src/mine.py", "")
    project.write(
        "conftest.py",
        "import os, pathlib, pytest\n"
        "@pytest.fixture(scope='session', autouse=True)\n"
        "def path():\n"
        "    os.environ['PYTHONPATH'] = str(pathlib.Path(__file__).with_name('src'))\n",
    )
    project.notebook("a.ipynb", "import mine\nprint(mine.__file__)")
    project.commit()
    ran = project.pytest(PYTHONSAFEPATH=safe_path)
    assert ran.outcomes == {"passed": 1}, ran.out
    assert not ran.text_of("a.ipynb").startswith(str(project.root))
    assert ran.text_of("a.ipynb").endswith("/src/mine.py\n")


DAEMON = """
import os, time

def test_that_leaves_a_process():
    if os.fork() == 0:
        os.setsid()
        for number in range(3):
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
        time.sleep(20)
        os._exit(0)
"""


def test_a_process_that_a_test_leaves_keeps_no_server_alive(project: Project):
    project.write("test_z.py", DAEMON)
    for name in "ab":
        project.notebook(f"{name}.ipynb", "import numpy")
    project.commit()
    ran = project.pytest("a.ipynb", "b.ipynb", "test_z.py")
    assert ran.outcomes == {"passed": 3}, ran.out
    assert not warm_servers(project)


def warm_servers(project: Project) -> list[str]:
    """Command lines of servers that still run in an environment of this project's session."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_text().replace("\0", " ")
            environment = (folder / "environ").read_text()
        except OSError:
            continue
        if "warm_server.py" in line and str(project.root) in environment:
            found.append(line)
    return found


def test_many_open_files_are_no_hindrance(project: Project):
    project.write(
        "conftest.py",
        "import os, resource\n"
        "soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 3_000), hard))\n"
        "KEPT = [os.open(os.devnull, os.O_RDONLY) for _ in range(1_100)]\n",
    )
    project.notebook("a.ipynb", "1")
    project.commit()
    ran = project.pytest()
    assert ran.outcomes == {"passed": 1}, ran.out


def test_a_guardian_that_its_notebook_stops_does_not_stay(project: Project):
    project.notebook("a.ipynb", "import os, signal\nos.kill(os.getppid(), signal.SIGSTOP)")
    project.notebook("b.ipynb", "1")
    project.commit()
    ran = project.pytest()
    assert ran.outcomes == {"passed": 2}, ran.out
    assert not warm_servers(project)


@pytest.mark.parametrize("cure", FIDELITY)
def test_every_cure_is_a_line_that_is_there(cure: str):
    """``make soak`` removes them one by one, and each time a test here turns red."""
    mutation = FIDELITY[cure]
    lines = (Path(pytest_nbci.__file__).parent / mutation.file).read_text().splitlines()
    assert mutation.line in lines
    assert mutation.instead != mutation.line
