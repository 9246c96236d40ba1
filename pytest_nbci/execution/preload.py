"""What a warm server may import ahead of a notebook: what the notebook will import anyway.

Only what it imports before it does anything else, and only modules of libraries that are known to
behave the same when they are imported outside a notebook and before a fork. Others look at their
import whether they are in a notebook (plotly, tqdm, altair), keep threads or devices that a fork
loses (torch, tensorflow, jax, polars, grpc), or read variables that each notebook has for itself
(mlflow).
"""

from __future__ import annotations

import ast
from collections.abc import Collection

from pytest_nbci.notebook import SKIP_EXECUTION, Notebook, tags

_KNOWN = frozenset(
    {
        "PIL",
        "bs4",
        "lxml",
        "matplotlib",
        "networkx",
        "numpy",
        "pandas",
        "requests",
        "scipy",
        "seaborn",
        "sklearn",
        "statsmodels",
        "sympy",
    }
)

_DRAWING = frozenset({"matplotlib", "seaborn"})
_RC_FILE = "matplotlibrc"  # read from the working folder when matplotlib is imported
_HARMLESS = ("%matplotlib inline",)

Wanted = tuple[tuple[str, str | None], ...]


def modules_to_preload(notebook: Notebook, own_names: Collection[str]) -> Wanted:
    """Modules of known libraries that the notebook imports before it does anything else.

    What stands between two imports may decide on the second: a variable, ``sys.path``, ``%pip``.
    Only constants are given to names there, as in a cell of parameters.

    Args:
        notebook: The notebook.
        own_names: Stems of the files and names of the folders of the repository: a module called
            so may be the repository's own.

    Returns:
        Pairs of a module and of a name that is wanted from it (None for the module alone).
    """
    kept_out = _DRAWING if _RC_FILE in own_names else frozenset()
    found: dict[tuple[str, str | None], None] = {}
    for cell in notebook.content["cells"]:
        if cell["id"] not in notebook.numbers or SKIP_EXECUTION in tags(cell):
            continue
        imports, is_all = _leading_imports(cell["source"])
        for module, name in imports:
            top = module.partition(".")[0]
            if top in _KNOWN - kept_out and top not in own_names:
                found[module, name] = None
        if not is_all:
            break
    return tuple(found)


def _leading_imports(source: str) -> tuple[list[tuple[str, str | None]], bool]:
    """The imports that come first in a cell, and whether nothing else follows them."""
    lines: list[str] = []
    is_all = True
    for line in source.split("\n"):
        if line.strip() in _HARMLESS:
            continue
        if line.lstrip().startswith(("%", "!")):
            is_all = False
            break
        lines.append(line)
    try:
        tree = ast.parse("\n".join(lines))
    except (SyntaxError, ValueError):
        return [], False
    found: list[tuple[str, str | None]] = []
    for node in tree.body:
        if isinstance(node, ast.Import):
            found += ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module and not node.level:
                found += ((node.module, alias.name) for alias in node.names)
        elif not _is_constant(node):
            return found, False
    return found, is_all


def _is_constant(node: ast.stmt) -> bool:
    """A docstring, or a constant that gets a name."""
    if isinstance(node, ast.Assign):
        return isinstance(node.value, ast.Constant) and all(
            isinstance(target, ast.Name) for target in node.targets
        )
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
