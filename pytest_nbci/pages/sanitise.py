"""A stranger's HTML, reduced to what cannot run, load, navigate or leave its place.

nh3 (ammonia, an HTML parser and allow-list written in Rust) does the work; this module holds the
lists. Classes and ids get a prefix, so that nothing of a notebook can take the looks or the place
of a part of our page; images and sounds stay only as ``data:``.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from functools import lru_cache, partial
from urllib.parse import unquote, urlsplit

from markupsafe import Markup

from pytest_nbci.pages import css
from pytest_nbci.pages.text import printable

PREFIX = "u-"
"""Before every class and id that comes from a notebook."""

# nh3's time is quadratic in the depth of unclosed elements: 10,000 take 0.2 s, 100,000 28 s.
_DEEPEST = 3_000
_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/>]*)")
_ANY_TAG = re.compile(r"(<[^<>]*>)")
_MANY_ENTITIES, _LONG_TEXT = 5_000, 4_000
_VOID = frozenset({"img", "br", "hr", "col", "input", "source", "wbr", "meta", "link", "area"})
_SELF_CLOSING = frozenset({"p", "li", "td", "th", "tr", "dt", "dd", "option", "thead", "tbody"})

_TAGS = frozenset(
    {
        *("h1", "h2", "h3", "h4", "h5", "h6", "p", "div", "span", "section", "article", "aside"),
        *("header", "footer", "main", "nav", "figure", "figcaption", "blockquote", "pre", "hr"),
        *("ul", "ol", "li", "dl", "dt", "dd", "details", "summary", "center", "br", "wbr"),
        *("table", "caption", "colgroup", "col", "thead", "tbody", "tfoot", "tr", "td", "th"),
        *("a", "abbr", "b", "bdi", "bdo", "cite", "code", "del", "dfn", "em", "font", "i", "ins"),
        *("kbd", "mark", "q", "rp", "rt", "ruby", "s", "samp", "small", "strike", "strong", "sub"),
        *("sup", "time", "tt", "u", "var", "img", "audio", "video", "source"),
        *("input", "label", "meter", "output", "progress"),
    }
)
_ATTRIBUTES = {
    "*": {"class", "id", "style", "title", "lang", "dir", "align", "valign", "role", "hidden"},
    "a": {"href"},
    "audio": {"src", "controls"},
    "video": {"src", "controls", "width", "height", "loop", "muted"},
    "source": {"src"},
    "img": {"src", "alt", "width", "height"},
    "input": {"type", "checked"},
    "label": {"for"},
    "details": {"open"},
    "font": {"color", "face", "size"},
    "meter": {"value", "min", "max", "low", "high", "optimum"},
    "progress": {"value", "max"},
    "ol": {"start", "reversed", "type"},
    "li": {"value"},
    "table": {"border", "cellpadding", "cellspacing", "width", "bgcolor"},
    "col": {"span", "width"},
    "colgroup": {"span", "width"},
    "td": {"colspan", "rowspan", "headers", "width", "height", "bgcolor", "nowrap"},
    "th": {"colspan", "rowspan", "headers", "scope", "width", "height", "bgcolor", "nowrap"},
    "tr": {"bgcolor"},
    "time": {"datetime"},
    "blockquote": {"cite"},
}
_GONE_WITH_CONTENT = frozenset({"script", "style", "title", "noscript", "template", "iframe"})
_GONE_WITH_CONTENT |= {"object", "embed", "applet", "svg", "math", "textarea", "select", "noembed"}
_ACTIVE = re.compile(
    r"<(?:script|iframe|object|embed|canvas|form|button)\b|<[a-z][^<>]*?\son[a-z]{2,30}\s*=",
    re.IGNORECASE,
)
_DATA = re.compile(
    r"\s*data:(?P<kind>image|audio|video)/[\w.+-]+(?:;[\w=+.-]+)*,",
    re.IGNORECASE,
)
_DATA_HEAD = 200  # characters of a data: address that hold its type
_SCHEMES = {"http", "https", "mailto", "data"}
_WORD = re.compile(r"[\w-]+")
_NO_WORD = re.compile(r"[^\w-]")


def is_active(html: str) -> bool:
    """Whether ``html`` holds something that only works when its scripts run."""
    return _ACTIVE.search(html) is not None


def too_deep(html: str) -> bool:
    """Whether ``html`` is nested deeper than anything a person or a library writes."""
    depth = 0
    if html.count("<") <= _DEEPEST:
        return False
    for close, written in _TAG.findall(html):
        name = written.lower()
        if name in _VOID or name in _SELF_CLOSING:
            continue
        depth = depth - 1 if close and depth else depth + (not close)
        if depth > _DEEPEST:
            return True
    return False


def clean(html: str, scope: str | None = None, mark: str | None = None) -> Markup:
    """What of ``html`` may stand in the page.

    Args:
        html: Any text. Nested too deep, it comes back as text.
        scope: The id of the element the result is put into; with it the style sheets inside are
            kept as far as they only reach elements in there, and ids are the output's own.
        mark: A text that must not survive in an attribute.
    """
    import nh3

    html = printable(html)
    if too_deep(html):
        return Markup("<pre>{}</pre>").format(html)
    prefix = PREFIX if scope is None else f"{scope}-"
    sheets = ""
    if scope is not None:
        found = (html[inner] for _, inner in _elements(html, "style"))
        sheets = "".join(css.scoped(text, scope, prefix) for text in found)
    html = _with_short_texts(_with_images(html))
    cleaned = nh3.clean(
        html,
        tags=set(_TAGS),
        clean_content_tags=set(_GONE_WITH_CONTENT),
        attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
        attribute_filter=partial(_attribute, prefix, mark),
        url_schemes=_SCHEMES,
        link_rel="noopener noreferrer",
        set_tag_attribute_values={"input": {"type": "checkbox"}},
    )
    style = f"<style>{sheets}</style>" if sheets else ""
    return Markup(style + cleaned)  # noqa: S704 - this is the place that makes it safe


def svg_image(svg: str, title: str = "") -> Markup:
    """An SVG drawing as an image: as such a browser runs no script of it and loads nothing."""
    if "xmlns" not in svg[:2000]:
        svg = re.sub(r"<svg\b", '<svg xmlns="http://www.w3.org/2000/svg"', svg, count=1)
    data = b64encode(printable(svg).encode()).decode("ascii")
    return Markup('<img src="data:image/svg+xml;base64,{}" alt="{}">').format(data, title)


def _with_images(html: str) -> str:
    pieces = []
    position = 0
    for whole, _ in _elements(html, "svg"):
        pieces += [html[position : whole.start], str(svg_image(html[whole]))]
        position = whole.stop
    return "".join([*pieces, html[position:]])


def _with_short_texts(html: str) -> str:
    """``html`` with long texts cut by comments, which nh3 drops.

    Its time is quadratic in the entities of one text: 1 MB of a log in a ``<pre>`` took 1.5 s,
    8 MB a minute and a half.
    """
    if html.count("&") < _MANY_ENTITIES:
        return html
    pieces = []
    for piece in _ANY_TAG.split(html):
        if len(piece) < _LONG_TEXT or piece.startswith("<"):
            pieces.append(piece)
            continue
        length = 0
        for part in piece.split("&"):
            length += len(part) + 1
            pieces.append(part + ("<!---->&" if length > _LONG_TEXT else "&"))
            length = 0 if length > _LONG_TEXT else length
        pieces[-1] = part
    return "".join(pieces)


def _elements(html: str, name: str) -> Iterator[tuple[slice, slice]]:
    """Where elements of a name are, whole and their content; looks at each character once."""
    opening = re.compile(rf"<{name}\b[^<>]*>", re.IGNORECASE)
    closing = re.compile(rf"</{name}\s*>", re.IGNORECASE)
    start = opening.search(html)
    while start is not None:
        end = closing.search(html, start.end())
        if end is None:
            return
        yield slice(start.start(), end.end()), slice(start.end(), end.start())
        start = opening.search(html, end.end())


def _attribute(prefix: str, mark: str | None, tag: str, name: str, value: str) -> str | None:
    """The value an attribute may have, or None: it goes."""
    if mark is not None and mark in value:
        return None
    result: str | None = value
    match name:
        case "class" | "headers":
            result = _prefixed(prefix, value)
        case "id" | "for":
            result = f"{prefix}{slug(value)}" if value.strip() else None
        case "style":
            properties = css.INLINE if prefix == PREFIX else css.CONFINED
            result = css.declarations(value, properties) or None
        case "src":
            data = _DATA.match(value, 0, _DATA_HEAD)
            allowed = {"img": {"image"}, "audio": {"audio"}, "video": {"video"}}
            kinds = allowed.get(tag, {"audio", "video"})
            result = value if data is not None and data["kind"].lower() in kinds else None
        case "href":
            result = link(value, prefix)
        case "cite":
            result = None
    return result


@lru_cache(maxsize=1024)
def _prefixed(prefix: str, words: str) -> str:
    return " ".join(f"{prefix}{word}" for word in words.split() if _WORD.fullmatch(word))


def slug(text: str) -> str:
    """The id that stands for a heading, or for a fragment that means it."""
    return _NO_WORD.sub("-", text.strip())[:200]


def link(target: str, prefix: str = PREFIX) -> str | None:
    """Where a link of a notebook may lead.

    Other notebooks have their page next to this one, so ``other.ipynb`` becomes
    ``other.ipynb.html``; a fragment becomes the prefixed id it means.
    """
    target = target.strip()
    try:
        parts = urlsplit(target)
    except ValueError:
        return None
    if target.startswith("#"):
        return f"#{prefix}{slug(unquote(target[1:]))}"
    if parts.scheme.lower() in {"http", "https", "mailto"}:
        return target
    if parts.scheme or parts.netloc:
        return None
    if parts.path.endswith(".ipynb"):
        return parts._replace(path=f"{parts.path}.html", fragment="").geturl()
    return target
