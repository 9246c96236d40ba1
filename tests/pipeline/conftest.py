"""The pipeline as GitLab would run it: its tools, its image, its jobs.

A base image cannot be pulled everywhere, so a small Debian is made by mmdebstrap; buildah stands
in for Kaniko, gitlab-ci-local for the runner. What is slow and the same every time (Debian, wheels)
is kept in the user's cache.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from tests.pipeline.containers import Containers
from tests.project import Project, Ran
from tests.servers import missing

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pytest-nbci/pipeline"
TOOLS = CACHE / "tools"

# Stands in the pip settings that the image is built with, as a token would.
SECRET = "glpat-nbci-never-in-the-image"

# Where a job finds gitlab-ci-local in its container.
_RUNNER = "/opt/runner"
_START_RUNNER = f'PATH={_RUNNER}:{_RUNNER}/node_modules/.bin:$PATH; exec gitlab-ci-local "$@"'


def _missing_tool(name: str) -> NoReturn:
    missing(name, "run .ci/install-pipeline-tools")


@pytest.fixture(scope="session")
def pipeline_tools() -> Path:
    """The folder of gitlab-ci-local and check-jsonschema."""
    if not (TOOLS / "complete").is_file():
        _missing_tool("gitlab-ci-local")
    return TOOLS / "bin"


@pytest.fixture(scope="session")
def containers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    """Container tools on storage of their own."""
    if os.geteuid() != 0:
        missing("The right to make containers", "run these tests as root, as .ci/run does")
    for program in ("buildah", "runc", "mmdebstrap"):
        if shutil.which(program) is None:
            _missing_tool(program)
    opened = Containers.open(tmp_path_factory.mktemp("containers") / "storage")
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture(scope="session")
def base(containers: Containers) -> str:
    """A plain Debian with python3, python3-venv, git, and rsync for gitlab-ci-local."""
    tar = CACHE / "debian-bookworm.tar"
    with _turn():
        if not tar.is_file():
            part = tar.with_suffix(".part.tar")
            include = "python3,python3-venv,git,ca-certificates,rsync"
            command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={include}"]
            done = subprocess.run(
                [*command, "bookworm", str(part)], check=False, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr[-3000:]
            part.rename(tar)
    return containers.image_from_tar(tar, "localhost/debian")


@pytest.fixture(scope="session")
def image(containers: Containers, base: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image of the Dockerfile, built from this working tree without any index."""
    context = tmp_path_factory.mktemp("context")
    copy_working_tree(context)
    wheels = _wheels(containers, base, context)
    settings = context / "pip.conf"
    settings.write_text(
        f"[global]\nno-index = true\nfind-links = /wheels\n"
        f"extra-index-url = https://ci:{SECRET}@packages.example.com/simple\n"
    )
    return containers.build(
        context,
        "localhost/nbci",
        arguments={"BASE_IMAGE": base},
        volumes={settings: "/kaniko/pip.conf", wheels: "/wheels"},
    )


def _wheels(containers: Containers, base: str, context: Path) -> Path:
    """Everything that the Dockerfile installs, downloaded once for each lock file."""
    folder = CACHE / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    pyproject = tomllib.loads((context / "pyproject.toml").read_text())
    project = pyproject["project"]
    wanted = [
        *pyproject["build-system"]["requires"],
        *project["dependencies"],
        *project["optional-dependencies"]["xdist"],
    ]
    files = [context / "requirements.lock", context / "examples/requirements.txt"]
    content = "\n".join([*wanted, *(file.read_text() for file in files)])
    complete = folder / f".{hashlib.sha256(content.encode()).hexdigest()[:16]}"
    with _turn():
        if not complete.exists():
            ran = containers.run(
                base,
                [
                    *("sh", "-c", 'python3 -m venv /tmp/v && exec /tmp/v/bin/pip "$@"', "pip"),
                    *("download", "--quiet", "--dest", "/wheels", "--find-links", "/wheels"),
                    *("-c", "/src/requirements.lock", "-r", "/src/examples/requirements.txt"),
                    *wanted,
                ],
                user="0:0",
                volumes={folder: "/wheels", context: "/src:ro", _certificates(): "/ca.crt:ro"},
                network="host",
                environment={"PIP_CERT": "/ca.crt", **_package_index()},
            )
            assert ran.code == 0, ran.out + ran.err
            complete.touch()
    return folder


def _certificates() -> Path:
    return Path(os.environ.get("PIP_CERT") or "/etc/ssl/certs/ca-certificates.crt")


def _package_index() -> dict[str, str]:
    names = ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT"]
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        names += [name, name.upper()]
    return {name: os.environ[name] for name in names if name in os.environ}


@contextmanager
def _turn() -> Iterator[None]:
    """One process at a time fills the cache."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def copy_working_tree(target: Path) -> None:
    """The files that git tracks or would track, as they are now."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "-co", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    for name in map(os.fsdecode, listed.split(b"\0")[:-1]):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


@pytest.fixture
def clone(tmp_path: Path) -> Project:
    """This working tree committed in a repository of its own, as a runner would clone it."""
    clone = Project.create(tmp_path / "clone")
    copy_working_tree(clone.root)
    clone.git("remote", "add", "origin", "https://gitlab.example.com/team/notebooks.git")
    clone.commit("Add the examples")
    return clone


@dataclass(frozen=True)
class Job:
    """What a job left: exit code and output, and the artifacts that GitLab would keep."""

    ran: Ran
    artifacts: Path

    @property
    def log(self) -> str:
        return self.ran.out + self.ran.err

    def files(self) -> set[str]:
        """Names of all artifacts."""
        found = self.artifacts.rglob("*")
        return {path.relative_to(self.artifacts).as_posix() for path in found if path.is_file()}

    @property
    def session_folder(self) -> Path:
        """The folder of the only session."""
        (found,) = self.artifacts.rglob("_session.json")
        return found.parent


@pytest.fixture
def run_job(containers: Containers, pipeline_tools: Path) -> Callable[..., Job]:
    """Run a job of a clone's .gitlab-ci.yml by gitlab-ci-local inside an image."""

    def run(
        name: str,
        clone: Project,
        image: str,
        user: str,
        *,
        network: str = "none",
        volumes: dict[Path, str] | None = None,
        **variables: str,
    ) -> Job:
        # The runner's helper clones as root with umask 0, so that a job of any user can write.
        subprocess.run(["chmod", "-R", "a+rwX", clone.root], check=True)
        ran = containers.run(
            image,
            [
                *("sh", "-c", _START_RUNNER, "sh"),
                *("--force-shell-executor", "--shell-isolation", "--no-artifacts-to-source"),
                *(f"--variable={key}={value}" for key, value in variables.items()),
                name,
            ],
            user=user,
            folder="/builds/team/notebooks",
            network=network,
            volumes={
                clone.root: "/builds/team/notebooks",
                TOOLS / "node_modules": f"{_RUNNER}/node_modules:ro",
                (pipeline_tools / "node").resolve(): f"{_RUNNER}/node:ro",
                **(volumes or {}),
            },
            root=clone.root,
        )
        return Job(ran, clone.root / ".gitlab-ci-local/artifacts" / name)

    return run
