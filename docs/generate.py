"""Writes docs/settings.md from the table of settings in the code: python docs/generate.py."""

from __future__ import annotations

import json
from pathlib import Path

from pytest_nbci.settings import SETTINGS, Setting

HEAD = """# Settings

Generated from `pytest_nbci/settings.py` by `make docs`; change it there.

A table `[tool.nbci]` in `pyproject.toml` is read by `pytest` and by `nbci`. An unknown key or a value
of the wrong type is a usage error (exit code 4) that names the nearest known key.

"""

SESSION = """## Session settings
A flag wins over a variable, that over the table, that over the default.

"""

TABLE = """## Table only

"""

NOTEBOOK = """## Notebook settings
The notebook's own metadata (`"nbci": {…}`) win over `[[tool.nbci.notebook]]` (of several whose `path`
matches the later one wins), that over `[tool.nbci]`, that over the default. A wrong key in a
notebook's metadata fails that notebook only.

```toml
[[tool.nbci.notebook]]
path = "reports/**"   # * stays within a folder, ** does not; no slash: that file name anywhere
timeout = 60
```

"""

DATA = """## Test data
`[tool.nbci.data.PROFILE]` describes what the fixture `nbci_test_data` returns where it is not
overridden. The profile is `test` unless `--nbci-profile` says otherwise.

| key | meaning |
|---|---|
| `root` | a folder, relative to the project root; everything in it is laid over the checkout |
| `files` | name in the checkout = file or folder (relative to the project root, or absolute) |
| `parameters` | values for notebooks that assign these names in their cell tagged `parameters` |

Names in the checkout are relative to the project root: the folder of the `pyproject.toml` with the
table, else the top of the repository. Files above 64 MB are linked instead of copied, and it is an
error if the notebook changes one.

## Environment
| variable | meaning |
|---|---|
| `NBCI_DIR` | folder for everything we write, instead of `.nbci` in the project root |

Credentials are those of the libraries: `AWS_*` (with `AWS_ENDPOINT_URL_S3` for MinIO) and
`MLFLOW_TRACKING_*`.
"""


def main() -> None:
    (Path(__file__).parent / "settings.md").write_text(settings_page(), encoding="utf-8")


def settings_page() -> str:
    return "".join(
        [
            HEAD,
            SESSION,
            _rows("session", ("flag", "variable")),
            TABLE,
            _rows("table", ()),
            NOTEBOOK,
            _rows("notebook", ("flag",)),
            DATA,
        ]
    )


def _rows(scope: str, columns: tuple[str, ...]) -> str:
    names = ("key", *columns, "value", "default", "meaning")
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    lines += [
        f"| {' | '.join(_cells(setting, columns))} |"
        for setting in SETTINGS
        if setting.scope == scope
    ]
    return "\n".join(lines) + "\n\n"


def _cells(setting: Setting, columns: tuple[str, ...]) -> list[str]:
    middle = [getattr(setting, column) for column in columns]
    default = setting.default
    shown = "none" if default in (None, (), {}) else f"`{json.dumps(default, default=list)}`"
    return [
        f"`{setting.name}`",
        *(f"`{value}`" if value else "" for value in middle),
        setting.kind.name,
        shown,
        setting.help,
    ]


if __name__ == "__main__":
    main()
