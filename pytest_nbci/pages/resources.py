"""The package's own files: templates, style, scripts and the libraries that pages may contain."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import sys
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2
    from jinja2.bccache import Bucket


@cache
def text_file(name: str) -> str:
    """The text of ``pytest_nbci/pages/<name>``."""
    return files(__package__).joinpath(*name.split("/")).read_text(encoding="utf-8")


@cache
def base64_file(name: str) -> str:
    """A file's bytes in base64."""
    data = files(__package__).joinpath(*name.split("/")).read_bytes()
    return base64.b64encode(data).decode("ascii")


@cache
def packed_file(name: str) -> str:
    """A file compressed with gzip, in base64: a third of a library's size, unpacked when used."""
    data = files(__package__).joinpath(*name.split("/")).read_bytes()
    return base64.b64encode(gzip.compress(data, compresslevel=9, mtime=0)).decode("ascii")


@cache
def script_hash(name: str) -> str:
    """The source expression that lets a Content Security Policy run exactly this script."""
    digest = hashlib.sha256(text_file(name).encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def template(name: str) -> jinja2.Template:
    """A template of this package; whatever it prints is escaped unless it is ``Markup``."""
    return _environment().get_template(name)


def compile_templates() -> None:
    """Compile all templates now; each would be compiled with the first page that needs it."""
    for file in files(__package__).joinpath("templates").iterdir():
        template(file.name)


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: text_file(f"templates/{name}")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        bytecode_cache=_bytecode_cache(),
    )


def _bytecode_cache() -> jinja2.BytecodeCache:
    """Keeps compiled templates where Python keeps the modules here, if it may write there."""
    import jinja2

    class Cache(jinja2.FileSystemBytecodeCache):
        def load_bytecode(self, bucket: Bucket) -> None:
            try:
                super().load_bytecode(bucket)
            except Exception:  # noqa: BLE001 - whatever pickle and marshal make of a cut file
                bucket.reset()

        def dump_bytecode(self, bucket: Bucket) -> None:
            if not sys.dont_write_bytecode:
                with contextlib.suppress(OSError):
                    super().dump_bytecode(bucket)

    folder = Path(__file__).with_name("__pycache__")
    tag = f"{sys.implementation.cache_tag}-jinja2-{jinja2.__version__}"
    return Cache(str(folder), f"%s.{tag}.bytecode")
