"""The machine and versions that a figure was measured on."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path


def describe_machine(*packages: str) -> str:
    """One line: processor, cores, Python, and the versions of ``packages``."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    versions = [f"{name} {metadata.version(name)}" for name in ("pytest", "pytest-nbci", *packages)]
    parts = [model, f"{os.cpu_count()} cores", f"Python {platform.python_version()}", *versions]
    return ", ".join(parts)
