"""Secrets kept out of results: which there are, and ``[NAME]`` in their place.

Known are the values of environment variables whose names look secret; AWS keys, JWTs, private keys
and passwords in URLs are recognised by their form. docs/security.md says what is promised.
"""

from __future__ import annotations

import base64
import bisect
import html
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus, unquote

T = TypeVar("T")

SHORTEST = 8
# KEY and TOKEN end a part of the name, so KEYBOARD_LAYOUT and TOKENIZERS_PARALLELISM are none.
_SECRET_NAME = re.compile(
    r"SECRET|PASSW(?:OR)?D|PASSPHRASE|CREDENTIAL|(?:KEY|TOKEN)S?\d*(?![A-Z0-9])"
)
_CAMEL_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]")
# Base64, and meant for eyes or ears: a chance hit in it would spoil a picture.
_BINARY = re.compile(r"image/(?!svg)|audio/|video/|application/(?:pdf|octet-stream)")
# Names that Jupyter and pages look up; no place for text of a notebook's own.
_FORMAT = frozenset({"kernelspec", "language_info", "tags"})


def _begins_word(letters: int) -> str:
    r"""That a word begins so many letters before; a letter may be of an escape (\neyJ, %3DeyJ).

    Looking back from behind a literal is quick: the search leaps from literal to literal.
    """
    word = "." * letters
    escaped = rf"(?<=\\[nrt]{word})|(?<=%[0-9A-Fa-f]{{2}}{word})"
    return rf"(?s:(?<![A-Za-z0-9_]{word})|{escaped})"


_URL_PASSWORD = re.compile(
    r"""://[^\s/?\#:@"'<>]{0,200}:
    (?!(?:\*+|\[[^\]\s]+\]|\$?\{[^}\s]*\}|\$\w+|%s|%\(\w+\)s)@)  # masked, or a placeholder
    ([^\s/?\#"'<>]{1,300})@""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class _Form:
    """What a secret that no variable holds looks like.

    Attributes:
        name: What stands in its place.
        hints: One of these is in every text that holds one; looking for them is quick.
        pattern: Its last group, or else the whole, is the secret. In time linear in the text.
    """

    name: str
    hints: tuple[str, ...]
    pattern: re.Pattern[str]


_FORMS = (
    _Form(
        "PRIVATE_KEY",
        ("PRIVATE KEY",),
        # Its end may be cut off; then what looks like base64 counts.
        re.compile(
            r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
            r"(?:(?:[^-]++|-(?!----))*+-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
            r"|(?:(?:\\+[nr]|[^\w+/=-]){1,12}[A-Za-z0-9+/=]{40,}+)+"
            r"(?:(?:\\+[nr]|\s){1,4}[A-Za-z0-9+/=]{8,}+)?)"
        ),
    ),
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html (unique ids)
    _Form(
        "AWS_KEY",
        ("AKIA", "ASIA", "ABIA", "ACCA"),
        re.compile(rf"(?:AKIA|ASIA|ABIA|ACCA){_begins_word(4)}[A-Z0-9]{{16}}(?![A-Za-z0-9])"),
    ),
    # Forty characters alone may be anything; after such a name they are no digest.
    _Form(
        "AWS_KEY",
        ("secret", "Secret", "SECRET"),
        re.compile(
            r"(?:secret|Secret|SECRET)_?(?:access|Access|ACCESS)?_?(?:key|Key|KEY)"
            r"(?:</?\w+>|&\#?\w+;|[^\w/+]){1,20}([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])"
        ),
    ),
    # https://datatracker.ietf.org/doc/html/rfc7519: header and claims are JSON objects ({").
    _Form(
        "JWT",
        ("eyJ",),
        re.compile(
            rf"eyJ{_begins_word(3)}[A-Za-z0-9_-]{{8,}}+\.eyJ[A-Za-z0-9_-]{{8,}}+\.[A-Za-z0-9_-]*+"
        ),
    ),
    _Form("PASSWORD", ("://",), _URL_PASSWORD),
)


@dataclass(frozen=True)
class Secrets:
    """What no result may hold: each text in which a secret can stand, and the variable's name."""

    names: Mapping[str, str] = field(default_factory=dict)

    def __or__(self, other: Secrets) -> Secrets:
        """Both."""
        return self if self.names == other.names else Secrets({**other.names, **self.names})

    @cached_property
    def has_numbers(self) -> bool:
        """Whether a number of a JSON value may be one of them."""
        return any(text.isdigit() for text in self.names)


def find_secrets(environment: Mapping[str, str], globs: Iterable[str] = ()) -> Secrets:
    """The secrets that variables hold.

    Args:
        environment: Variables.
        globs: The setting ``scrub``: further names of such variables, with a leading ``!`` names
            of variables that hold none; the last one that matches decides.

    Returns:
        Values of at least ``SHORTEST`` characters. A path that exists is none, whatever the name;
        the password of a URL is one in every variable.
    """
    patterns = tuple(globs)
    names: dict[str, str] = {}
    for name, value in sorted(environment.items()):
        passwords = [match[1] for match in _URL_PASSWORD.finditer(value)]
        found = {*passwords, *map(unquote, passwords)}
        if _is_secret(name, patterns) and not _is_existing_path(value):
            found |= set(_parts(value.strip()))
        for secret in found:
            if len(secret) >= SHORTEST:
                for text in _spellings(secret):
                    names.setdefault(text, name)
    return Secrets(names)


def _is_secret(name: str, globs: Iterable[str] = ()) -> bool:
    is_secret = _SECRET_NAME.search(_CAMEL_CASE.sub("_", name).upper()) is not None
    for glob in globs:
        if fnmatchcase(name, glob.removeprefix("!")):
            is_secret = not glob.startswith("!")
    return is_secret


def _is_existing_path(value: str) -> bool:
    # pathlib raises for a name that is too long, as a key may be.
    return os.path.isabs(value) and os.path.exists(value)  # noqa: PTH110, PTH117


def _parts(value: str) -> Iterator[str]:
    """A value, and those parts of it that are secrets when they stand alone."""
    yield value
    try:
        data = json.loads(value) if value.startswith(("{", "[")) else None
    except (ValueError, RecursionError):
        data = None
    if data is not None:
        yield from _secret_leaves(data)
    elif "\n" in value:
        lines = (line.strip() for line in value.splitlines())
        yield from (line for line in lines if not line.startswith("-----"))


def _secret_leaves(data: object) -> Iterator[str]:
    """Values of a JSON document, as cloud credentials are, whose keys look secret."""
    if isinstance(data, dict):
        for key, value in data.items():
            if isinstance(value, str) and _is_secret(key):
                yield from _parts(value.strip())
            else:
                yield from _secret_leaves(value)
    elif isinstance(data, list):
        for value in data:
            yield from _secret_leaves(value)


@lru_cache(maxsize=256)  # asked several times for each notebook
def _spellings(secret: str) -> frozenset[str]:
    """How ``secret`` is written: as it is, escaped once or twice, in base64."""
    once = {write(secret) for write in _WRITERS}
    twice = {write(text) for text in once for write in _WRITERS}
    in_base64 = _in_base64(secret.encode("utf-8", "surrogateescape"))
    return frozenset({secret, *once, *twice, *in_base64})


def _percent(text: str, safe: str = "") -> str:
    return quote(text, safe=safe, errors="surrogateescape")


_WRITERS: tuple[Callable[[str], str], ...] = (
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    lambda text: repr(text)[1:-1],
    lambda text: repr(f"{text}'\"")[1:-4],  # within a text that holds both kinds of quotes
    lambda text: repr(text.encode("utf-8", "surrogateescape"))[2:-1],
    html.escape,
    lambda text: html.escape(text, quote=False),
    lambda text: html.escape(text).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
    _percent,
    lambda text: _percent(text, "/"),
    lambda text: quote_plus(text, errors="surrogateescape"),
    lambda text: re.sub("%..", lambda found: found[0].lower(), _percent(text)),
    lambda text: re.sub(r"([&%$#_{}])", r"\\\1", text),  # LaTeX
)


def _in_base64(data: bytes) -> Iterator[str]:
    """How ``data`` is written in base64, alone or among other bytes.

    A character holds six bits, so there are three ways to stand among others; the first and the
    last character may be shared with a neighbour and are left out.
    """
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        alone = encode(data).decode()
        yield alone
        yield alone.rstrip("=")
        for shift, begin in ((0, 0), (1, 2), (2, 3)):
            end = (shift + len(data)) * 8 // 6
            yield encode(b"\0" * shift + data).decode()[begin:end]


def scrub_text(text: str, secrets: Secrets) -> str:
    """``text`` with a ``[NAME]`` for each secret; the same object where there is none."""
    return _scrub(text, secrets, "")


def scrub_values(value: T, secrets: Secrets) -> T:
    """``value`` (strings, lists, dictionaries, data classes) with every string scrubbed."""
    scrubbed: T = _walk(value, secrets, lambda key: key)
    return scrubbed


def scrub_data(value: T, secrets: Secrets) -> T:
    """As ``scrub_values``, the keys of dictionaries too."""
    scrubbed: T = _walk(value, secrets, lambda key: scrub_text(key, secrets))
    return scrubbed


def scrub_notebook(content: Mapping[str, Any], secrets: Secrets) -> None:
    """Scrub an executed notebook in place: sources, outputs, attachments, metadata.

    What the format itself rests on stays: ids, types, tags, the kernel. So do pictures.
    """
    _replace(content, "metadata", lambda found: _scrub_metadata(found, secrets))
    for cell in content["cells"]:
        # As many lines as before, so that line numbers in tracebacks stay right.
        _replace(cell, "source", lambda source: _scrub(source, secrets, "\n"))
        _replace(cell, "metadata", lambda found: _scrub_metadata(found, secrets))
        _replace(
            cell,
            "attachments",
            lambda files: (
                {name: _scrub_bundle(file, secrets) for name, file in files.items()}
                if isinstance(files, Mapping)
                else scrub_data(files, secrets)
            ),
        )
        for output in cell.get("outputs", ()):
            for key in ("text", "ename", "evalue", "traceback"):
                _replace(output, key, lambda found: scrub_values(found, secrets))
            _replace(output, "data", lambda found: _scrub_bundle(found, secrets))
            _replace(output, "metadata", lambda found: scrub_data(found, secrets))


def _replace(node: Any, key: str, scrubbed: Callable[[Any], Any]) -> None:
    if node.get(key):
        node[key] = scrubbed(node[key])


def _scrub_metadata(metadata: Mapping[str, Any], secrets: Secrets) -> dict[str, Any]:
    return {
        name: value if name in _FORMAT else scrub_data(value, secrets)
        for name, value in metadata.items()
    }


def _scrub_bundle(bundle: Any, secrets: Secrets) -> Any:
    """The representations of one output, by MIME type; anything else as data."""
    if not isinstance(bundle, Mapping):
        return scrub_data(bundle, secrets)
    return {
        kind: value if _BINARY.match(kind) else scrub_data(value, secrets)
        for kind, value in bundle.items()
    }


def _walk(value: Any, secrets: Secrets, scrub_key: Callable[[Any], Any]) -> Any:
    if isinstance(value, str):
        return scrub_text(value, secrets)
    if isinstance(value, Mapping):
        return {scrub_key(key): _walk(item, secrets, scrub_key) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        found = {item.name: getattr(value, item.name) for item in fields(value)}
        return replace(value, **_walk(found, secrets, lambda key: key))
    if isinstance(value, list | tuple):
        return type(value)([_walk(item, secrets, scrub_key) for item in value])
    if secrets.has_numbers and str(value) in secrets.names:
        return f"[{secrets.names[str(value)]}]"
    return value


def _scrub(text: str, secrets: Secrets, filler: str) -> str:
    """``scrub_text``, with a ``filler`` for each line break that is lost."""
    # A colour may begin within a secret: it is looked for without the codes, which are kept.
    plain = ANSI.sub("", text) if "\x1b" in text else text
    spans = _merged(_find(plain, secrets))
    if not spans:
        return text
    codes = list(ANSI.finditer(text))
    lengths = list(accumulate((len(code[0]) for code in codes), initial=0))
    places = [code.start() - length for code, length in zip(codes, lengths, strict=False)]

    def in_text(place: int) -> int:
        return place + lengths[bisect.bisect_right(places, place)]

    pieces, done = [], 0
    for start, end, name in spans:
        kept = codes[bisect.bisect_right(places, start) : bisect.bisect_left(places, end)]
        pieces += [text[done : in_text(start)], f"[{name}]"]
        pieces += [filler * plain.count("\n", start, end), *(code[0] for code in kept)]
        done = in_text(end - 1) + 1
    return "".join([*pieces, text[done:]])


def _find(text: str, secrets: Secrets) -> Iterator[tuple[int, int, str]]:
    """Where secrets stand: begin, end, name. A variable's before the same one by its form."""
    for secret, name in secrets.names.items():
        start = text.find(secret)
        while start >= 0:
            yield start, start + len(secret), name
            start = text.find(secret, start + len(secret))
    for form in _FORMS:
        if any(hint in text for hint in form.hints):
            for match in form.pattern.finditer(text):
                yield *match.span(match.re.groups), form.name


def _merged(spans: Iterable[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Spans that overlap as one, called after the one that begins first (the longest of these)."""
    merged: list[tuple[int, int, str]] = []
    for start, end, name in sorted(spans, key=lambda span: (span[0], -span[1])):
        if merged and start < merged[-1][1]:
            before = merged[-1]
            merged[-1] = (before[0], max(before[1], end), before[2])
        else:
            merged.append((start, end, name))
    return merged
