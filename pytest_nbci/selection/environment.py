"""What a notebook runs in: the files that describe an environment, what is installed, kernels."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pytest_nbci.settings import matches

# Files that environments are made from, or that configure pytest; anywhere in the repository,
# since nobody says which of them made the present one.
ENVIRONMENT_FILES = (
    "*.lock",
    "*requirements*.txt",
    "**/requirements/**",
    "constraints*.txt",
    "environment*.yml",
    "environment*.yaml",
    "conda*.yml",
    "conda*.yaml",
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "Pipfile",
    "pixi.toml",
    "package.json",
    "package-lock.json",
    "Manifest.toml",
    "Project.toml",
    "DESCRIPTION",
    "install.R",
    "postBuild",
    "apt.txt",
    "runtime.txt",
    ".python-version",
    "Dockerfile*",
    "*.Dockerfile",
    "*.dockerfile",
    "Containerfile*",
    "pytest.ini",
    ".pytest.ini",
    "tox.ini",
)

# Tables of pyproject.toml that change neither what is installed nor how a notebook runs.
# [tool.nbci] counts by the settings that it gives each notebook.
_IDLE_TOOLS = (
    *("nbci", "ruff", "black", "isort", "mypy", "pyright", "basedpyright", "pylint", "flake8"),
    *("bandit", "codespell", "coverage", "pydocstyle", "pytype", "pyrefly", "ty", "vulture"),
    *("bumpversion", "bumpver", "commitizen", "semantic_release", "towncrier", "git-cliff"),
    *("jupytext", "nbqa", "nbstripout", "interrogate", "check-wheel-contents"),
)
_IDLE_FIELDS = (
    *("version", "description", "readme", "keywords", "classifiers", "urls", "authors"),
    *("maintainers", "license", "license-files"),
)


def is_environment_file(path: str) -> bool:
    """Whether the file at ``path`` describes an environment."""
    return matches(path, ENVIRONMENT_FILES)


def digest_project(content: bytes) -> str:
    """Hash of a pyproject.toml without what cannot matter; of its bytes where it is broken."""
    try:
        data: dict[str, Any] = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return hashlib.sha256(content).hexdigest()
    project, tool = data.get("project"), data.get("tool")
    if isinstance(project, dict):
        data["project"] = {key: item for key, item in project.items() if key not in _IDLE_FIELDS}
    if isinstance(tool, dict):
        data["tool"] = {key: item for key, item in tool.items() if key not in _IDLE_TOOLS}
    kept = {key: item for key, item in data.items() if item}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()


def python_name() -> str:
    """Implementation, version and machine of this interpreter, which runs Python kernels."""
    parts = (platform.python_implementation(), platform.python_version(), sys.platform)
    return " ".join((*parts, platform.machine()))


def installed_packages(top: Path, paths: Iterable[str]) -> str:
    """Hash of the names and versions of what is installed on ``paths``.

    An editable install of the repository itself is left out: its files are followed one by one,
    and its version may change with every commit.
    """
    found = set()
    for folder in dict.fromkeys(paths):
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith((".dist-info", ".egg-info")) and not (
                    _is_of_repository(Path(entry.path), top)
                ):
                    found.add(entry.name)
    return hashlib.sha256("\n".join(sorted(found)).encode(errors="replace")).hexdigest()


def _is_of_repository(info: Path, top: Path) -> bool:
    """Whether a package is installed from ``top``, as its metadata say.

    direct_url.json: https://packaging.python.org/en/latest/specifications/direct-url/
    """
    if info.suffix == ".egg-info" and info.is_relative_to(top) and ".venv" not in info.parts:
        return not info.is_relative_to(sys.prefix)
    try:
        url = json.loads((info / "direct_url.json").read_bytes())["url"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    parts = urlsplit(str(url))
    folder = Path(unquote(parts.path))
    return parts.scheme == "file" and any(
        folder.is_relative_to(base) for base in (top, top.resolve())
    )


def installed_kernels(top: Path) -> str:
    """Hash of the kernels where Jupyter looks for them, and of the packages of Python ones.

    Folders: https://docs.jupyter.org/en/latest/use/jupyter-directories.html#data-files
    """
    folders = [*filter(None, os.environ.get("JUPYTER_PATH", "").split(os.pathsep))]
    folders += [f"{sys.prefix}/share/jupyter", "/usr/local/share/jupyter", "/usr/share/jupyter"]
    folders.append(os.environ.get("JUPYTER_DATA_DIR") or str(Path("~/.local/share/jupyter")))
    digest = hashlib.sha256()
    for folder in folders:
        with contextlib.suppress(OSError, RuntimeError):
            for file in sorted(Path(folder).expanduser().glob("kernels/*/kernel.json")):
                content = file.read_bytes()
                digest.update(os.fsencode(file.parent.name) + b"\0" + content + b"\0")
                digest.update(_packages_of(content, top).encode())
    return digest.hexdigest()


def _packages_of(spec: bytes, top: Path) -> str:
    """The packages of the environment that a kernel's interpreter stands in."""
    try:
        program = Path(str(json.loads(spec)["argv"][0]))
    except (ValueError, KeyError, TypeError, IndexError):
        return ""
    if not program.is_absolute():
        return ""
    folders = program.parent.parent.glob("lib/python*/site-packages")
    return installed_packages(top, [str(folder) for folder in sorted(folders)])
