"""Files kept for later sessions; one that is not just as it was written counts as absent."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

from pytest_nbci.store import write_atomically


def read_kept(file: Path, key: str) -> dict[str, Any]:
    """What ``write_kept`` wrote there under the same key; else nothing."""
    content = b""
    with contextlib.suppress(OSError):
        content = file.read_bytes()
    head, _, text = content.partition(b"\n")
    # Nothing is parsed that we did not write: so no value in it can be of another kind.
    found: dict[str, Any] = json.loads(text) if head == _head(key, text) else {}
    return found


def write_kept(file: Path, key: str, data: dict[str, Any]) -> None:
    """Keep ``data`` as JSON behind a line with the key and a hash; not where that fails."""
    text = json.dumps(data, separators=(",", ":")).encode()
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, _head(key, text) + b"\n" + text)


def _head(key: str, text: bytes) -> bytes:
    return f"{key} {hashlib.sha256(text).hexdigest()}".encode()
