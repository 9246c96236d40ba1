"""Why a cell failed, where the error tells more than itself: cause, half a sentence, cure.

What breaks committed notebooks most is a changed library, a module nobody wrote down, data that
was never committed, and cells run out of order; each has a cure of its own. What is not one of
these is a plain ``cell_error``.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from pytest_nbci.notebook import SKIP_EXECUTION, Notebook, tags
from pytest_nbci.records import Failure


@dataclass(frozen=True)
class Diagnosis:
    """A cause of the design, what the message adds to the error, and the cure."""

    cause: str
    addition: str
    cure: str


@dataclass(frozen=True)
class Place:
    """Where a notebook ran.

    Attributes:
        checkout: Top of the private checkout; what lies below it is the reader's own code.
        folder: The notebook's folder in it, the kernel's working folder.
        users_top: Top of the user's working tree.
        prefix: The project root relative to a top ("" or ending in "/").
    """

    checkout: Path
    folder: Path
    users_top: Path
    prefix: str = ""


@dataclass(frozen=True)
class Scene:
    """Where the error happened.

    Attributes:
        notebook: The notebook as it was read.
        failure: The error.
        cell_id: The failed cell.
        place: Where it ran.
        owner: Module that the object of an AttributeError belongs to, where the kernel said it.
        traceback: The whole traceback as plain text.
    """

    notebook: Notebook
    failure: Failure
    cell_id: str
    place: Place
    owner: str
    traceback: str


PLAIN = Diagnosis(
    "cell_error", "", "Run the notebook from a restarted kernel, mend that cell, commit it."
)


def diagnose(scene: Scene) -> Diagnosis:
    """The most telling diagnosis; ``PLAIN`` where none fits."""
    for look in _LOOKS:
        found = look(scene)
        if found is not None:
            return found
    return PLAIN


_MODULE = re.compile(r"No module named '([\w.]+)'")
# Import names that differ from the name to install, among those data scientists use most.
_PACKAGES = {
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "fitz": "pymupdf",
    "PIL": "pillow",
    "psycopg2": "psycopg2-binary",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "umap": "umap-learn",
    "yaml": "pyyaml",
}


def _missing_module(scene: Scene) -> Diagnosis | None:
    match = _MODULE.search(scene.failure.value)
    if scene.failure.name not in ("ModuleNotFoundError", "ImportError") or match is None:
        return None
    module = match[1]
    top = module.partition(".")[0]
    if module != top and _installed(top):
        return _changed(scene, top)
    uncommitted = _uncommitted_module(scene, top)
    if uncommitted:
        return Diagnosis(
            "missing_module",
            f", which is not in git ({uncommitted})",
            f"Commit it: git add {uncommitted}.",
        )
    package = _PACKAGES.get(top, top)
    return Diagnosis(
        "missing_module",
        "",
        f"Add {package} to the requirements that the environment is built from "
        f"(pip install {package} to try); if {top} is your own code, commit it.",
    )


def _uncommitted_module(scene: Scene, module: str) -> str | None:
    """A file or folder of that name in the user's tree that the checkout lacks."""
    beside = scene.place.users_top / scene.place.folder.relative_to(scene.place.checkout)
    for folder in (beside, scene.place.users_top, scene.place.users_top / "src"):
        for name in (f"{module}.py", f"{module}/__init__.py"):
            path = folder / name
            relative = path.relative_to(scene.place.users_top)
            if path.is_file() and not (scene.place.checkout / relative).exists():
                return relative.as_posix()
    return None


_NO_SUCH_FILE = re.compile(r"No such file or directory: b?(['\"])(.+?)\1")
_OTHER_NO_SUCH_FILE = re.compile(
    r"(?:Unable to (?:synchronously )?open file|does not exist|No such file)[^'\"]*(['\"])(.+?)\1"
)
_DATA_ERRORS = ("FileNotFoundError", "OSError", "IOException", "IsADirectoryError", "ArrowIOError")


def _missing_data(scene: Scene) -> Diagnosis | None:
    if scene.failure.name not in _DATA_ERRORS:
        return None
    value = scene.failure.value
    match = _NO_SUCH_FILE.search(value) or _OTHER_NO_SUCH_FILE.search(value)
    if match is None:
        return None
    name = match[2]
    if _is_being_written(scene):
        folder = Path(name).parent.as_posix()
        return Diagnosis(
            "cell_error",
            f" (there is no folder {folder} here: git keeps no empty folders)",
            f"Create it in the notebook: Path({folder!r}).mkdir(parents=True, exist_ok=True).",
        )
    if (
        re.search(r"subprocess\.py:\d+, in Popen", scene.traceback)
        and "/" not in name
        and not shutil.which(name)
    ):
        return Diagnosis(
            "cell_error",
            f" (the program {name} is not installed)",
            f"Install {name} in the environment that runs the notebooks.",
        )
    return _missing_file(scene, Path(name))


_WRITES = re.compile(
    r"open\([^)\n]*['\"][wax]b?\+?['\"]|\.to_\w+\(|savefig\(|\.write_\w+\(|\.save\w*\(|\.dump\("
)


def _is_being_written(scene: Scene) -> bool:
    """Whether the line that failed writes: then its folder is missing, not its data."""
    frames = scene.failure.frames
    return bool(frames) and _WRITES.search(frames[-1].source) is not None


def _missing_file(scene: Scene, path: Path) -> Diagnosis:
    if path.is_absolute() and not path.is_relative_to(scene.place.checkout):
        return Diagnosis(
            "missing_data",
            ", a path of one machine",
            "Use a path relative to the notebook, and lay a small file there by test data "
            "([tool.nbci.data.test] or the fixture nbci_test_data).",
        )
    inside = Path(os.path.normpath(scene.place.folder / path))
    if not inside.is_relative_to(scene.place.checkout):
        return Diagnosis(
            "missing_data",
            ", which leads outside the repository",
            "Keep the data inside the repository, and lay a small file there by test data.",
        )
    relative = inside.relative_to(scene.place.checkout).as_posix()
    on_this_machine = (scene.place.users_top / relative).exists()
    relative = relative.removeprefix(scene.place.prefix)
    if on_this_machine:
        return Diagnosis(
            "missing_data",
            f"; {relative} is on your machine but not in git",
            f"Commit it (git add {relative}), or lay a small one there by test data.",
        )
    return Diagnosis(
        "missing_data",
        f"; {relative} is in no commit and not among the test data",
        f"Lay a small {relative} there by test data ([tool.nbci.data.test] or the fixture "
        "nbci_test_data), or commit it.",
    )


_NOT_DEFINED = re.compile(r"name '(\w+)' is not defined")


def _hidden_order(scene: Scene) -> Diagnosis | None:
    match = _NOT_DEFINED.search(scene.failure.value)
    if scene.failure.name not in ("NameError", "UnboundLocalError") or match is None:
        return None
    name, numbers = match[1], scene.notebook.numbers
    failed = numbers.get(scene.cell_id, 0)
    frames = scene.failure.frames
    if failed == 0 or (frames and not frames[-1].file.startswith("cell ")):
        return None  # in the parameters, or in a module of the repository
    definers = [
        cell
        for cell in scene.notebook.content["cells"]
        if cell["id"] in numbers and name in set(_defined(cell["source"]))
    ]
    if any(numbers[c["id"]] <= failed and SKIP_EXECUTION not in tags(c) for c in definers):
        return None  # deleted again, or in a branch that was not taken
    if not definers:
        return Diagnosis(
            "hidden_order",
            "; no cell defines it",
            f"A deleted or edited cell once defined {name}: restart and run all, mend, commit.",
        )
    number = numbers[definers[0]["id"]]
    if number <= failed:
        return Diagnosis(
            "hidden_order",
            f"; only cell {number} defines it, which is tagged skip-execution",
            f"Define {name} in a cell that runs, or tag this cell too.",
        )
    return Diagnosis(
        "hidden_order",
        f"; only cell {number}, further down, defines it",
        f"Move what defines {name} above this cell, restart and run all, commit.",
    )


def _defined(source: str) -> Iterator[str]:
    """Names that a cell binds, in its own and nested blocks, functions and classes apart."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        yield from re.findall(
            r"^\s*(?:import\s+|def\s+|class\s+)?(\w+)\s*(?:=[^=]|\()", source, re.MULTILINE
        )
        return
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        pending += ast.iter_child_nodes(node)


_NO_ATTRIBUTE = re.compile(r"module '([\w.]+)' has no attribute '(\w+)'")
_NO_NAME = re.compile(
    r"cannot import name '(\w+)' from (?:partially initialized module )?'([\w.]+)'"
)
_UNEXPECTED = re.compile(r"([\w.]+)\(\) got an unexpected keyword argument '\w+'")
_NO_MEMBER = re.compile(r"has no attribute '(\w+)'")
_LIBRARY_FRAME = re.compile(r"site-packages/(\w+)")


def _changed_library(scene: Scene) -> Diagnosis | None:
    name, value = scene.failure.name, scene.failure.value
    if name == "AttributeError":
        if match := _NO_ATTRIBUTE.search(value):
            return _changed(scene, match[1].partition(".")[0])
        return _changed(scene, scene.owner.partition(".")[0]) if _is_api(scene, value) else None
    if name == "ImportError" and (match := _NO_NAME.search(value)):
        return _changed(scene, match[2].partition(".")[0])
    if name == "TypeError" and (match := _UNEXPECTED.search(value)):
        frames = _LIBRARY_FRAME.findall(scene.traceback)
        if match[1].rpartition(".")[2] in _own_names(scene):
            return None
        return _changed(scene, frames[-1] if frames else scene.owner.partition(".")[0])
    return None


def _is_api(scene: Scene, value: str) -> bool:
    """Whether a missing attribute was called or looked up as a library's method would be.

    A column of a table, and what a model has only after fit (its name ends in "_"), are data.
    """
    match = _NO_MEMBER.search(value)
    if match is None or match[1].endswith("_"):
        return False
    source = next(
        (cell["source"] for cell in scene.notebook.content["cells"] if cell["id"] == scene.cell_id),
        "",
    )
    return re.search(rf"\.{match[1]}\s*\(", source) is not None


def _own_names(scene: Scene) -> set[str]:
    """Functions and classes that the notebook's cells define."""
    cells = scene.notebook.content["cells"]
    return {
        name for cell in cells if cell["cell_type"] == "code" for name in _defined(cell["source"])
    }


def _changed(scene: Scene, module: str) -> Diagnosis | None:
    """A diagnosis if ``module`` comes from an installed distribution, not from the repository."""
    found = _distributions().get(module, [])
    spec = importlib.util.find_spec(module) if found else None
    origin = Path((spec.origin if spec else None) or "/")
    own = origin.is_relative_to(scene.place.users_top) and not origin.is_relative_to(sys.prefix)
    if spec is None or own or module in ("IPython", "ipykernel"):
        return None
    version = metadata.version(found[0])
    return Diagnosis(
        "changed_library",
        f" ({found[0]} {version} is installed here)",
        f"Adapt the cell to {found[0]} {version}, or pin the version it was written for in the "
        "requirements.",
    )


@lru_cache(maxsize=1)
def _distributions() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


_SERVICE = re.compile(
    r"Connection ?Refused|Connection refused|Max retries exceeded|NewConnectionError"
    r"|Name or service not known|Temporary failure in name resolution|No route to host"
    r"|Network is unreachable|nodename nor servname|could not connect to server"
    r"|Could not connect to the endpoint|Connection to .* failed"
    r"|Failed to establish a new connection"
    r"|timed out.*connect|connect.*timed out|ServerSelectionTimeout",
    re.IGNORECASE,
)
# Words alone ("Max retries exceeded") may be anybody's; an address or a network error goes with
# them where they are a server's.
_NETWORK = re.compile(
    r"https?://|host=|port \d+|:\d{2,5}\b|Errno|urlopen|^\w*(?:Connection|Connect|Network|Endpoint"
    r"|Operational|ServerSelection|Redis)\w*:"
)
_ADDRESS: tuple[re.Pattern[str], ...] = (
    re.compile(r"host=['\"]?([\w.-]+)['\"]?,? *port=['\"]?(\d+)"),
    re.compile(r"https?://([\w.-]+)(?::(\d+))?"),
    re.compile(r"(?:at|to server at) \"?([\w.-]+)\"?.*?port (\d+)"),
)


def _service_unavailable(scene: Scene) -> Diagnosis | None:
    said = f"{scene.failure.name}: {scene.failure.value}"
    is_refusal = scene.failure.name in ("ConnectionRefusedError", "gaierror", "ConnectTimeout")
    if not is_refusal and not (_SERVICE.search(said) and _NETWORK.search(said)):
        return None
    match = next((found for kind in _ADDRESS if (found := kind.search(said))), None)
    address = ":".join(filter(None, match.groups())) if match is not None else ""
    return Diagnosis(
        "service_unavailable",
        f"; a server that the notebook needs{f' ({address})' if address else ''} did not answer",
        "Start it where the notebooks run, correct its address, or put its answer into test data.",
    )


_LOOKS: tuple[Callable[[Scene], Diagnosis | None], ...] = (
    _service_unavailable,
    _missing_module,
    _missing_data,
    _hidden_order,
    _changed_library,
)
