"""Who runs which notebooks in speed.py, and what was promised of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
LIBRARIES = ("ipykernel", "numpy", "pandas", "matplotlib")
TRIVIAL = ("x = 1", *("x += 1\nprint(x)",) * 4)
TYPICAL = (
    "import numpy as np\nimport pandas as pd\nimport matplotlib.pyplot as plt",
    "df = pd.DataFrame({'x': np.arange(100), 'y': np.random.default_rng(1).normal(size=100)})",
    "df.describe()",
    "df.plot(x='x', y='y')\nplt.show()",
    "float(df.y.mean())",
)
Command = Callable[[Path, Sequence[str]], list[str]]


def each(program: str, suffix: str, *options: str) -> Command:
    """One process a notebook, one after the other, by one shell."""

    def command(folder: Path, names: Sequence[str]) -> list[str]:
        start = str(folder / program)
        lines = [" ".join([start, Path(name).stem + suffix, *options]) for name in names]
        return ["sh", "-ec", "\n".join(lines)]

    return command


def script(code: str) -> Command:
    """One process for all notebooks."""
    return lambda folder, names: [str(folder / "python"), "-c", code, *names]


def pytest_with(*options: str) -> Command:
    """Pytest on the folder."""
    plain = ["-m", "pytest", "-q", "-p", "no:cacheprovider"]
    return lambda folder, _: [str(folder / "python"), *plain, *options]


PAPERMILL_API = """
import sys, papermill
from pathlib import Path
for path in sys.argv[1:]:
    papermill.execute_notebook(path, path + '.out', cwd=Path(path).parent, progress_bar=False)
"""
NBCLIENT_API = """
import sys, nbformat
from nbclient import NotebookClient
for path in sys.argv[1:]:
    nb = nbformat.read(path, 4)
    NotebookClient(nb, timeout=600).execute()
    nbformat.write(nb, path + '.out')
"""


@dataclass(frozen=True)
class Tool:
    """A way to run notebooks.

    Attributes:
        packages: What is installed into its environment ``venv``, beside what the notebooks need;
            the first has its version told.
        command: Gives its command for the environment's programs and the notebooks.
        configuration: Its part of pyproject.toml.
        only: Names of the sets that it runs; empty for all but the examples.
        is_parallel: Whether ``-n 2`` makes it run two notebooks at a time.
        keeps_folder: Whether each round finds what the one before left.
    """

    name: str
    venv: str
    packages: tuple[str, ...]
    command: Command
    configuration: str = ""
    only: tuple[str, ...] = ()
    is_parallel: bool = False
    keeps_folder: bool = False


@dataclass(frozen=True)
class Set:
    """Notebooks to run: ``count`` times these cells, or the examples of this repository.

    The examples need more packages, which would slow imports of the others (pandas looks for some).
    Where ``tools`` are named, only these take turns.
    """

    name: str
    count: int
    cells: tuple[str, ...]
    requirements: tuple[str, ...] = LIBRARIES
    suffix: str = ""
    tools: tuple[str, ...] = ()


OURS, COLD, PUBLISHING = "pytest-nbci", "pytest-nbci (warm = false)", "pytest-nbci (--nbci)"
NBMAKE, PAPERMILL_CLI, SCRIPT = "nbmake", "papermill CLI", "python script.py"
SETS = (
    Set("trivial x10", 10, TRIVIAL),
    # A notebook costs the others what it does among ten, and a round of all takes 13 minutes.
    Set("trivial x100", 100, TRIVIAL, tools=(OURS, NBMAKE, SCRIPT)),
    Set("typical x10", 10, TYPICAL),
    Set("examples", 0, (), ("-r", str(ROOT / "examples" / "requirements.txt")), "-examples"),
)
GENERATED = tuple(one.name for one in SETS if one.cells)
ALL = tuple(one.name for one in SETS)
OUR_PACKAGES = ("pytest-nbci", "pytest-xdist")
NO_DIFF = 'nb_diff_ignore = ["/cells/*/outputs", "/cells/*/execution_count", "/metadata"]\n'
TOOLS = (
    Tool(OURS, OURS, OUR_PACKAGES, pytest_with(), "[tool.nbci]\n", ALL, is_parallel=True),
    Tool(COLD, OURS, OUR_PACKAGES, pytest_with(), "[tool.nbci]\nwarm = false\n", ALL),
    Tool(
        PUBLISHING,
        OURS,
        OUR_PACKAGES,
        pytest_with("--nbci"),
        "[tool.nbci]\n",
        ("trivial x10",),
        keeps_folder=True,
    ),
    Tool(
        NBMAKE,
        "nbmake",
        ("nbmake", "pytest-xdist"),
        pytest_with("--nbmake"),
        only=ALL,
        is_parallel=True,
    ),
    Tool("nbval (lax)", "nbval", ("nbval",), pytest_with("--nbval-lax")),
    Tool(
        "treon",
        "treon",
        ("treon",),
        lambda folder, _: [str(folder / "treon"), "--threads=1"],
    ),
    Tool(
        "pytest-notebook",
        "pytest-notebook",
        ("pytest-notebook",),
        pytest_with("--nb-test-files"),
        NO_DIFF,
    ),
    Tool(
        PAPERMILL_CLI,
        "papermill",
        ("papermill",),
        each("papermill", ".ipynb", "out.ipynb", "--no-progress-bar"),
    ),
    Tool("papermill API", "papermill", ("papermill",), script(PAPERMILL_API), only=ALL),
    Tool("nbclient API", "nbclient", ("nbclient",), script(NBCLIENT_API)),
    Tool(SCRIPT, "script", (), each("python", ".py")),
)


@dataclass(frozen=True)
class Bound:
    """What was promised: in this set ours takes at most 1/``times`` of what another takes."""

    set: str
    options: str
    ours: str
    theirs: str
    times: float


BOUNDS = (
    Bound("trivial x10", "", OURS, NBMAKE, 6),
    Bound("trivial x10", "", OURS, PAPERMILL_CLI, 12),
    Bound("trivial x100", "", OURS, NBMAKE, 10),
    Bound("typical x10", "", OURS, NBMAKE, 3),
    Bound("typical x10", "", OURS, SCRIPT, 1),
    Bound("trivial x100", "-n 2", OURS, NBMAKE, 5),
    Bound("typical x10", "-n 2", OURS, NBMAKE, 2),
    Bound("trivial x10", "", PUBLISHING, NBMAKE, 3),
)
SLOPE_BOUND_S = 0.08
