"""What a call of Python code tells: what it imports, executes, lists, or runs as a program."""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Mapping

from pytest_nbci.selection.facts import CWD, UNKNOWN, Facts, Import, Place
from pytest_nbci.selection.nodes import (
    file_of,
    fixed_part,
    has_wildcard,
    is_module,
    owner,
    package_of,
    parts_of_first,
)
from pytest_nbci.selection.paths import beginning, evaluate
from pytest_nbci.selection.shell import FILE_MAGICS, add_command, add_file_magic, add_shell

IMPORTING = frozenset(
    ("import_module", "__import__", "importorskip", "run_module", "find_spec", "resolve_name")
)
# Functions that import, whose names say so only where their module is imported.
_IMPORTING_OF = {
    "locate": "pydoc",
    **dict.fromkeys(("instantiate", "get_class", "get_method"), "hydra"),
}
EXECUTING = frozenset(
    ("exec", "eval", "execfile", "run_path", "spec_from_file_location", "load_source")
)
# Which modules these import, nobody follows.
WALKING = frozenset(("load_module", "SourceFileLoader", "discover"))
LISTING = frozenset(
    (
        *("glob", "iglob", "rglob", "glob0", "glob1", "listdir", "scandir", "iterdir"),
        *("walk", "fwalk", "iter_modules", "walk_packages"),
        *("copytree", "copy_tree", "make_archive", "compile_dir", "dircmp", "writepy"),
        *("find_packages", "find_namespace_packages", "load_files", "FileSelector"),
    )
)
# The same of functions that list folders.
_LISTING_OF = {"ls": "fsspec", "find": "fsspec", "dataset": "pyarrow", "get_file_info": "pyarrow"}
SPAWNING = frozenset(
    ("Popen", "check_call", "check_output", "getoutput", "getstatusoutput", "system")
)
_RECURSIVE = (
    *("rglob", "walk", "fwalk"),
    *("find_packages", "find_namespace_packages", "load_files", "FileSelector"),
)
# "plugins.*" of f"plugins.{name}", and ".*" of what is beside the file.
_PACKAGE = re.compile(r"([A-Za-z_][\w.]*|)\.[^.*]*\*")


def is_listing(node: ast.expr, name: str, facts: Facts) -> bool:
    """Whether calling ``node``, whose last name is ``name``, lists a folder."""
    is_resources = name == "contents" and owner(node) == "resources"
    return name in LISTING or is_resources or _is_of(_LISTING_OF.get(name), facts)


def add_listing(node: ast.Call, name: str, facts: Facts, names: Mapping[str, Place]) -> None:
    """Add the folder that is listed; ``name`` is the function."""
    listed = node.func.value if isinstance(node.func, ast.Attribute) else None
    base = evaluate(listed, names) if listed is not None else None
    first = evaluate(node.args[0], names) if node.args else Place(CWD, ".")
    if base is None and listed is not None and not is_module(listed):
        first = None  # a method of what only a run knows
    package = package_of(node.args[0]) if node.args else None
    if package is not None and Import(0, package) in facts.imports:
        facts.packages.setdefault(package)
    elif first is None or (base is not None and first.base != CWD):
        facts.lists = True
    else:
        path = first.path if base is None else posixpath.join(base.path, first.path)
        # A folder whose name a pattern matches may have what it lacks now.
        is_deep = name in _RECURSIVE or has_wildcard(posixpath.dirname(path))
        found = fixed_part(path) + ("/**" if is_deep else "")
        facts.listings.setdefault(Place((base or first).base, found))
        if any(keyword.arg in ("root_dir", "dir_fd") for keyword in node.keywords):
            facts.lists = True


def add_spawn(node: ast.Call, facts: Facts, names: Mapping[str, Place]) -> None:
    """Add a program that is run: which it is, where that is a literal."""

    def word(part: ast.expr) -> str:
        found = evaluate(part, names)
        return UNKNOWN if found is None else found.path

    match node.args[0] if node.args else None:
        case ast.List(elts=[program, *arguments]) | ast.Tuple(elts=[program, *arguments]):
            is_python = ast.unparse(program) == "sys.executable"
            words = ["python" if is_python else word(program)]
            add_command([*words, *map(word, arguments)], facts)
        case ast.Constant(value=str(text)):
            add_shell(text, facts)
        case _:
            facts.lists = True


def is_import(name: str, facts: Facts) -> bool:
    """Whether calling a function called ``name`` imports what it is given by name."""
    return name in IMPORTING or _is_of(_IMPORTING_OF.get(name), facts)


def _is_of(package: str | None, facts: Facts) -> bool:
    return any(one.module.partition(".")[0] == package for one in facts.imports)


def add_magic(node: ast.Call, facts: Facts, names: Mapping[str, Place]) -> None:
    """Add the file that a magic runs that is called by its name."""
    match [evaluate(part, names) for part in node.args]:
        case [Place(path=name), *_] if name not in FILE_MAGICS:
            pass
        case [_, Place(path=arguments), *_]:
            add_file_magic(arguments, facts)
        case _:
            facts.computes = True


def add_import(node: ast.Call, name: str, facts: Facts, names: Mapping[str, Place]) -> None:
    """Add what a function imports by name; ``name`` is the function."""
    found = evaluate(node.args[0], names) if node.args else None
    base = _base_of(node)
    if found is None or found.base != CWD:
        inside = _PACKAGE.match(beginning(parts_of_first(node), names).path)
        package = inside[1] or base if inside is not None else None
        if package is None:
            facts.computes = True
        else:
            facts.packages.setdefault(package)
        return
    module = found.path.partition(":")[0].lstrip(".")
    level = len(found.path) - len(found.path.lstrip("."))
    if level and base:
        kept = base.split(".")
        kept = kept[: len(kept) - level + 1]
        module, level = ".".join([*kept, *filter(None, [module])]), 0
    facts.imports.setdefault(Import(level, module))
    if name == "run_module":
        facts.imports.setdefault(Import(level, f"{module}.__main__"))


def _base_of(node: ast.Call) -> str | None:
    """The package that a relative name starts from; empty for that of the file itself."""
    package = next((one.value for one in node.keywords if one.arg == "package"), None)
    match package or (node.args[1] if len(node.args) > 1 else None):
        case ast.Constant(value=str(text)):
            return text
        case ast.Name(id="__name__" | "__package__"):
            return ""
    return None


def add_executed(node: ast.Call, name: str, facts: Facts, names: Mapping[str, Place]) -> str | None:
    """Add a file whose code is executed; code that is a literal is returned."""
    position = 1 if name in ("spec_from_file_location", "load_source") else 0
    argument = node.args[position] if len(node.args) > position else None
    is_code = name in ("exec", "eval")
    found = evaluate(argument, names) if argument is not None else None
    if is_code and found is not None:
        return found.path
    if is_code and argument is not None:
        found = evaluate(file_of(argument), names)
    if found is None:
        facts.computes = True
    else:
        facts.scripts.setdefault(found)
    return None
