"""Layers: a module imports only from layers below or from its own package (CONTRIBUTING.md)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "pytest_nbci"

LAYERS = {
    "errors": 1,
    "records": 1,
    "host": 1,
    "store": 1,
    "s3_errors": 1,
    "settings": 1,
    "notebook": 1,
    "repository": 1,
    "scrub": 1,
    "trees": 1,
    "importing": 1,
    "selection": 2,
    "execution": 2,
    "delivery": 2,
    "pages": 2,
    "context": 3,
    "session": 3,
    "worker": 3,
    "selecting": 3,
    "scheduling": 3,
    "witness": 3,
    "fixture_watch": 3,
    "loaded": 3,
    "reports": 3,
    "collection": 3,
    "asked": 3,
    "fixtures": 3,
    "results": 3,
    "retries": 3,
    "controller": 3,
    "live": 3,
    "ending": 3,
    "state": 3,
    "junit": 3,
    "doctor": 3,
    "configuration": 4,
    "activation": 4,
    "plugin": 4,
    "why": 4,
    "cli": 4,
}
# `from pytest_nbci import NotebookData, __version__`: the package itself names no layer.
FREE = {"NotebookData", "__version__"}


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "pytest_nbci":
            found |= {alias.name for alias in node.names} - FREE
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pytest_nbci."):
            found.add(str(node.module).split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("pytest_nbci.")}
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: relative import"
    return found


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix()
)
def test_a_module_imports_only_from_below_or_from_its_own_package(path: Path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own == "__init__":
        return
    for name in imported(path) - {own}:
        same_layer_is_fine = LAYERS[own] in (1, 3, 4)
        assert LAYERS[name] <= LAYERS[own] - (not same_layer_is_fine), f"{own} imports {name}"
