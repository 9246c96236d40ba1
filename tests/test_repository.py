from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_nbci.repository import Repository

if TYPE_CHECKING:
    from tests.project import Project


def test_a_commit_names_its_remote_without_credentials(project: Project):
    project.commit()

    def remote() -> str | None:
        commit = Repository(project.root, "").author_commit({})
        assert commit is not None
        return commit.repository

    assert remote() is None
    project.git("remote", "add", "origin", "x")
    for url, shown in {
        "https://ci-token:t0k@n@example.org/g/p.git": "https://example.org/g/p.git",
        "https://example.org:8443/g/p@2.git": "https://example.org:8443/g/p@2.git",
        "ssh://git:secret@example.org/g/p.git": "ssh://git@example.org/g/p.git",
        "git@example.org:g/p.git": "git@example.org:g/p.git",
        "/srv/git/a@b.git": "/srv/git/a@b.git",
    }.items():
        project.git("remote", "set-url", "origin", url)
        assert remote() == shown
