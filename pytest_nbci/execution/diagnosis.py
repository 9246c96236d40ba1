"""Why a cell failed, where the error tells more than itself: cause, half a sentence, cure.

What breaks committed notebooks most is a changed library, a module nobody wrote down, data that
was never committed, and cells run out of order; each has a cure of its own. What is not one of
these is a plain ``cell_error``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from pytest_nbci.execution.cures import known_cure
from pytest_nbci.execution.library import changed_library
from pytest_nbci.execution.missing import missing_data, missing_in_shell, missing_module
from pytest_nbci.execution.scene import Diagnosis, Scene
from pytest_nbci.notebook import SKIP_EXECUTION, tags

PLAIN = Diagnosis(
    "cell_error", "", "Run the notebook from a restarted kernel, mend that cell, commit it."
)


def diagnose(scene: Scene) -> Diagnosis:
    """The most telling diagnosis; ``PLAIN`` where none fits."""
    for look in _LOOKS:
        found = look(scene)
        if found is not None:
            return found
    return replace(PLAIN, cure=known_cure(scene.failure) or PLAIN.cure)


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
            return changed_library(scene, match[1].partition(".")[0])
        return _changed_behind(scene, scene.owner) if _is_api(scene, value) else None
    if name == "ImportError" and (match := _NO_NAME.search(value)):
        return changed_library(scene, match[2].partition(".")[0])
    if name == "TypeError" and (match := _UNEXPECTED.search(value)):
        frames = _LIBRARY_FRAME.findall(scene.traceback)
        if match[1].rpartition(".")[2] in _own_names(scene):
            return None
        return _changed_behind(scene, frames[-1] if frames else scene.owner)
    return None


def _changed_behind(scene: Scene, name: str) -> Diagnosis | None:
    """The library that an object or a frame belongs to; the kernel's own are in every traceback."""
    module = name.partition(".")[0]
    return None if module in ("IPython", "ipykernel") else changed_library(scene, module)


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
    missing_module,
    missing_data,
    missing_in_shell,
    _hidden_order,
    _changed_library,
)
