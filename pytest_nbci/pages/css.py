"""A stranger's CSS, reduced to what can only style the output it came with.

pandas' Styler colours a table by a ``<style>`` element full of ``#T_a1b2_row0_col1 {…}`` rules. Its
rules are read here, not trusted: a declaration stays if its property is on a list and its value is
built from words, numbers, colours and known functions; a selector stays if it is built from types,
classes, ids and structural pseudo-classes; and each selector is put below the id of the output.
Nothing that loads (``url()``, ``@import``, ``@font-face``) has a way to be written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_SIDES = ("", "-top", "-right", "-bottom", "-left")
INLINE = frozenset(
    {
        *("color", "background", "background-color", "background-image", "opacity", "fill"),
        *("stroke", "stroke-width", "accent-color", "color-scheme", "visibility"),
        *("font", "font-family", "font-size", "font-style", "font-variant", "font-weight"),
        *("line-height", "letter-spacing", "word-spacing", "text-align", "text-decoration"),
        *("text-indent", "text-transform", "text-overflow", "text-shadow", "vertical-align"),
        *("white-space", "word-break", "overflow-wrap", "overflow", "overflow-x", "overflow-y"),
        *("width", "height", "min-width", "max-width", "min-height", "max-height", "box-sizing"),
        *("display", "float", "clear", "flex", "flex-direction", "flex-wrap", "flex-grow"),
        *("flex-shrink", "flex-basis", "align-items", "align-self", "align-content", "order"),
        *("justify-content", "justify-items", "justify-self", "gap", "row-gap", "column-gap"),
        *("grid-template-columns", "grid-template-rows", "grid-column", "grid-row"),
        *("table-layout", "border-collapse", "border-spacing", "caption-side", "empty-cells"),
        *("list-style", "list-style-type", "cursor", "transition", "box-shadow", "outline"),
        *("background-size", "background-repeat", "background-position", "text-underline-offset"),
        *("outline-offset", "scrollbar-width", "block-size", "inline-size"),
        *("border-radius", "border-color", "border-style", "border-width"),
        *(f"border{side}" for side in _SIDES),
        *(f"border{side}-{part}" for side in _SIDES[1:] for part in ("color", "style", "width")),
        *(f"border-{v}-{h}-radius" for v in ("top", "bottom") for h in ("left", "right")),
        *(f"{box}{side}" for box in ("margin", "padding") for side in _SIDES),
        *("padding-inline", "padding-block", "margin-inline", "margin-block"),
    }
)
_FUNCTIONS = frozenset(
    {
        *("rgb", "rgba", "hsl", "hsla", "hwb", "lab", "lch", "oklab", "oklch", "color", "var"),
        *("color-mix", "light-dark", "calc", "min", "max", "clamp"),
        *("linear-gradient", "radial-gradient", "repeat", "minmax", "cubic-bezier", "rect"),
        *("inset", "translate", "translatex", "translatey", "scale", "rotate", "attr"),
        *("grayscale", "opacity", "brightness"),
    }
)
"""Properties that style an element where it stands."""
CONFINED = INLINE | {
    *("position", "top", "right", "bottom", "left", "inset", "z-index", "clip", "clip-path"),
    *("transform", "transform-origin", "content", "pointer-events", "user-select", "filter"),
}
"""And those that move it: for outputs, whose box has ``contain: paint`` and so cannot be left."""

# No backslash (an escape could spell anything), no angle brackets, no @, no braces.
_VALUE = re.compile(r"[\w\s#%.,()+\-*/!'\"\u00a0-\uffff]{1,400}")
_CALL = re.compile(r"([\w-]*)\(")
_CUSTOM = re.compile(r"--[\w-]{1,100}")
_NAME = r"[A-Za-z_][\w-]*"
_SIMPLE = (
    rf"(?:\.{_NAME}|#{_NAME}|\[[\w-]+(?:[~|^$*]?=\"?[\w -]*\"?)?\]"
    r"|::?(?:before|after|first-child|last-child|only-child|first-of-type|last-of-type"
    r"|only-of-type|hover|focus|focus-visible|checked|empty|link|visited|marker|is|nth-child|nth-of-type"
    r"|nth-last-child|not)(?:\([\w.#+\- ]{1,40}\))?)"
)
_COMPOUND = rf"(?:(?:{_NAME}|\*){_SIMPLE}{{0,8}}|{_SIMPLE}{{1,8}})"
_SELECTOR = rf"{_COMPOUND}(?:\s*[>+~\s]\s*{_COMPOUND}){{0,12}}"  # compiled on use: it takes 5 ms
_LONGEST_SELECTOR = 300
_HOOK = re.compile(rf"([.#])({_NAME})")
_ROOTS = re.compile(r":(?:root|host)\b|^(?:html|body)\b")
_MEDIA = re.compile(r"@media\s+([\w\s():\-,.]{1,120})")


@lru_cache(maxsize=1024)
def declarations(text: str, properties: frozenset[str]) -> str:
    """The declarations among ``text`` that set one of ``properties`` to a harmless value."""
    kept = []
    for declaration in _COMMENT.sub("", text).split(";"):
        name, colon, value = declaration.partition(":")
        name, value = name.strip().lower(), value.strip()
        if not colon or not (name in properties or _CUSTOM.fullmatch(name)):
            continue
        if _VALUE.fullmatch(value) is None or value.count("(") != value.count(")"):
            continue
        if value.count('"') % 2 or value.count("'") % 2:
            continue
        if all(function.lower() in _FUNCTIONS or not function for function in _CALL.findall(value)):
            kept.append(f"{name}:{value}")
    return ";".join(kept)


def scoped(text: str, scope: str, prefix: str) -> str:
    """The rules of a style sheet that can only reach elements below the id ``scope``.

    Args:
        text: The style sheet.
        scope: An id of ours.
        prefix: Put before every class and id, as the sanitiser does in the markup.
    """
    return "".join(_rules(_COMMENT.sub("", text), scope, prefix, depth=0))


def _rules(text: str, scope: str, prefix: str, depth: int) -> Iterator[str]:
    for head, body in _blocks(text):
        media = _MEDIA.fullmatch(head)
        if media is not None and depth == 0:
            inner = "".join(_rules(body, scope, prefix, depth + 1))
            if inner:
                yield f"@media {media[1].strip()}{{{inner}}}"
            continue
        kept = declarations(body, CONFINED) if "{" not in body else ""
        if not kept:
            continue
        selectors = [found for part in head.split(",") if (found := _selector(part, scope, prefix))]
        if selectors:
            yield f"{','.join(selectors)}{{{kept}}}\n"


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """The ``head { body }`` blocks of the outermost level; each character is looked at once."""
    depth, start, body = 0, 0, 0
    for match in re.finditer(r"[{};]", text):
        match match[0]:
            case "{":
                if depth == 0:
                    body = match.end()
                depth += 1
            case "}" if depth > 0:
                depth -= 1
                if depth == 0:
                    yield text[start : body - 1].strip(), text[body : match.start()]
                    start = match.end()
            case _ if depth == 0:
                start = match.end()  # a statement without a block, such as @import


def _selector(text: str, scope: str, prefix: str) -> str | None:
    text = text.strip()
    if len(text) > _LONGEST_SELECTOR:
        return None
    if _ROOTS.fullmatch(text):
        return f"#{scope}"
    if re.fullmatch(_SELECTOR, text) is None:
        return None
    return f"#{scope} " + _HOOK.sub(lambda match: f"{match[1]}{prefix}{match[2]}", text)
