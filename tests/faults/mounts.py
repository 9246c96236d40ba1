"""pytest in a mount namespace of its own: small disks and read-only folders that are real."""

from __future__ import annotations

import shlex
import subprocess
import sys
from functools import cache

import pytest

from tests.project import PLAIN, Project, Ran

_AS_ROOT = ("unshare", "--mount")
_AS_USER = ("unshare", "--mount", "--map-root-user")


@cache
def _namespace() -> tuple[str, ...] | None:
    """The command that makes one; None where this user may not."""
    for command in (_AS_ROOT, _AS_USER):
        try:
            probe = [*command, "mount", "-t", "tmpfs", "-o", "size=1m", "none", "/mnt"]
            if subprocess.run(probe, check=False, capture_output=True).returncode == 0:
                return command
        except OSError:
            return None
    return None


def need_mounts() -> None:
    """Skip where no mount can be made, as in a container without CAP_SYS_ADMIN."""
    if _namespace() is None:
        pytest.skip("needs mounts: run as root, or where user namespaces are allowed")


def run_with(project: Project, mounts: str, *arguments: str, after: str = ":", **env: str) -> Ran:
    """Run pytest behind ``mounts``, then ``after``: shell commands in the same namespace."""
    command = _namespace()
    assert command is not None
    pytest_ = shlex.join([sys.executable, "-m", "pytest", *PLAIN, "-p", "no:cacheprovider"])
    script = f"set -e\n{mounts}\ncode=0\n{pytest_} {shlex.join(arguments)} || code=$?\n{after}\nexit $code"
    return project.run(*command, "bash", "-c", script, **env)
