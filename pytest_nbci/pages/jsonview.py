"""JSON as a tree that folds, without a script."""

from __future__ import annotations

import json
from typing import Any

from markupsafe import Markup

from pytest_nbci.pages.text import as_json, printable

_DEEPEST = 12
_MOST_NODES = 2_000
_LONGEST_TEXT = 20_000


def json_tree(value: object) -> Markup:
    """``value`` folded below its first level; one that is very large as indented text."""
    if _nodes(value) > _MOST_NODES:
        text = printable(as_json(value))
        return Markup(
            "<details class=json><summary>JSON, {} characters</summary>"
            '<pre class="text chunk">\n{}</pre></details>'
        ).format(f"{len(text):,}", text)
    return Markup('<div class="json">{}</div>').format(_node(value, depth=0))


def _nodes(value: Any) -> int:
    """How many values there are, counted up to the limit; no recursion, as JSON may be deep."""
    waiting, count = [(value, 0)], 0
    while waiting and count <= _MOST_NODES:
        item, depth = waiting.pop()
        count += 1
        if depth > _DEEPEST:
            return _MOST_NODES + 1
        if isinstance(item, dict):
            waiting += [(child, depth + 1) for child in item.values()]
        elif isinstance(item, list | tuple):
            waiting += [(child, depth + 1) for child in item]
    return count


def _node(value: Any, depth: int) -> Markup:
    match value:
        case dict() if value:
            rows = [(f"{key}: ", item) for key, item in value.items()]
            return _branch(rows, f"{{{len(rows)}}}", depth)
        case list() | tuple() if value:
            rows = [(f"{index}: ", item) for index, item in enumerate(value)]
            return _branch(rows, f"[{len(rows)}]", depth)
        case _:
            text = json.dumps(value, ensure_ascii=False, default=str)
            kind = "s" if isinstance(value, str) else "n"
            if len(text) > _LONGEST_TEXT:
                text = text[:_LONGEST_TEXT] + "…"
            return Markup('<span class="json-{}">{}</span>').format(kind, printable(text))


def _branch(rows: list[tuple[str, Any]], size: str, depth: int) -> Markup:
    items = Markup().join(
        Markup('<li><span class="json-key">{}</span>{}</li>').format(
            printable(key), _node(item, depth + 1)
        )
        for key, item in rows
    )
    opened = Markup(" open") if depth == 0 else ""
    return Markup("<details{}><summary>{}</summary><ul>{}</ul></details>").format(
        opened, size, items
    )
