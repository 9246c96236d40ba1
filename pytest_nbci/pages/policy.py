"""What a page may do: the Content Security Policy that every page carries.

Frames made by ``srcdoc`` inherit it, so it also holds for a notebook's own scripts: no request of
any kind, no navigation, no form. Scripts are the two files of ours, named by hash, and ``blob:``,
by which static/frame.js runs an output's scripts inside its sandboxed frame. The page itself never
makes a blob of anything, and nothing that came from a notebook can be a script in it.
"""

from __future__ import annotations

from pytest_nbci.pages import resources

PAGE_SCRIPT = "static/page.js"
FRAME_SCRIPT = "static/frame.js"


def content_security_policy() -> str:
    """The policy, as the page's ``<meta>`` states it."""
    scripts = f"{resources.script_hash(PAGE_SCRIPT)} {resources.script_hash(FRAME_SCRIPT)} blob:"
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {scripts}",
            "worker-src 'none'",
            "frame-src 'none'",  # still permits srcdoc
            "form-action 'none'",
            "base-uri 'none'",
            "img-src data: blob:",
            "media-src data:",
            "font-src data:",
            "style-src 'unsafe-inline'",
        )
    )
