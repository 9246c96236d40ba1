"""What single nodes of Python's syntax tree are: a call of which kind, a pattern, ``sys.path``."""

from __future__ import annotations

import ast
import posixpath
import re

from pytest_nbci.selection.paths import is_os

SPAWNERS = ("subprocess", "os", "asyncio", "pexpect")

_WILD = re.compile(r"[*?\[]")


def has_wildcard(text: str) -> bool:
    """Whether ``text`` is a pattern of names."""
    return _WILD.search(text) is not None


def file_of(node: ast.expr) -> ast.expr:
    """The file whose text ``node`` is, where it is read in place; else ``node``."""
    match node:
        case ast.Call(func=ast.Name(id="compile"), args=[source, *_]):
            return file_of(source)
        case ast.Call(
            func=ast.Attribute(value=ast.Call(func=opened, args=[file, *_]), attr="read")
        ):
            return file if tail(opened) == "open" else node
        case ast.Call(func=ast.Attribute(value=file, attr="read_text" | "read_bytes")):
            return file
    return node


def terms(node: ast.expr) -> list[ast.expr]:
    """What a sum adds up, in its order."""
    match node:
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return [*terms(left), right]
    return [node]


def owner(node: ast.expr) -> str:
    """The last name of what ``node`` is an attribute of; empty where it is none."""
    return tail(node.value) if isinstance(node, ast.Attribute) else ""


def is_spawn(node: ast.expr, name: str) -> bool:
    """Whether calling ``node``, whose last name is ``name``, runs a program."""
    module = owner(node)
    if module == "subprocess":
        return name in ("run", "call")
    is_family = name.startswith(("spawn", "exec", "popen", "posix_spawn", "create_subprocess"))
    return module in SPAWNERS and is_family


def is_module(node: ast.expr) -> bool:
    """Whether ``node`` is a module whose functions list folders."""
    match node:
        case ast.Name(id="os" | "glob"):
            return True
    return False


def fixed_part(pattern: str) -> str:
    """The folder of a pattern, up to its first wildcard."""
    parts = pattern.split("/")
    wild = next((at for at, part in enumerate(parts) if has_wildcard(part)), None)
    return posixpath.normpath("/".join(parts if wild is None else parts[:wild]) or ".")


def tail(node: ast.expr) -> str:
    """The last name of a dotted one; empty where it has none."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def is_sys_path(node: ast.expr) -> bool:
    """Whether ``node`` is ``sys.path`` or a part of it."""
    match node:
        case ast.Attribute(value=ast.Name(id="sys"), attr="path"):
            return True
        case ast.Subscript(value=value):
            return is_sys_path(value)
    return False


def is_python_path(node: ast.expr) -> bool:
    """Whether ``node`` is the variable PYTHONPATH."""
    match node:
        case ast.Subscript(
            value=ast.Attribute(value=owner, attr="environ"),
            slice=ast.Constant(value="PYTHONPATH"),
        ):
            return is_os(owner)
    return False


def parts_of_first(call: ast.Call) -> list[ast.expr]:
    """What the first argument is put together of."""
    match call.args:
        case [ast.JoinedStr(values=values), *_]:
            return values
        case [first, *_]:
            return terms(first)
    return [call]


def package_of(node: ast.expr) -> str | None:
    """The dotted name of the package whose ``__path__`` that is; None where it is none."""
    if isinstance(node, ast.Attribute) and node.attr == "__path__":
        return ast.unparse(node.value)
    return None
