"""Session settings resolved for the plugin and for the ``nbci`` command alike."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_nbci import settings
from pytest_nbci.delivery import Destination, embedded_uri
from pytest_nbci.errors import UsageError
from pytest_nbci.repository import Repository
from pytest_nbci.settings import DataProfile, Table
from pytest_nbci.store import parse_s3_url

_OFF = "off"


@dataclass(frozen=True)
class Configuration:
    """The session settings of one run, each from the place that wins.

    ``everything`` says why all notebooks run although ``changed`` is on; empty where they do not.
    """

    project: str
    profile: DataProfile
    store_url: str | None
    store_origin: str
    tracking_uri: str | None
    experiment: str
    site_url: str | None
    keep_days: int
    scrub: tuple[str, ...]
    changed: bool = False
    base: str | None = None
    everything: str = ""

    def destination(self, state: Path) -> Destination:
        """Where results go, given the folder that this project may write."""
        return Destination(
            results=state / "results",
            state=state,
            store_url=self.store_url,
            store_origin=self.store_origin,
            tracking_uri=None
            if self.tracking_uri == _OFF
            else self.tracking_uri or embedded_uri(state),
            experiment=self.experiment,
            site_url=self.site_url,
            keep_days=self.keep_days,
            scrub=self.scrub,
        )


def configure(
    repository: Repository,
    table: Table,
    flags: Mapping[str, str | None],
    environment: Mapping[str, str],
) -> Configuration:
    """Resolve the session settings.

    Args:
        repository: The repository, its project root set.
        table: The project's table.
        flags: Values of flags by the setting's name; missing or None where not given.
        environment: Variables.

    Raises:
        UsageError: A value cannot be worked with; the sentence says where it came from.
    """

    def find(name: str) -> tuple[str | None, str]:
        return settings.resolve_session(name, flags.get(name), environment, table)

    profile_name, profile_origin = find("profile")
    store_url, store_origin = find("store")
    if store_url is not None:
        parse_s3_url(store_url, store_origin)
    project = _project_name(*find("project")) or repository.project_name()
    tracking_uri, tracking_origin = find("mlflow")
    base = find("base")[0]
    is_changed = settings.resolve_switch("changed", flags.get("changed"), environment, table)
    source = environment.get("CI_PIPELINE_SOURCE", "")
    run_all_on = table.values.get("run_all_on", settings.BY_NAME["run_all_on"].default)
    return Configuration(
        project=project,
        profile=settings.resolve_profile(str(profile_name), profile_origin, table),
        store_url=store_url,
        store_origin=store_origin,
        tracking_uri=_tracking_uri(tracking_uri, tracking_origin, repository.root),
        experiment=find("experiment")[0] or project,
        site_url=_site_url(*find("site_url")),
        keep_days=table.values.get("keep_days", settings.BY_NAME["keep_days"].default),
        scrub=tuple(table.values.get("scrub", ())),
        changed=is_changed or base is not None,
        base=base,
        everything=f"run_all_on names the pipeline source {source}" if source in run_all_on else "",
    )


def _site_url(url: str | None, origin: str) -> str | None:
    if url is None:
        return None
    if not url.startswith(("http://", "https://")):
        raise UsageError(
            f"The site {url!r} ({origin}) is not a URL.",
            'Write "https://host/path"; the results\' keys follow it.',
        )
    return url.rstrip("/")


def _project_name(name: str | None, origin: str) -> str | None:
    """A name that can stand in a key: no empty, dot or dot-dot part."""
    if name is None:
        return None
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise UsageError(
            f"The project name {name!r} ({origin}) cannot be used in a path.",
            'Write a name like "group/project".',
        )
    return name


def _tracking_uri(uri: str | None, origin: str, root: Path) -> str | None:
    """An absolute URI, since kernels have other working folders; None where none was set.

    Forms of URI: https://mlflow.org/docs/latest/ml/tracking/backend-stores/
    """
    if uri in (None, _OFF, "databricks"):
        return uri
    if uri.startswith("sqlite:///") and not uri.startswith("sqlite:////"):
        base = root if "[tool.nbci]" in origin else Path.cwd()
        return f"sqlite:///{os.path.normpath(base / uri.removeprefix('sqlite:///'))}"
    if "://" in uri or uri.startswith("file:/"):
        return uri
    raise UsageError(
        f"The MLflow tracking URI {uri!r} ({origin}) has no scheme.",
        'Write "http://…", "sqlite:///file.db" or "off".',
    )
