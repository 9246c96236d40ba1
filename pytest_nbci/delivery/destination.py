"""Where results go, what it is called towards a reader, and what came of a delivery."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, unquote, urlsplit, urlunsplit

EMBEDDED = "sqlite:///"
_ENDS_A_STRING = re.compile(r"[%'\"`\\\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Destination:
    """Where the results of this project go.

    Attributes:
        results: The results folder: root of a FolderStore.
        state: The ``.nbci`` folder; delivery keeps its journals in ``state/delivery``.
        store_url: ``s3://bucket/prefix``; None: the results folder is the store.
        store_origin: Where ``store_url`` was set, for error sentences.
        tracking_uri: An absolute MLflow tracking URI; None: no tracking.
        experiment: Name of the MLflow experiment that takes our runs.
        site_url: Where a web server shows the store, without a final slash; None: nowhere.
        keep_days: For how long results stay in the results folder when the store has them.
        scrub: Globs of environment variables whose values no result may hold.
    """

    results: Path
    state: Path
    store_url: str | None
    store_origin: str
    tracking_uri: str | None
    experiment: str
    site_url: str | None = None
    keep_days: int = 30
    scrub: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data of it, for the delivery process."""
        paths = {"results": str(self.results.absolute()), "state": str(self.state.absolute())}
        return {**self.__dict__, **paths}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The destination that ``to_dict`` wrote."""
        paths = {"results": Path(data["results"]), "state": Path(data["state"])}
        return cls(**{**data, **paths, "scrub": tuple(data["scrub"])})

    def embedded(self) -> Destination:
        """The same with the embedded database; unchanged where tracking is off."""
        if self.tracking_uri is None:
            return self
        return replace(self, tracking_uri=embedded_uri(self.state))

    @property
    def journals(self) -> Path:
        """The folder with what was delivered, one file a session; never uploaded."""
        return self.state / "delivery"

    @property
    def store(self) -> str:
        """What a reader is told about the store."""
        return self.store_url or str(self.results)

    def link(self, key: str) -> str | None:
        """Where a browser finds what lies at ``key``; None without a web server."""
        return None if self.site_url is None else f"{self.site_url}/{quote(key)}"

    @property
    def tracking(self) -> str | None:
        """What a reader is told about the tracking server: its URI without a password."""
        return None if self.tracking_uri is None else without_password(self.tracking_uri)

    @property
    def store_mark(self) -> str | None:
        """Name of the store in a journal: its URL without idle slashes, as ``S3Store.url``."""
        if self.store_url is None:
            return None
        scheme, _, rest = self.store_url.partition("://")
        bucket, _, prefix = rest.partition("/")
        return f"{scheme}://{bucket}/{prefix.strip('/')}".rstrip("/")

    @property
    def has_own_database(self) -> bool:
        """Whether MLflow is a database in ``state``, beside the journals."""
        file = database(self.tracking_uri)
        return file is not None and file.is_relative_to(self.state)

    @property
    def tracking_mark(self) -> str | None:
        """Name of the tracking server and experiment in a journal."""
        return None if self.tracking is None else f"{self.tracking} {self.experiment}"


@dataclass(frozen=True)
class Report:
    """What came of a delivery.

    Attributes:
        published: How many notebooks' results the store holds from this delivery (without a
            store of its own: how many MLflow holds).
        waiting: How many notebooks still lack a part, in the store or in MLflow.
        reasons: Why, one sentence each, none twice.
        store: The store's URL or folder.
        tracking: The MLflow tracking URI without a password; None when tracking is off.
    """

    published: int
    waiting: int
    reasons: tuple[str, ...]
    store: str
    tracking: str | None

    def sentence(self) -> str:
        """The summary's line, as ``published 12 notebooks to s3://… (3 wait: …)``."""
        noun = "notebook" if self.published == 1 else "notebooks"
        said = f"published {self.published} {noun} to {self.store}"
        why = "; ".join(reason.rstrip(".") for reason in self.reasons)
        cure = 'run "nbci publish"'
        if self.waiting:
            verb = "waits" if self.waiting == 1 else "wait"
            return f"{said} ({self.waiting} {verb}: {'; '.join(filter(None, (why, cure)))})"
        if why:
            return f"{said} ({why}; {cure})"
        return said


def result_id(session: str, notebook: str) -> str:
    r"""``<session>/<notebook>``: the value of the MLflow tag ``nbci.result``.

    MLflow's filter language cannot escape, so what would end a string there is percent-encoded:
    ``%``, quotes, backslash and control characters.
    """
    return f"{session}/{_ENDS_A_STRING.sub(lambda found: quote(found[0], safe=''), notebook)}"


def without_password(uri: str) -> str:
    """``uri`` without the user and password that may stand in it."""
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def database(tracking_uri: str | None) -> Path | None:
    """The file of an embedded database; None for anything else."""
    if tracking_uri is None or not tracking_uri.startswith(EMBEDDED):
        return None
    return Path(unquote(tracking_uri.removeprefix(EMBEDDED)))


def embedded_uri(state: Path) -> str:
    """The tracking URI of the embedded database in ``state``.

    SQLAlchemy reads ``?`` and ``#`` as the end of the path, and ``%`` as an escape.
    """
    path = str(state.absolute() / "mlflow.db")
    return EMBEDDED + path.replace("%", "%25").replace("?", "%3F").replace("#", "%23")


def artifact_root(tracking_uri: str | None) -> str | None:
    """The folder for artifacts of an embedded database, absolute and beside it.

    MLflow's default is ``./mlruns`` of whoever makes an experiment.
    """
    file = database(tracking_uri)
    return None if file is None else (file.absolute().parent / "mlartifacts").as_uri()
