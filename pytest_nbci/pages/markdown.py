"""Markdown cells: CommonMark with GitHub's tables, strike-through and task lists, and formulas.

What the notebook wrote goes through the sanitiser; formulas and highlighted code, which are ours
and already safe, are put in afterwards, at marks that nobody can guess.
"""

from __future__ import annotations

import re
import secrets
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from markupsafe import Markup

from pytest_nbci.pages import latex, sanitise
from pytest_nbci.pages.highlight import code_lines
from pytest_nbci.pages.text import one_line, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_ATTACHMENT = re.compile(r'(\ssrc=["\']?)attachment:([^"\'>\s]+)')
_IMAGE_TYPE = re.compile(r"image/[\w.+-]+")
_BASE64 = re.compile(r"[\w+/=-]*", re.ASCII)
_LONGEST = 1_000_000
_MATH = ("math_inline", "math_inline_double", "math_block", "math_block_label", "amsmath")


def render(source: str, attachments: Mapping[str, Any] | None = None) -> Markup:
    """A Markdown text as HTML.

    Args:
        source: The text. Of more than 1 MB it is shown as it is.
        attachments: The cell's attachments: name to ``{MIME type: base64}``.
    """
    if len(source) > _LONGEST:
        return Markup("<pre>{}</pre>").format(source)
    mark = f"nbci{secrets.token_hex(8)}x"
    env: dict[str, Any] = {"mark": mark, "pieces": []}
    try:
        html = _parser().render(source.replace("\x00", "\ufffd"), env)
    except Exception:  # noqa: BLE001 - a stranger's text in another program's parser; nothing is lost
        return Markup("<pre>{}</pre>").format(source)
    if "attachment:" in html:
        html = _ATTACHMENT.sub(lambda match: _attached(match, attachments or {}), html)
    cleaned = sanitise.clean(html, mark=mark)
    pieces: list[Markup] = env["pieces"]
    if not pieces:
        return cleaned
    text = re.sub(rf"{mark}(\d+)x", lambda match: pieces[int(match[1])], str(cleaned))
    return Markup(text)  # noqa: S704 - sanitised text with safe pieces in it


def _attached(match: re.Match[str], attachments: Mapping[str, Any]) -> str:
    name = unquote(match[2])
    bundle = attachments.get(name)
    if isinstance(bundle, dict):
        for kind, data in bundle.items():
            content = "".join(text_of(data).split())
            if _IMAGE_TYPE.fullmatch(kind) and _BASE64.fullmatch(content):
                return f"{match[1]}data:{kind};base64,{content}"
    return match[0]


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt
    from mdit_py_plugins.amsmath import amsmath_plugin
    from mdit_py_plugins.dollarmath import dollarmath_plugin
    from mdit_py_plugins.tasklists import tasklists_plugin

    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    # Without allow_space=False and allow_digits=False, "$5 and $10" is a formula.
    dollarmath_plugin(parser, allow_space=False, allow_digits=False, double_inline=True)
    amsmath_plugin(parser)
    tasklists_plugin(parser)
    parser.core.ruler.push("heading_ids", _heading_ids)
    for name in _MATH:
        parser.add_render_rule(name, _later(_formula))
    parser.add_render_rule("fence", _later(_code))
    parser.add_render_rule("code_block", _later(_code))
    parser.add_render_rule("image", _image)
    return parser


def _later(draw: Callable[[Token], Markup]) -> Callable[..., str]:
    """A render rule that keeps what ``draw`` made until the rest has been sanitised."""

    def rule(
        renderer: Any,  # noqa: ARG001 - markdown-it's signature
        tokens: Sequence[Token],
        index: int,
        options: Any,  # noqa: ARG001
        env: dict[str, Any],
    ) -> str:
        env["pieces"].append(draw(tokens[index]))
        return f"{env['mark']}{len(env['pieces']) - 1}x"

    return rule


def _formula(token: Token) -> Markup:
    if token.type == "math_inline":
        return latex.formula(token.content, display=False)
    return Markup("<span class=display>{}</span>").format(
        latex.formula(token.content, display=True)
    )


def _code(token: Token) -> Markup:
    language = token.info.split()[0] if token.info.split() else ""
    lines = code_lines(token.content.removesuffix("\n"), language)
    html = Markup("\n".join(lines))  # noqa: S704 - escaped by pygments or html.escape
    return Markup('<pre class="code">\n{}</pre>').format(html)


def _image(
    renderer: Any,
    tokens: Sequence[Token],
    index: int,
    options: Any,
    env: dict[str, Any],
) -> str:
    """An image that lies in the notebook; of any other, only its name: a page loads nothing."""
    token = tokens[index]
    source = str(token.attrGet("src") or "")
    if source.startswith(("data:", "attachment:")):
        return str(renderer.image(tokens, index, options, env))
    described = renderer.renderInlineAsText(token.children or [], options, env)
    name = ", ".join(filter(None, (one_line(unquote(source), 200), one_line(described, 200))))
    label = Markup('<span class="missing-image">image not in the notebook: {}</span>')
    env["pieces"].append(label.format(name))
    return f"{env['mark']}{len(env['pieces']) - 1}x"


def _heading_ids(state: Any) -> None:
    for opening, content in zip(state.tokens, state.tokens[1:], strict=False):
        if opening.type == "heading_open":
            text = "".join(child.content for child in content.children or [])
            opening.attrSet("id", text)
