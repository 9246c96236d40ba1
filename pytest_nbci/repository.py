"""The user's git repository, read and never written.

Files and states are listed by ``git`` itself (GitPython's index is five times slower and fails on
some names); commits are read by GitPython. Paths are raw bytes turned into str by
``os.fsdecode``, relative to the repository's top level, unless said otherwise.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pytest_nbci.errors import NbciError, UsageError
from pytest_nbci.records import Commit

GITLINK = "160000"
SYMLINK = "120000"


@dataclass(frozen=True)
class IndexEntry:
    """One path of git's index: its mode, blob id and path relative to the top level."""

    mode: str
    blob: str
    path: str


def git_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment for a ``git`` that finds its repository by the folder alone.

    Drops GIT_DIR and its kin, which a hook or a rebase sets, and takes no optional lock, so that
    not even a refreshed index is written.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith(("GIT_SSH", "GIT_SSL", "GIT_TRACE"))
    }
    return {
        **kept,
        "GIT_OPTIONAL_LOCKS": "0",
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        **(extra or {}),
    }


def run_git(
    folder: Path, arguments: Sequence[str], extra: Mapping[str, str] | None = None
) -> bytes:
    """Standard output of ``git`` in ``folder``.

    A repository of another owner is accepted: in containers the checkout often belongs to
    another user (https://git-scm.com/docs/git-config#Documentation/git-config.txt-safedirectory).

    Raises:
        NbciError: git is not installed, or failed; the message is git's own.
    """
    command = ["git", "-c", "safe.directory=*", "-c", "core.fsmonitor=false", *arguments]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=git_environment(extra),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise UsageError(
            "git is not installed.", "Install it, e.g. apt-get install git."
        ) from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}"
        raise NbciError(f"git {arguments[0]} failed in {folder}: {said}")
    return done.stdout


@dataclass(frozen=True)
class Repository:
    """A git repository and the project in it.

    Args:
        top: Top level of the working tree.
        prefix: The project root relative to ``top``: empty, or ending in a slash.
    """

    top: Path
    prefix: str

    @property
    def root(self) -> Path:
        """The project root: names of notebooks, data files and keys are relative to it."""
        return self.top / self.prefix if self.prefix else self.top

    @cached_property
    def index(self) -> tuple[IndexEntry, ...]:
        """All tracked files of the working tree, submodules' links included.

        Raises:
            UsageError: The index is unmerged.
        """
        entries, unmerged = [], set()
        for line in run_git(self.top, ["ls-files", "-z", "--stage"]).split(b"\0")[:-1]:
            head, _, name = line.partition(b"\t")
            mode, blob, stage = head.decode().split(" ")
            if stage != "0":
                unmerged.add(os.fsdecode(name))
            entries.append(IndexEntry(mode, blob, os.fsdecode(name)))
        if unmerged:
            shown = ", ".join(printable(name) for name in sorted(unmerged)[:3])
            raise UsageError(
                f"The index of {self.top} has unmerged files ({shown}).",
                "Resolve the conflict and git add them.",
            )
        return tuple(entries)

    def notebooks(self) -> list[str]:
        """Tracked .ipynb files below the project root that exist, relative to it, sorted."""
        cut = len(self.prefix)
        return sorted(
            entry.path[cut:]
            for entry in self.index
            if entry.path.startswith(self.prefix)
            and entry.path.endswith(".ipynb")
            and entry.mode != GITLINK
            and (self.top / entry.path).is_file()
        )

    def untracked_notebooks(self) -> list[str]:
        """.ipynb files below the project root that git neither tracks nor ignores."""
        found = run_git(
            self.root,
            ["ls-files", "-z", "--others", "--exclude-standard", "--", ":(glob)**/*.ipynb"],
        )
        names = [os.fsdecode(name) for name in found.split(b"\0")[:-1]]
        return [name for name in names if ".ipynb_checkpoints/" not in name]

    @cached_property
    def head(self) -> str | None:
        """The id of the commit that is checked out; None before the first commit."""
        try:
            return (
                run_git(self.top, ["rev-parse", "--verify", "-q", "HEAD^{commit}"]).decode().strip()
            )
        except NbciError:
            return None

    def tree_of(self, commit: str) -> str:
        """The id of the tree of ``commit``.

        Raises:
            NbciError: There is no such commit; what looks like an option is none.
        """
        return run_git(self.top, ["rev-parse", "--verify", f"{commit}^{{tree}}"]).decode().strip()

    @cached_property
    def remote_url(self) -> str | None:
        """The URL of ``origin``; None where there is none."""
        try:
            return (
                run_git(self.top, ["config", "--get", "remote.origin.url"]).decode().strip() or None
            )
        except NbciError:
            return None

    def project_name(self) -> str:
        """The path of the remote (``group/project``), else the name of the top folder."""
        path = re.sub(r"^[\w+.-]+://[^/]*|^[^/]*:", "", self.remote_url or "")
        parts = [
            part for part in path.removesuffix(".git").split("/") if part not in ("", ".", "..")
        ]
        is_hosted = bool(parts) and not (self.remote_url or "").startswith(("/", ".", "file:"))
        return "/".join(parts) if is_hosted else printable(self.top.resolve().name) or "project"

    def author_commit(self, environment: Mapping[str, str]) -> Commit | None:
        """The author's commit: in a merged-result pipeline not GitLab's, but the source branch's.

        GitLab's variables: https://docs.gitlab.com/ci/variables/predefined_variables/
        """
        branch = self.branch(environment)
        wanted = environment.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA") or "HEAD"
        for revision in (wanted, "HEAD"):
            commit = self._commit(revision, branch)
            if commit is not None:
                return commit
        return None

    def branch(self, environment: Mapping[str, str]) -> str | None:
        """The author's branch, in GitLab's merge request pipelines too; None where there is none.

        GitLab's variables: https://docs.gitlab.com/ci/variables/predefined_variables/
        """
        return (
            environment.get("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME")
            or environment.get("CI_COMMIT_BRANCH")
            or environment.get("CI_COMMIT_REF_NAME")
            or self._checked_out
        )

    def default_branch(self, environment: Mapping[str, str]) -> str:
        """The branch that others start from, as GitLab or the clone says; else the usual name."""
        return environment.get("CI_DEFAULT_BRANCH") or self._default_branch

    @cached_property
    def _default_branch(self) -> str:
        remote = self._symbolic("refs/remotes/origin/HEAD")
        if remote:
            return remote.removeprefix("origin/")
        usual = ("refs/heads/main", "refs/heads/master", "refs/remotes/origin/master")
        found = run_git(self.top, ["for-each-ref", "--format=%(refname:lstrip=-1)", *usual])
        return os.fsdecode(found).partition("\n")[0] or "main"

    @cached_property
    def is_shallow(self) -> bool:
        """Whether the clone lacks older commits."""
        return run_git(self.top, ["rev-parse", "--is-shallow-repository"]).strip() == b"true"

    @cached_property
    def _checked_out(self) -> str | None:
        return self._symbolic("HEAD")

    def _symbolic(self, name: str) -> str | None:
        try:
            return os.fsdecode(run_git(self.top, ["symbolic-ref", "-q", "--short", name])).strip()
        except NbciError:
            return None

    def _commit(self, revision: str, branch: str | None) -> Commit | None:
        try:
            commit_id = run_git(self.top, ["rev-parse", "--verify", "-q", f"{revision}^{{commit}}"])
        except NbciError:
            return None
        import git

        try:
            with git.Repo(self.top) as repository:
                # Neither another owner nor a hook's GIT_DIR may decide what is read.
                repository.git.update_environment(GIT_DIR=str(repository.git_dir))
                found = repository.commit(commit_id.decode().strip())
                return Commit(
                    id=found.hexsha,
                    author=_text(found.author.name),
                    email=_text(found.author.email),
                    message=_text(found.message),
                    branch=branch,
                    time=found.committed_datetime.isoformat(),
                    repository=_without_credentials(self.remote_url),
                )
        except (git.GitError, git.ODBError, ValueError) as error:  # e.g. of a SHA-256 repository
            raise NbciError(
                f"GitPython could not read the commit {revision} of {self.top}: {error}."
            ) from error


def find_repository(start: Path) -> Repository:
    """The repository that ``start`` lies in, with ``start`` as the project root.

    Raises:
        UsageError: No git repository, or a bare one.
    """
    try:
        answer = run_git(
            start, ["rev-parse", "--is-inside-work-tree", "--show-prefix", "--show-cdup"]
        )
    except UsageError:
        raise
    except NbciError as error:
        raise UsageError(
            f"{start} is not in a git repository.",
            "Run git init and git add, or start pytest in a clone.",
        ) from error
    inside, *prefixes, up, _ = os.fsdecode(answer).split("\n")
    if inside != "true":
        raise UsageError(
            f"{start} is in a bare repository or in a .git folder, without files to test.",
            "Start pytest in a clone.",
        )
    prefix = "\n".join(prefixes)
    top = Path(os.path.normpath(start / up))
    if not (top / prefix).is_dir() or not (top / prefix).samefile(start):
        top = (start.resolve() / up).resolve()  # start is a link: its parents are others
    return Repository(top, prefix)


def at_top(repository: Repository) -> Repository:
    """The same repository with its top level as the project root."""
    return Repository(repository.top, "")


def printable(path: str) -> str:
    """A path as it stands in node ids, records and keys: valid UTF-8, forward slashes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _without_credentials(url: str | None) -> str | None:
    """A remote's URL as anybody may see it; CI's clones carry a token in it."""
    scheme, separator, rest = (url or "").partition("://")
    if not separator:  # a folder, or host:path, where no password can stand
        return url
    authority, slash, path = rest.partition("/")
    user, _, host = authority.rpartition("@")
    # Without its user an ssh URL is another; it is no secret.
    kept = f"{user.partition(':')[0]}@" if user and scheme.endswith("ssh") else ""
    return f"{scheme}://{kept}{host}{slash}{path}"


def _text(value: str | bytes | None) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else (value or "")
    return text.encode("utf-8", "replace").decode()
