"""Editable installs of the repository under test import from the checkout, not the user's tree.

``pip install -e .`` puts the user's tree on ``sys.path``, or an import hook that points there. A
``sitecustomize`` module of ours, in front of PYTHONPATH only where there is something to change,
rewrites both in the kernel and in every Python process that it starts
(https://docs.python.org/3/library/site.html#module-sitecustomize).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

_REWRITE = '''\
"""Makes imports from {old!r} come from {new!r}."""
import os, sys

OLD, REAL, NEW, KEEP = {old!r}, {real!r}, {new!r}, {keep!r}


def moved(value):
    if not isinstance(value, str) or not os.path.isabs(value):
        return value
    for path, top in ((value, OLD), (os.path.realpath(value), REAL)):
        if any(path == kept or path.startswith(kept + os.sep) for kept in KEEP):
            return value
        if path == top or path.startswith(top + os.sep):
            return NEW + path[len(top):]
    return value


def rewrite(mapping):
    for key, value in list(mapping.items()):
        if isinstance(value, str):
            new = moved(value)
        elif isinstance(value, list):
            new = [moved(item) for item in value]
        else:
            continue
        if new != value:
            mapping[key] = new


def apply():
    sys.path[:] = list(dict.fromkeys(moved(path) for path in sys.path if path != here))
    for finder in list(sys.meta_path):
        module = sys.modules.get(getattr(finder, "__module__", None) or type(finder).__module__)
        for holder in (module, finder, type(finder)):
            if getattr(holder, "__name__", "") in ("importlib._bootstrap_external", "type"):
                continue
            for value in list(getattr(holder, "__dict__", {{}}).values()):
                if isinstance(value, dict) and value is not sys.modules:
                    rewrite(value)


here = os.path.dirname(os.path.abspath(__file__))
apply()
ours = sys.modules.pop("sitecustomize")
try:
    import sitecustomize
except ModuleNotFoundError as error:
    if error.name != "sitecustomize":
        raise
    sys.modules["sitecustomize"] = ours
finally:
    apply()  # what the user's own sitecustomize added
'''

_PROBE = Path(__file__).with_name("import_paths.py")


def ask_interpreter() -> list[str]:
    """Paths from which this interpreter, started anew, would import."""
    done = subprocess.run(
        [sys.executable, str(_PROBE)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        check=False,
    )
    try:
        found: list[str] = json.loads(done.stdout)
    except ValueError:
        return []
    return found


def lead_into(paths: Iterable[str], top: Path) -> bool:
    """Whether any of ``paths`` is below ``top``.

    What lies below ``sys.prefix`` (a virtual environment inside the repository) does not count.
    """
    return any(_moved(path, top, Path()) != path for path in paths)


def import_environment(old: Path, new: Path, folder: Path) -> dict[str, str]:
    """Variables that make Python import from ``new`` what is installed from ``old``.

    Args:
        old: Top level of the user's working tree.
        new: Top level of the checkout.
        folder: A folder to write ``sitecustomize.py`` into.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keep = sorted({sys.prefix, sys.exec_prefix, str(Path(sys.prefix).resolve())})
    text = _REWRITE.format(old=str(old), real=str(old.resolve()), new=str(new), keep=keep)
    (folder / "sitecustomize.py").write_text(text, encoding="utf-8")
    present = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    moved = [_moved(path, old, new) for path in present]
    return {"PYTHONPATH": os.pathsep.join([str(folder), *moved])}


def _moved(path: str, old: Path, new: Path) -> str:
    """Where ``path`` lies in the checkout; itself where it is not of the user's tree."""
    if not Path(path).is_absolute():
        return path
    for form, top in ((path, old), (os.path.realpath(path), old.resolve())):
        if _is_kept(form):
            return path
        if _is_below(form, top):
            return str(new) + form[len(str(top)) :]
    return path


def _is_below(path: str, top: Path) -> bool:
    return path == str(top) or path.startswith(f"{top}{os.sep}")


def _is_kept(path: str) -> bool:
    return any(_is_below(path, Path(prefix)) for prefix in (sys.prefix, sys.exec_prefix))
