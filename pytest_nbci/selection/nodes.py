"""What nodes of Python's syntax tree are: a call of which kind, ``sys.path``, a silent block."""

from __future__ import annotations

import ast
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from pytest_nbci.selection.paths import is_os

SPAWNERS = ("subprocess", "os", "asyncio", "pexpect")

_READING = ("open", "read", "load", "imread", "genfromtxt", "fromfile")
_BROAD = ("Exception", "BaseException")
_MODE = re.compile(r"[rwxabt+]{1,3}")
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


def is_silent(handlers: Iterable[ast.ExceptHandler]) -> bool:
    """Whether one of ``handlers`` takes whatever fails."""
    for handler in handlers:
        match handler.type:
            case None:
                return True
            case ast.Tuple(elts=types):
                found = any(map(_is_broad, types))
            case broad:
                found = _is_broad(broad)
        if found:
            return True
    return False


def is_suppressing(node: ast.With) -> bool:
    """Whether whatever fails in a block is suppressed."""
    for item in node.items:
        match item.context_expr:
            case ast.Call(func=function, args=types) if tail(function) == "suppress":
                if any(map(_is_broad, types)):
                    return True
    return False


def _is_broad(node: ast.expr) -> bool:
    return tail(node) in _BROAD


def reads_in(body: Iterable[ast.stmt]) -> Iterator[ast.Call]:
    """Calls in ``body`` that read files, as far as their names say so."""
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Call) and tail(node.func).startswith(_READING):
                yield node


def asked_for(call: ast.Call) -> ast.expr:
    """The file that a call reads or looks for: what it is given, or what it is a method of."""
    match call:
        case ast.Call(args=[ast.Constant(value=str(mode)), *_], func=ast.Attribute(value=file)) if (
            _MODE.fullmatch(mode)
        ):
            return file
        case (
            ast.Call(args=[ast.Attribute(value=file), *_])
            | ast.Call(args=[], func=ast.Attribute(value=file))
        ):
            return file
    return call.args[0] if call.args else call.func


def unsteady(tree: ast.Module) -> set[str]:
    """Variables that stand for more than one thing, so that nothing is known of them."""
    times: Counter[str] = Counter()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()):
                times[name] += 1
            case ast.Assign() | ast.AnnAssign():
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                times.subtract(target.id for target in targets if isinstance(target, ast.Name))
                times.update(f"={one.id}" for one in targets if isinstance(one, ast.Name))
            case ast.arg(arg=name):
                times[name] += 1
    return {name.lstrip("=") for name, count in times.items() if count > name.startswith("=")}
