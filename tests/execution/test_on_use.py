"""Imports that are put off, each in an interpreter of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# What papermill says of S3 shows that its client was made, and reached the network's end.
CLIENT_WORKS = """
import os, sys
os.environ |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "c"}
import pytest_nbci.execution.engine
assert not {"boto3", "botocore", "requests", "urllib3"} & set(sys.modules), "imported at once"
import papermill.iorw, papermill.s3
print(type(papermill.s3.S3().client).__name__, papermill.iorw.requests.codes.ok)
import boto3.session, requests
print(boto3.session.Session.__name__, requests.get.__name__, papermill.iorw.requests.get.__name__)
"""
IMPORTED_BEFORE = """
import requests
import pytest_nbci.execution.engine, papermill.iorw
print(papermill.iorw.requests is requests)
"""
NOT_INSTALLED = """
from pytest_nbci.execution.on_use import on_use
with on_use("no_such_package.part"):
    try:
        from no_such_package.part import name
    except ImportError as error:
        print(error)
"""

# As gcsfs does it, by way of google.auth.
OTHER_CLIENT = """
import sys
sys.path.insert(0, {folder!r})
import pytest_nbci.execution.engine, papermill.iorw
print(papermill.iorw.GCSFileSystem.__name__)
"""


def said_by(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_papermills_storages_are_imported_when_they_are_used():
    assert said_by(CLIENT_WORKS) == "S3 200\nSession get get\n"


def test_what_is_imported_already_stays():
    assert said_by(IMPORTED_BEFORE) == "True\n"


def test_what_is_not_installed_stays_so():
    assert said_by(NOT_INSTALLED) == "No module named 'no_such_package'\n"


def test_other_clients_of_papermill_are_not_missed(tmp_path: Path):
    (tmp_path / "gcsfs.py").write_text(
        "import requests.adapters\nclass GCSFileSystem(requests.Session): pass\n"
    )
    assert said_by(OTHER_CLIENT.format(folder=str(tmp_path))) == "GCSFileSystem\n"
