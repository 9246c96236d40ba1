"""Libraries that are installed here, and the diagnosis that one has changed."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from pytest_nbci.execution.scene import Diagnosis, Scene


def changed_library(scene: Scene, module: str) -> Diagnosis | None:
    """A diagnosis if ``module`` comes from an installed distribution, not from the repository."""
    found = _distributions().get(module, [])
    spec = importlib.util.find_spec(module) if found else None
    origin = Path((spec.origin if spec else None) or "/")
    own = origin.is_relative_to(scene.place.users_top) and not origin.is_relative_to(sys.prefix)
    if spec is None or own:
        return None
    version = metadata.version(found[0])
    return Diagnosis(
        "changed_library",
        f" ({found[0]} {version} is installed here)",
        f"Adapt the cell to {found[0]} {version}, or pin the version it was written for in the "
        "requirements.",
    )


@lru_cache(maxsize=1)
def _distributions() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def is_installed(module: str) -> bool:
    """Whether a top-level module of that name can be imported here."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
