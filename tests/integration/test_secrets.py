"""Secrets that a notebook, a fixture or git prints reach no result, no report, no server."""

from __future__ import annotations

import base64
import html
import json
import re
import sqlite3
import uuid
import zlib
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.project import Cell, Project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Minio

pytestmark = pytest.mark.server

KEY_LINES = [f"MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8{c}" for c in "abc"]
FORM_LINES = [f"{c}9Us8VJTUt7QCAQBIoAAEAgjSggwcKBCSAAFEQAB0w9GikhqkgBNADABIQvEIIM" for c in "abc"]


def pem(*lines: str) -> str:
    return "\n".join(["-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----", ""])


# What variables hold; the awkward characters are those that JSON, HTML and URLs escape.
VARIABLES = {
    "DB_PASSWORD": "plain-Secret-4711",
    "API_TOKEN": "to<ken>&\"quoted\"\\'x'+/=%é",
    "SERVICE_SECRET": "json-Secret-0815",
    "SESSION_KEY": "traceback-Secret-99",
    "APP_CREDENTIALS": '{"user": "ada", "password": "leaf-Secret-321"}',
    "WAREHOUSE_URL": "postgres://ada:url-Secret-123@db.example.org/x",
    "DEPLOY_KEY": pem(*KEY_LINES),
    "OUR_PIN": "9182736455",
}
# What nobody told us; recognised by its form.
FORMS = {
    "AWS_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "JWT": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
    "PEM": pem(*FORM_LINES),
    "PASSWORD": "form-Secret-654",
}
PIECES = {
    **VARIABLES,
    **FORMS,
    "leaf": "leaf-Secret-321",
    "url": "url-Secret-123",
    **{f"line {number}": line for number, line in enumerate(KEY_LINES)},
    **{f"form line {number}": line for number, line in enumerate(FORM_LINES)},
}
del PIECES["DEPLOY_KEY"], PIECES["PEM"], PIECES["WAREHOUSE_URL"], PIECES["APP_CREDENTIALS"]

# Backwards: the sources hold none, the outputs do.
READ = "import json, os, sys\nfrom IPython.display import display, HTML, JSON\n" + "\n".join(
    [f"{name} = os.environ[{name!r}]" for name in VARIABLES]
    + [f"{name} = {value[::-1]!r}[::-1]" for name, value in FORMS.items()]
)
PRINTS = """
print(DB_PASSWORD, API_TOKEN, SERVICE_SECRET, SESSION_KEY, APP_CREDENTIALS, WAREHOUSE_URL)
print(DEPLOY_KEY, OUR_PIN, AWS_ID, "aws_secret_access_key =", AWS_SECRET, JWT, PEM)
print(f"redis://:{PASSWORD}@host", json.loads(APP_CREDENTIALS)["password"])
print({"a": API_TOKEN, "k": DEPLOY_KEY, "p": PEM}, json.dumps([API_TOKEN, DEPLOY_KEY, PEM]))
print(f"\\x1b[31m{DB_PASSWORD[:5]}\\x1b[32m{DB_PASSWORD[5:]}\\x1b[0m", DEPLOY_KEY.splitlines()[2])
for letter in SERVICE_SECRET:
    print(letter, end="", flush=True)
print(file=sys.stderr)
print(API_TOKEN, DB_PASSWORD, JWT, PEM, file=sys.stderr)
"""
DISPLAYS = """
import base64, html, urllib.parse
every = [DB_PASSWORD, API_TOKEN, SERVICE_SECRET, DEPLOY_KEY, JWT, AWS_ID, PEM]
row = "".join(f"<td title='{html.escape(one)}'>{html.escape(one)}</td>" for one in every)
auth = base64.b64encode(f"ada:{DB_PASSWORD}".encode()).decode()
link = "https://example.org/?token=" + urllib.parse.quote(API_TOKEN)
display(HTML(f"<table><tr>{row}</tr></table><a href='{link}'>x</a><p>Basic {auth}</p>"))
display(JSON({SERVICE_SECRET: {"list": every, "pin": int(OUR_PIN)}}))
spec = {"data": [{"x": every, "y": [1, 2]}], "layout": {"title": {"text": DB_PASSWORD}}}
svg = f"<svg xmlns='http://www.w3.org/2000/svg'><text y='20'>{html.escape(API_TOKEN)}</text></svg>"
display({
    "application/vnd.plotly.v1+json": spec,
    "application/vnd.vegalite.v5+json": {"title": API_TOKEN, "data": {"values": [{"a": JWT}]}},
    "image/svg+xml": svg,
    "text/markdown": f"**{DB_PASSWORD}** and `{JWT}`",
    "text/latex": f"$x$ {SERVICE_SECRET}",
    "text/plain": repr(every),
}, raw=True, metadata={"note": {DB_PASSWORD: API_TOKEN}})
"""
LOGS = """
import mlflow
with mlflow.start_run(run_name="mine"):
    mlflow.log_params({"model": os.environ["LOGGED_TOKEN"]})
"""
CONFTEST = """
import os
import pytest

@pytest.fixture(scope="session")
def nbci_test_data():
    from pytest_nbci import NotebookData
    return NotebookData(parameters={"pin": os.environ["OUR_PIN"], "url": os.environ["WAREHOUSE_URL"]})

@pytest.fixture
def broken(monkeypatch):
    monkeypatch.setenv("SET_LATE_TOKEN", "late-Secret-7777")
    print("captured", os.environ["DB_PASSWORD"])
    local = os.environ["API_TOKEN"]
    assert os.environ["SET_LATE_TOKEN"] == [local, os.environ["DEPLOY_KEY"]]

@pytest.fixture
def skips():
    pytest.skip("no " + os.environ["SERVICE_SECRET"])

@pytest.fixture(autouse=True)
def _marks(request, record_property):
    record_property("token", os.environ["SERVICE_SECRET"])
    for name in ("broken", "skips"):
        if name in request.node.name:
            request.getfixturevalue(name)
"""


def fill(project: Project) -> None:
    project.table(
        'scrub = ["OUR_*", "MATCHES_NOTHING"]\n'
        '[[tool.nbci.notebook]]\npath = "skipped.ipynb"\nskip = "see redis://:form-Secret-654@h"\n'
    )
    project.write("conftest.py", CONFTEST)
    parameters = Cell("pin = ''\nurl = ''", tags=["parameters"])
    project.notebook("prints.ipynb", parameters, READ, PRINTS, DISPLAYS, "print(pin, url)")
    project.notebook(
        "raises.ipynb",
        # Whoever commits a secret has it in git; its copy in the results has it not.
        f"connection = 'postgres://ada:{FORMS['PASSWORD']}@h'",
        Cell(f"# see redis://:{FORMS['PASSWORD']}@host", kind="markdown"),
        READ,
        "raise ValueError('x' * 250 + SESSION_KEY, {API_TOKEN: DEPLOY_KEY}, PEM, JWT)",
    )
    project.notebook(
        "dies.ipynb",
        READ,
        "lines = [DB_PASSWORD, API_TOKEN, *PEM.splitlines(), *map(str, range(15))]\n"
        "os.write(2, '\\n'.join(lines).encode())",
        "os.kill(os.getpid(), 9)",  # what the cell before wrote has arrived by then
    )
    project.notebook("logs.ipynb", "import os", LOGS)
    project.notebook("broken.ipynb", "1")
    project.notebook("skips.ipynb", "1")
    project.notebook("skipped.ipynb", "1")
    project.commit(f"Use {VARIABLES['WAREHOUSE_URL']}\n\n{VARIABLES['DB_PASSWORD']}")


def spellings(secret: str) -> Iterator[bytes]:
    texts = {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], html.escape(secret)}
    texts |= {quote(secret), json.dumps(json.dumps(secret)[1:-1])[1:-1]}
    texts.add(base64.b64encode(secret.encode()).decode().rstrip("=")[:-1])
    yield from (text.encode() for text in texts)


def inner(data: bytes) -> Iterator[bytes]:
    """``data``, and what is packed in it: base64, compressed or not, as pages may hold."""
    yield data
    for match in re.finditer(rb"[A-Za-z0-9+/]{24,}={0,2}", data):
        try:
            unpacked = base64.b64decode(match[0] + b"=" * (-len(match[0]) % 4))
        except ValueError:
            continue
        yield unpacked
        try:
            yield zlib.decompress(unpacked, wbits=47)  # zlib or gzip
        except zlib.error:
            continue


def leaks(where: dict[str, bytes], pieces: dict[str, str]) -> list[tuple[str, str]]:
    needles = [(name, text) for name, piece in pieces.items() for text in spellings(piece)]
    opened = {place: b"\0".join(inner(data)) for place, data in where.items()}
    return sorted(
        {
            (place, name)
            for place, data in opened.items()
            for name, needle in needles
            if needle in data
        }
    )


def test_no_result_report_or_server_holds_a_secret(project: Project, minio: Minio, tmp_path: Path):
    fill(project)
    bucket = f"b{uuid.uuid4().hex}"
    minio.client().create_bucket(Bucket=bucket)
    junit = tmp_path / "junit.xml"

    ran = project.pytest(
        "--nbci",
        f"--nbci-store=s3://{bucket}",
        f"--junitxml={junit}",
        "-rA",
        "--showlocals",
        "-o",
        "junit_logging=all",
        **minio.environment,
        **VARIABLES,
        LOGGED_TOKEN="logged-Secret-2468",
    )

    assert ran.outcomes == {"passed": 2, "failed": 2, "error": 1, "skipped": 2}, ran.out
    assert f"published 7 notebooks to s3://{bucket}" in ran.out
    client = minio.client()
    stored = {
        key: client.get_object(Bucket=bucket, Key=key)["Body"].read()
        for key in minio.objects(bucket)
    }
    assert len(stored) > 20
    folder = project.root / ".nbci"
    here = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert "mlflow.db" in here
    told = {"terminal": (ran.out + ran.err).encode(), "junit": junit.read_bytes()}
    late = {"late": "late-Secret-7777"}
    # Strings of tracked files, where this one stands in a conftest.py; it never leaves the machine.
    sources = here.pop("selection/sources.json")
    assert leaks({"sources": sources}, PIECES) == []
    assert leaks({**stored, **here, **told}, PIECES | late) == []

    # They were there: each stands under its name, or under that of its form.
    page = next(data.decode() for key, data in stored.items() if key.endswith("prints.ipynb.html"))
    for name in (*VARIABLES, "AWS_KEY", "JWT", "PRIVATE_KEY", "PASSWORD"):
        assert f"[{name}]" in page, name
    assert "[SESSION_KEY]" in ran.out
    assert "[SET_LATE_TOKEN]" in ran.out
    assert "[SERVICE_SECRET]" in junit.read_text()
    died = ran.record("dies.ipynb")
    assert died.cause == "kernel_died"
    assert died.stderr_tail.splitlines()[:3] == ["[DB_PASSWORD]", "[API_TOKEN]", "[PRIVATE_KEY]"]
    assert ran.record("prints.ipynb").parameters == {
        "pin": "[OUR_PIN]",
        "url": "postgres://ada:[WAREHOUSE_URL]@db.example.org/x",
    }
    commit = ran.record("prints.ipynb").commit
    assert commit is not None
    assert commit.message.strip().endswith("[DB_PASSWORD]")
    assert ran.record("raises.ipynb").failed_cell.first_line.startswith("raise ValueError('x'")

    # A notebook's own run is its own; our copy of it in the store is ours.
    with sqlite3.connect(folder / "mlflow.db") as database:
        own = database.execute("SELECT value FROM params WHERE key = 'model'").fetchall()
    database.close()
    assert own == [("logged-Secret-2468",)]
    assert leaks(stored, {"logged": "logged-Secret-2468"}) == []
    run = next(data for key, data in stored.items() if key.endswith("logs.ipynb.mlflow.json"))
    assert json.loads(run)["runs"][0]["params"] == {"model": "[LOGGED_TOKEN]"}


def test_a_wrong_url_in_a_setting_is_named_without_its_password(project: Project):
    project.notebook("one.ipynb", "1")
    project.commit()
    ran = project.pytest("--nbci", NBCI_STORE="https://ada:form-Secret-654@minio.example.org/b")
    assert ran.code == 4
    assert "https://ada:[NBCI_STORE]@minio.example.org/b" in ran.err
    assert "form-Secret" not in ran.out + ran.err
