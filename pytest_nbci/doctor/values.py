"""Every setting with its value and where that came from, out of the table of settings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from pytest_nbci import settings
from pytest_nbci.delivery import without_password
from pytest_nbci.settings import Setting, Table


def settings_lines(
    table: Table, flags: Mapping[str, str | None], environment: Mapping[str, str]
) -> Iterator[str]:
    """One aligned line a setting: name, value, origin.

    Args:
        table: The project's table.
        flags: Values of flags by the setting's name; missing or None where not given.
        environment: Variables.
    """
    rows = [(one.name, *_found(one, table, flags, environment)) for one in settings.SETTINGS]
    names = max(len(name) for name, _, _ in rows)
    values = min(max(len(value) for _, value, _ in rows), 48)
    for name, value, origin in rows:
        yield f"{name:<{names}}  {value:<{values}}  {origin}"
    if table.rules:
        count = len(table.rules)
        yield f"and {count} [[tool.nbci.notebook]] in {settings.describe(table.path)}"


def _found(
    setting: Setting,
    table: Table,
    flags: Mapping[str, str | None],
    environment: Mapping[str, str],
) -> tuple[str, str]:
    if setting.scope == "session":
        value, origin = settings.resolve_session(
            setting.name, flags.get(setting.name), environment, table
        )
        shown = "none" if value is None else without_password(value)
        return shown, origin.replace(str(table.path), settings.describe(table.path))
    if setting.name in table.values:
        origin = f"{setting.name} in [tool.nbci] of {settings.describe(table.path)}"
        return json.dumps(table.values[setting.name], default=list), origin
    none = setting.default in (None, (), {})
    return ("none" if none else json.dumps(setting.default, default=list)), "the default"
