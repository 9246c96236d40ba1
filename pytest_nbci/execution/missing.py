"""What a cell lacks: a module, a file, a folder to write into, a program."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from pytest_nbci.execution.library import changed_library, is_installed
from pytest_nbci.execution.scene import Diagnosis, Scene

_MODULE = re.compile(r"No module named '([\w.]+)'")
# Import names that differ from the name to install, among those data scientists use most.
_PACKAGES = {
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "fitz": "pymupdf",
    "PIL": "pillow",
    "psycopg2": "psycopg2-binary",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "umap": "umap-learn",
    "yaml": "pyyaml",
}


def missing_module(scene: Scene) -> Diagnosis | None:
    """A module that is not installed, or is the reader's own and not in git."""
    match = _MODULE.search(scene.failure.value)
    if scene.failure.name not in ("ModuleNotFoundError", "ImportError") or match is None:
        return None
    module = match[1]
    top = module.partition(".")[0]
    if module != top and is_installed(top):
        return changed_library(scene, top)
    uncommitted = _uncommitted_module(scene, top)
    if uncommitted:
        return Diagnosis(
            "missing_module",
            f", which is not in git ({uncommitted})",
            f"Commit it: git add {uncommitted}.",
        )
    package = _PACKAGES.get(top, top)
    return Diagnosis(
        "missing_module",
        "",
        f"Add {package} to the requirements that the environment is built from "
        f"(pip install {package} to try); if {top} is your own code, commit it.",
    )


def _uncommitted_module(scene: Scene, module: str) -> str | None:
    """A file or folder of that name in the user's tree that the checkout lacks."""
    beside = scene.place.users_top / scene.place.folder.relative_to(scene.place.checkout)
    for folder in (beside, scene.place.users_top, scene.place.users_top / "src"):
        for name in (f"{module}.py", f"{module}/__init__.py"):
            path = folder / name
            relative = path.relative_to(scene.place.users_top)
            if path.is_file() and not (scene.place.checkout / relative).exists():
                return relative.as_posix()
    return None


_NO_SUCH_FILE = re.compile(r"No such file or directory: b?(['\"])(.+?)\1")
_OTHER_NO_SUCH_FILE = re.compile(
    r"(?:Unable to (?:synchronously )?open file|does not exist|No such file)[^'\"]*(['\"])(.+?)\1"
)
_DATA_ERRORS = ("FileNotFoundError", "OSError", "IOException", "IsADirectoryError", "ArrowIOError")


# How a shell's programs say it: cat: data/a.csv: No such file or directory
_SHELL_NO_SUCH_FILE = re.compile(r"(?:: |')([^:']+)'?: No such file or directory$")
_SHELL_NO_SUCH_PROGRAM = re.compile(r"(\S+): command not found$")


def missing_in_shell(scene: Scene) -> Diagnosis | None:
    """A file or program that a shell's command did not find."""
    if not scene.failure.name.startswith("exit code "):
        return None
    if match := _SHELL_NO_SUCH_PROGRAM.search(scene.failure.value):
        return _missing_program(match[1])
    match = _SHELL_NO_SUCH_FILE.search(scene.failure.value)
    return _missing_file(scene, Path(match[1])) if match else None


def _missing_program(name: str) -> Diagnosis:
    return Diagnosis(
        "cell_error",
        f" (the program {name} is not installed)",
        f"Install {name} in the environment that runs the notebooks.",
    )


def missing_data(scene: Scene) -> Diagnosis | None:
    """A file that Python code did not find; a folder to write into and a program are told apart."""
    if scene.failure.name not in _DATA_ERRORS:
        return None
    value = scene.failure.value
    match = _NO_SUCH_FILE.search(value) or _OTHER_NO_SUCH_FILE.search(value)
    if match is None:
        return None
    name = match[2]
    if _is_being_written(scene):
        folder = Path(name).parent.as_posix()
        return Diagnosis(
            "cell_error",
            f" (there is no folder {folder} here: git keeps no empty folders)",
            f"Create it in the notebook: Path({folder!r}).mkdir(parents=True, exist_ok=True).",
        )
    if (
        re.search(r"subprocess\.py:\d+, in Popen", scene.traceback)
        and "/" not in name
        and not shutil.which(name)
    ):
        return _missing_program(name)
    return _missing_file(scene, Path(name))


_WRITES = re.compile(
    r"open\([^)\n]*['\"][wax]b?\+?['\"]|\.to_\w+\(|savefig\(|\.write_\w+\(|\.save\w*\(|\.dump\("
)


def _is_being_written(scene: Scene) -> bool:
    """Whether the line that failed writes: then its folder is missing, not its data."""
    frames = scene.failure.frames
    return bool(frames) and _WRITES.search(frames[-1].source) is not None


def _missing_file(scene: Scene, path: Path) -> Diagnosis:
    if path.is_absolute() and not path.is_relative_to(scene.place.checkout):
        return Diagnosis(
            "missing_data",
            ", a path of one machine",
            "Use a path relative to the notebook, and lay a small file there by test data "
            "([tool.nbci.data.test] or the fixture nbci_test_data).",
        )
    inside = Path(os.path.normpath(scene.place.folder / path))
    if not inside.is_relative_to(scene.place.checkout):
        return Diagnosis(
            "missing_data",
            ", which leads outside the repository",
            "Keep the data inside the repository, and lay a small file there by test data.",
        )
    relative = inside.relative_to(scene.place.checkout).as_posix()
    on_this_machine = (scene.place.users_top / relative).exists()
    relative = relative.removeprefix(scene.place.prefix)
    if on_this_machine:
        return Diagnosis(
            "missing_data",
            f"; {relative} is on your machine but not in git",
            f"Commit it (git add {relative}), or lay a small one there by test data.",
        )
    return Diagnosis(
        "missing_data",
        f"; {relative} is in no commit and not among the test data",
        f"Lay a small {relative} there by test data ([tool.nbci.data.test] or the fixture "
        "nbci_test_data), or commit it.",
    )
