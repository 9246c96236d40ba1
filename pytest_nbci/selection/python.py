"""What Python code depends on: imports, changes of ``sys.path``, names of files and programs.

The code is parsed and never run. Where it computes what it imports or executes, that is said, and
the folder it stands in counts as a whole.
"""

from __future__ import annotations

import ast
import re
import warnings

from pytest_nbci.selection.calls import (
    EXECUTING,
    IMPORTING,
    LISTING,
    SPAWNING,
    WALKING,
    add_executed,
    add_import,
    add_listing,
    add_magic,
    add_spawn,
    is_import,
    is_listing,
)
from pytest_nbci.selection.facts import FUNCTION, Facts, Import, Place, named_folder
from pytest_nbci.selection.lines import add_lines
from pytest_nbci.selection.nodes import (
    SPAWNERS,
    asked_for,
    is_module,
    is_python_path,
    is_silent,
    is_spawn,
    is_suppressing,
    is_sys_path,
    owner,
    reads_in,
    tail,
    terms,
    unsteady,
)
from pytest_nbci.selection.paths import beginning, evaluate

_PACKAGE_FILES = ("files", "get_data", "resource_filename", "resource_string", "read_text", "path")
# They list the folders that they are given.
_PACKING = ("tarfile", "zipapp", "compileall", "importlib.resources.contents")
_TESTING = ("pytest", "unittest", "doctest")
_PROBING = ("exists", "lexists", "isfile", "is_file", "isdir", "is_dir", "access")
_BESIDE = ("parent", "parents", "dirname", "with_name", "with_stem", "with_suffix", "..")
_FAILING = ("FileNotFoundError", "OSError", "IOError")
_BUILT_IN = ("exec", "eval")
# What else a string or name of the same spelling means more often.
_WORDS = frozenset(("glob", "walk", "__import__"))
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


def read_python(source: str) -> Facts:
    """The facts of Python code; of code that does not parse what its lines tell."""
    facts = Facts()
    add_python(source, facts, {})
    return facts


def add_python(source: str, facts: Facts, names: dict[str, Place]) -> None:
    """Add what ``source`` tells.

    Args:
        source: Python without magics.
        facts: Gets it.
        names: What variables of earlier code stand for; added to.
    """
    tree = parse(source)
    if tree is None:
        add_lines(source, facts)
        return
    try:
        _Reader(facts, names, unsteady(tree)).visit(tree)
    except RecursionError:  # thousands of nested operators
        add_lines(source, facts)


def parse(source: str) -> ast.Module | None:
    """The syntax tree; None where it is no Python 3. Warns of nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


class _Reader(ast.NodeVisitor):
    """Walks the tree in source order; ``_names`` holds what variables stand for so far."""

    def __init__(self, facts: Facts, names: dict[str, Place], unsteady: set[str]) -> None:
        self._facts = facts
        self._names = names
        self._unsteady = unsteady
        for name in unsteady:
            self._names.pop(name, None)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._facts.imports.setdefault(Import(0, alias.name))
            self._facts.lists = self._facts.lists or alias.name in _PACKING

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        names = tuple(alias.name for alias in node.names)
        for alias in node.names:
            self._facts.lists = self._facts.lists or f"{node.module}.{alias.name}" in _PACKING
            self._names.pop(alias.asname or alias.name, None)
            if alias.asname is not None and alias.name in (*LISTING, *IMPORTING, *EXECUTING):
                self._names[alias.asname] = Place(FUNCTION, alias.name)
        if node.module in (*SPAWNERS, *_PACKING):
            self._facts.lists = True  # by which name it is called, nobody follows
        if node.module == "sys" and "path" in names:
            self._facts.computes_roots = True
        self._facts.imports.setdefault(Import(node.level, node.module or "", names))

    def visit_Assign(self, node: ast.Assign) -> None:
        if any(is_sys_path(target) or is_python_path(target) for target in node.targets):
            self._add_roots(node.value)
        value = evaluate(node.value, self._names)
        for target in node.targets:
            if isinstance(target, ast.Name):
                self._bind(target.id, value)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if isinstance(node.target, ast.Name) and node.value is not None:
            self._bind(node.target.id, evaluate(node.value, self._names))
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if is_sys_path(node.target):
            self._add_roots(node.value)
        elif isinstance(node.target, ast.Name):
            self._bind(node.target.id, None)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self._facts.add_word(node.value)
            self._note_beside(node.value)
            if node.value not in _WORDS:  # getattr(os, "listdir")
                self._note_function(node.value)
            if _DOTTED.fullmatch(node.value):
                self._facts.imports.setdefault(Import(0, node.value))

    def visit_Name(self, node: ast.Name) -> None:
        self._note_function(self._function(node))
        self._facts.probes = self._facts.probes or node.id in _FAILING

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        if not self._is_place(node):
            self._visit_parts(node.values)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if not self._is_place(node):
            if isinstance(node.op, ast.Add):
                self._visit_parts(terms(node))
            else:
                self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if not self._is_place(node):
            self._note_function(node.attr)
            self._note_beside(node.attr)
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if self._is_place(node):
            return
        name = self._function(node.func)
        if self._is_sys_path_call(node, name):
            return
        self._note_call(node, name)
        self._note_beside(name)
        if isinstance(node.func, ast.Attribute) and not is_module(node.func.value):
            self.visit(node.func.value)
        for child in (*node.args, *(keyword.value for keyword in node.keywords)):
            self.visit(child)

    def visit_Try(self, node: ast.Try) -> None:
        if is_silent(node.handlers):
            self._note_tried(node.body)
        self.generic_visit(node)

    def visit_With(self, node: ast.With) -> None:
        if is_suppressing(node):
            self._note_tried(node.body)
        self.generic_visit(node)

    def _note_tried(self, body: list[ast.stmt]) -> None:
        """What fails here says nothing: reading a file is looking whether it is there."""
        self._facts.probes = self._facts.probes or any(map(self._is_computed, reads_in(body)))

    def _is_computed(self, call: ast.Call) -> bool:
        return evaluate(asked_for(call), self._names) is None

    def _note_call(self, node: ast.Call, name: str) -> None:
        is_built_in = name not in _BUILT_IN or isinstance(node.func, ast.Name)
        if is_listing(node.func, name, self._facts):
            add_listing(node, name, self._facts, self._names)
        elif is_import(name, self._facts):
            add_import(node, name, self._facts, self._names)
        elif name in EXECUTING and is_built_in:
            code = add_executed(node, name, self._facts, self._names)
            if code is not None:
                add_python(code, self._facts, self._names)
        elif name in WALKING or (name == "main" and owner(node.func) in _TESTING):
            self._facts.computes = self._facts.lists = True
        elif name == "run_line_magic":
            add_magic(node, self._facts, self._names)
        elif name in SPAWNING or is_spawn(node.func, name):
            add_spawn(node, self._facts, self._names)
        elif name in _PROBING:
            self._facts.probes = self._facts.probes or self._is_computed(node)
        elif node.args:
            self._note_other(node.args[0], name)

    def _note_function(self, name: str) -> None:
        """A function that is not called here: it may be called elsewhere, with anything."""
        self._facts.lists = self._facts.lists or name in LISTING
        self._facts.computes = self._facts.computes or name in IMPORTING - _WORDS

    def _note_beside(self, name: str) -> None:
        self._facts.beside = self._facts.beside or name in _BESIDE

    def _note_other(self, first: ast.expr, name: str) -> None:
        """A call of a function that changes the working folder, or that names a package."""
        if name == "chdir":
            place = evaluate(first, self._names)
            if place is not None:
                self._facts.folders.setdefault(place)
        elif name == "read_pickle":
            self._facts.imports.setdefault(Import(0, "pickle"))
        elif name in _PACKAGE_FILES:
            match first:
                case ast.Constant(value=str(text)) if re.fullmatch(r"[\w.]+", text):
                    self._facts.imports.setdefault(Import(0, text))
                    self._facts.packages.setdefault(text)

    def _is_sys_path_call(self, node: ast.Call, name: str) -> bool:
        """Add what a call adds to ``sys.path``, which is not meant as a folder of data."""
        is_own = isinstance(node.func, ast.Attribute) and is_sys_path(node.func.value)
        is_adding = is_own and name in ("append", "insert", "extend")
        if not (node.args and (is_adding or name == "addsitedir")):
            return False
        self._add_roots(node.args[-1 if is_own else 0])
        return True

    def _bind(self, name: str, value: Place | None) -> None:
        if value is None or name in self._unsteady:
            self._names.pop(name, None)
        else:
            self._names[name] = value

    def _function(self, node: ast.expr) -> str:
        """The name of a function by which others know it."""
        known = self._names.get(node.id) if isinstance(node, ast.Name) else None
        return known.path if known is not None and known.base == FUNCTION else tail(node)

    def _visit_parts(self, parts: list[ast.expr]) -> None:
        """Visit what a text is put together of; the folder that it begins with is part of it."""
        found = beginning(parts, self._names)
        is_named = named_folder(found.path) is not None
        if is_named:
            self._facts.places.setdefault(found)
        for at, part in enumerate(parts):
            match part:
                case ast.Constant(value=str(text)) if is_named and not at and text.endswith("/"):
                    continue
            self.visit(part)

    def _is_place(self, node: ast.expr) -> bool:
        place = evaluate(node, self._names)
        if place is None:
            return False
        self._facts.places.setdefault(place)
        return True

    def _add_roots(self, node: ast.expr) -> None:
        if isinstance(node, ast.List | ast.Tuple):
            for item in node.elts:
                self._add_roots(item)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and not self._text(node):
            self._add_roots(node.left)
            self._add_roots(node.right)
        elif isinstance(node, ast.Starred):
            self._add_roots(node.value)
        elif not is_sys_path(node):
            place = evaluate(node, self._names)
            if place is None:
                self._facts.computes_roots = True
                self.visit(node)
            else:
                self._facts.roots.setdefault(place)

    def _text(self, node: ast.expr) -> bool:
        return evaluate(node, self._names) is not None
