"""Writes docs/settings.md from the table of settings, docs/verdicts.md from examples/broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from pytest_nbci.records import CAUSES, Record
from pytest_nbci.retries import NEVER_RETRIED
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

_NEVER = ", ".join(f"`{cause}`" for cause in NEVER_RETRIED)
RETRIES = f"""### Retries
Each attempt begins anew: checkout restored, test data laid over it, the notebooks in `needs` run, a new
kernel. The last attempt is the result; the executed notebook, page and record of those before lie in
`<notebook>.files/` as `attempt-1.ipynb`, `.html`, `.json`, and their own MLflow runs carry the attempt's
number as tag `nbci.attempt` from 2 on. Files that `keep` names are those of the last attempt. A timeout
holds for each attempt.

Not run again is what another attempt cannot change: {_NEVER}, and
what is skipped. A kernel that does not start is run again too; where a later attempt's kernel does not
start, the notebook is failed, not an error, since pytest is past the setup of its test by then.

pytest-rerunfailures (`--reruns`, the mark `flaky`) runs the whole test again, fixtures included. Its
attempts are counted, kept and called flaky in the same way.

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


VERDICTS = """# Verdicts

Generated from `examples/broken` by `make docs`; `make demo-broken` shows them at the terminal.

A green tick means that every code cell ran, from clean, in order, without an error that its tags do
not announce. Everything else has a cause, a sentence that names file and cell, and a cure.

| outcome | pytest | JUnit | MLflow |
|---|---|---|---|
| passed | `.` | | FINISHED |
| failed: the notebook is at fault | `F` | `<failure>` | FAILED |
| error: it could not be run | `E` | `<error>` | FAILED |
| skipped: the setting `skip`, or a fixture | `s` | `<skipped>` | no run |
| lost: the session was killed | | | KILLED |

Tags that count: `parameters`, `raises-exception` (the cell must raise), `skip-execution` (the cell is
left out). An exit in the last cell that runs, with code 0, is a pass.

A notebook that passes only on a later attempt (the setting `retries`, or pytest-rerunfailures) is passed
and called flaky: at the terminal, in JUnit's system-out, in MLflow (tag `nbci.flaky`) and on its page.

"""

BESIDE = """## What does not fail a notebook
A verdict is about the cells. These pass, as they do in Jupyter:

- an error in a background thread, in an asyncio task that nobody awaits, in a `__del__` method or an
  exit handler; a process that the notebook started and left (it is killed);
- a shell command that fails (`!false`). Test `_exit_code`, or use `%%bash`, where the last command
  decides, and after `set -e` every one; the same holds for a notebook in bash;
- `breakpoint()`, which does nothing unless a debugger's window is open. `input()`, `getpass` and `pdb`
  fail at once, since nobody can answer;
- a restart by JavaScript, since there is no browser. `do_shutdown` of the kernel is an exit;
- a traceback that the cell prints itself. One that is shown as an error (`showtraceback`) fails.

A name of a kernel that is not installed is no fault either: another one of the same language runs the
notebook, and the record says so.

"""

PEERS = """## Where we differ from other tools, and why
Every notebook with which nbmake, nbval, papermill and nbclient test themselves was run here. The outcome
is theirs except for these.

| situation | elsewhere | here | why |
|---|---|---|---|
| `sys.exit(0)` or `raise SystemExit` with cells below | papermill: passes | failed, `exit` | the cells below never ran |
| a cell tagged `raises-exception` raises nothing | nbmake, nbclient: passes | failed, `did_not_raise` | the tag promises a refusal; papermill ignores the tag |
| an error while a result or figure is drawn | nbclient: passes | failed, `cell_error` | the reader sees an error instead of the result |
| `execution.allow_errors` in the notebook's metadata | nbmake: passes | failed | a notebook in which every cell may fail tests nothing; tag the cells that must |
| `execution.timeout` in the metadata | nbmake: obeyed | not read | one place for settings: `timeout` under `nbci` |
| `nbmake` in the metadata (`mock`, `post_cell_execute`) | nbmake: obeyed | not read | parameters, test data and fixtures do it in sight of pytest |
| a parameter that the notebook does not declare | papermill: a warning, and a cell on top | error, `unknown_parameter` | a misspelt name would test nothing |
| a kernel name that is not installed | nbmake, papermill: fails | runs on one of the same language | most notebooks name a kernel of their author's machine |
| a notebook without kernelspec | papermill: fails | runs on Python | the language decides |
| stored outputs differ from new ones | nbval: fails | passes | they depend on machine and version; `assert` says what matters |
| cells after a failed one | nbval: run, after a restart if need be | not run | their errors are consequences, and hide the cause |
| `# NBVAL_SKIP` and its kin in a cell | nbval: obeyed | a comment | `skip-execution` and `raises-exception` are Jupyter's own tags |
"""

DOCS = Path(__file__).parent
BROKEN = DOCS.parent / "examples" / "broken"


def main() -> None:
    (DOCS / "settings.md").write_text(settings_page(), encoding="utf-8")
    (DOCS / "verdicts.md").write_text(verdicts_page(broken_records()), encoding="utf-8")


def broken_records() -> dict[str, Record]:
    """Run every broken example; its record by cause."""
    with tempfile.TemporaryDirectory() as folder:
        paths = sorted(str(path) for path in BROKEN.rglob("*.ipynb"))
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *paths],
            cwd=BROKEN.parent,
            env={**os.environ, "NBCI_DIR": folder},
            check=False,
            stdout=subprocess.DEVNULL,
        )
        found = [Record.from_json(path.read_bytes()) for path in Path(folder).rglob("*.ipynb.json")]
    return {str(record.cause): record for record in found}


def verdicts_page(records: dict[str, Record]) -> str:
    parts = [VERDICTS]
    for cause, meaning in CAUSES.items():
        parts.append(f"## {cause}\n{meaning}\n\n")
        if cause in records:
            record = records[cause]
            parts.append(f"```\n{record.message}\ncure: {record.cure}\n```\n\n")
    return "".join([*parts, BESIDE, PEERS]).rstrip() + "\n"


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
            RETRIES,
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
