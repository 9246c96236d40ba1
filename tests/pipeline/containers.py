"""Containers without a daemon: buildah and runc on storage of their own.

Measured for buildah 1.28 and runc 1.1 as root: other isolation modes leave processes behind, and
buildah's default network leaves a bridge, so both are always named.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.project import Ran

_PATIENCE_S = 900


@dataclass(frozen=True)
class Containers:
    """Images and containers below ``folder``; ``close`` removes them all."""

    folder: Path

    @classmethod
    def open(cls, folder: Path) -> Containers:
        folder.mkdir(parents=True)
        (folder / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\n'
            f'graphroot = "{folder}/graph"\nrunroot = "{folder}/run"\n'
        )
        return cls(folder)

    def buildah(self, *arguments: str) -> str:
        """Run buildah; its standard output."""
        done = self._start(arguments)
        assert done.returncode == 0, f"buildah {arguments[0]}:\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def image_from_tar(self, tar: Path, name: str) -> str:
        """An image whose only layer is ``tar``."""
        container = self.buildah("from", "scratch")
        self.buildah("add", "--quiet", container, str(tar), "/")
        self.buildah("commit", "--quiet", "--rm", container, name)
        return name

    def build(
        self, context: Path, name: str, arguments: Mapping[str, str], volumes: Mapping[Path, str]
    ) -> str:
        """Build ``context``'s Dockerfile without network."""
        self.buildah(
            "build",
            *("--isolation", "oci", "--runtime", "runc", "--network", "none"),
            *("--pull-never", "--format", "docker", "--layers=false"),
            *(f"--build-arg={key}={value}" for key, value in arguments.items()),
            *(f"--volume={path}:{place}:ro" for path, place in volumes.items()),
            *("--tag", name, str(context)),
        )
        return name

    def run(
        self,
        image: str,
        command: Sequence[str],
        *,
        user: str | None = None,
        volumes: Mapping[Path, str] | None = None,
        folder: str = "/",
        network: str = "none",
        environment: Mapping[str, str] | None = None,
        root: Path | None = None,
    ) -> Ran:
        """Run a command in a new container of ``image``; what it printed.

        The command cannot outlive its time: ``timeout`` is process 1 of the container.

        Args:
            image: Name of the image.
            command: The command and its arguments.
            user: ``uid:gid``; the image's own unless given.
            volumes: Folder or file to where it is mounted; a place that ends in ``:ro`` is
                read-only.
            folder: Where the command starts.
            network: ``none``, or ``host`` to reach servers on 127.0.0.1.
            environment: Further variables.
            root: Folder on this machine that the answer is about.
        """
        container = self.buildah("from", "--pull-never", image)
        try:
            done = self._start(
                (
                    "run",
                    *("--isolation", "oci", "--runtime", "runc", "--network", network),
                    *(["--user", user] if user else []),
                    *(f"--volume={path}:{place}" for path, place in (volumes or {}).items()),
                    *(f"--env={key}={value}" for key, value in (environment or {}).items()),
                    *("--workingdir", folder, container, "--"),
                    *("timeout", "-s", "KILL", str(_PATIENCE_S), *command),
                )
            )
        finally:
            self.buildah("rm", container)
        return Ran(done.returncode, done.stdout, done.stderr, root or self.folder)

    def close(self) -> None:
        """Remove every container and image, and check that no mount is left."""
        self.buildah("rm", "--all")
        mounts = Path("/proc/mounts").read_text()
        left = [line for line in mounts.splitlines() if f" {self.folder}/" in line]
        assert not left, left
        subprocess.run(["rm", "-rf", self.folder], check=True)

    def _start(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["buildah", *arguments],
            env={
                "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME": str(self.folder),
                "TMPDIR": str(self.folder),
                "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_PATIENCE_S + 60,
        )
