"""Paths that Python code puts together from constants: ``Path(__file__).parent / "data"``.

Only what needs no run is evaluated; anything else is None, and is left to what is observed when
the notebook runs.
"""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Callable, Mapping, Sequence

from pytest_nbci.selection.facts import CWD, FILE, FUNCTION, SELF, UNKNOWN, Place

# ``__file__`` itself; its ``..`` is the folder it stands in.
_SELF = Place(FILE, SELF)
_HERE = Place(CWD, ".")

_CONSTANTS = {"pardir": "..", "curdir": ".", "sep": "/"}
_PATH_TYPES = ("Path", "PurePath", "PosixPath", "PurePosixPath")
_SAME = ("str", "abspath", "realpath", "normpath", "fspath", "expanduser")
_SAME_METHODS = ("resolve", "absolute", "as_posix", "expanduser")


def evaluate(node: ast.expr, names: Mapping[str, Place]) -> Place | None:
    """The text or path that ``node`` stands for; None where only a run can tell.

    Args:
        node: An expression.
        names: What variables stand for. ``__file__`` is known.
    """
    match node:
        case ast.Constant(value=str(text)):
            found: Place | None = Place(CWD, text)
        case ast.Name(id=name):
            found = _SELF if name == "__file__" else names.get(name)
            found = None if found is not None and found.base == FUNCTION else found
        case ast.JoinedStr(values=parts):
            found = _concatenated([_part(part, names) for part in parts])
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            found = _joined([evaluate(left, names), evaluate(right, names)])
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            found = _concatenated([evaluate(left, names), evaluate(right, names)])
        case ast.Attribute(value=value, attr=attribute):
            found = _attribute(value, attribute, names)
        case ast.Subscript(
            value=ast.Attribute(value=value, attr="parents"), slice=ast.Constant(value=int(number))
        ):
            found = _joined([evaluate(value, names), Place(CWD, "/".join([".."] * (number + 1)))])
        case ast.Call(
            func=ast.Attribute(value=ast.Constant(value=str(between)), attr="join"),
            args=[ast.List(elts=parts) | ast.Tuple(elts=parts)],
        ):
            known = [evaluate(part, names) for part in parts]
            found = _combined(known, lambda left, right: left + between + right)
        case ast.Call():
            found = _call(node, names)
        case _:
            found = None
    return found


def beginning(parts: Sequence[ast.expr], names: Mapping[str, Place]) -> Place:
    """What is known of a text that is put together of ``parts``, UNKNOWN for the rest of it."""
    known = Place(CWD, "")
    for at, part in enumerate(parts):
        found = _part(part, names)
        if found is None or (at and found.base == FILE):
            rest = "".join(text for one in parts[at:] if (text := _text(one)) is not None)
            return Place(known.base, f"{known.path}{UNKNOWN}{rest}")
        known = Place(found.base, known.path + found.path)
    return known


def _text(node: ast.expr) -> str | None:
    match node:
        case ast.Constant(value=str(text)):
            return text
    return None


def _part(node: ast.expr, names: Mapping[str, Place]) -> Place | None:
    return evaluate(node.value if isinstance(node, ast.FormattedValue) else node, names)


def _attribute(value: ast.expr, attribute: str, names: Mapping[str, Place]) -> Place | None:
    if attribute in _CONSTANTS and is_os(value):
        return Place(CWD, _CONSTANTS[attribute])
    if attribute == "parent":
        return _joined([evaluate(value, names), Place(CWD, "..")])
    return None


def _call(node: ast.Call, names: Mapping[str, Place]) -> Place | None:
    arguments = [evaluate(argument, names) for argument in node.args]
    match node.func:
        case ast.Name(id=name):
            return _function(name, arguments)
        case ast.Attribute(value=value, attr=name) if is_os(value):
            return _function(name, arguments)
        case ast.Attribute(value=ast.Name(id="pathlib"), attr=name):
            return _function(name, arguments)
        case ast.Attribute(value=ast.Name(id=owner), attr="cwd") if owner in _PATH_TYPES:
            return _HERE
        case ast.Attribute(value=value, attr=name):
            return _method(evaluate(value, names), name, arguments)
    return None


def is_os(node: ast.expr) -> bool:
    """Whether ``node`` is the module os or os.path, by the names that everybody gives them."""
    match node:
        case ast.Name(id="os" | "osp" | "path"):
            return True
        case ast.Attribute(value=ast.Name(id="os"), attr="path"):
            return True
    return False


def _function(name: str, arguments: Sequence[Place | None]) -> Place | None:
    if name in _PATH_TYPES:
        return _joined(arguments) if arguments else _HERE
    if name == "join":
        return _joined(arguments)
    if name == "getcwd":
        return _HERE
    if name == "dirname" and len(arguments) == 1:
        return _joined([*arguments, Place(CWD, "..")])
    if name in _SAME and arguments:
        return arguments[0]
    return None


def _method(owner: Place | None, name: str, arguments: Sequence[Place | None]) -> Place | None:
    if owner is None:
        return None
    if name in _SAME_METHODS:
        return owner
    if name == "joinpath":
        return _joined([owner, *arguments])
    if name == "with_name" and arguments:
        return _joined([owner, Place(CWD, ".."), *arguments])
    if name == "with_suffix" and arguments and arguments[0] is not None:
        return Place(owner.base, posixpath.splitext(owner.path)[0] + arguments[0].path)
    return None


def _joined(parts: Sequence[Place | None]) -> Place | None:
    return _combined(parts, posixpath.join)


def _concatenated(parts: Sequence[Place | None]) -> Place | None:
    return _combined(parts, lambda left, right: left + right)


def _combined(parts: Sequence[Place | None], combine: Callable[[str, str], str]) -> Place | None:
    known = [part for part in parts if part is not None]
    if not known or len(known) != len(parts):
        return None
    base, path = known[0]
    for part in known[1:]:
        if part.base == FILE:
            return None
        path = combine(path, part.path)
    # "a/.." is "." for the parent of a folder that was named by a relative path.
    return Place(base, posixpath.normpath(path) if combine is posixpath.join else path)
