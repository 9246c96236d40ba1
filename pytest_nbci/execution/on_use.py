"""Imports put off until something is used: papermill's clients of storages, never needed here.

They are a third of the time that papermill takes to import, more where pyarrow is installed.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

_PUT_OFF = ("boto3.session", "github", "pyarrow.fs")
# Other clients of storages, which import from inside of requests: papermill would miss them.
_USERS_OF_REQUESTS = ("azure", "gcsfs")


def put_off() -> tuple[str, ...]:
    """What papermill imports and is never needed here."""
    is_used = any(importlib.util.find_spec(name) is not None for name in _USERS_OF_REQUESTS)
    return _PUT_OFF if is_used else (*_PUT_OFF, "requests")


@contextmanager
def on_use(*names: str) -> Generator[None]:
    """While it is open, an import of these modules gives what imports them when it is called.

    Modules that are imported already, or not installed, are left alone. Afterwards an import is
    what it always is.

    Args:
        names: Modules of which the importer only calls functions and classes.
    """
    stand_ins = {name: _StandIn(name) for name in names if _is_put_off(name)}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, stand_in in stand_ins.items():
            stand_in.is_open = False
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]


def _is_put_off(name: str) -> bool:
    package = name.partition(".")[0]
    return package not in sys.modules and importlib.util.find_spec(package) is not None


class _StandIn(ModuleType):
    """What ``from module import name`` or ``import module`` gets meanwhile."""

    is_open = True

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if self.is_open:
            return _put_off(self.__name__, name)
        return getattr(import_module(self.__name__), name)


def _put_off(module: str, name: str) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        return getattr(import_module(module), name)(*arguments, **named)

    return call
