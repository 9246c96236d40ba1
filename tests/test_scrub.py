"""No secret survives in any spelling that docs/security.md promises; ordinary text does."""

from __future__ import annotations

import base64
import html
import json
import string
import time
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from pytest_nbci.scrub import (
    Secrets,
    find_secrets,
    scrub_data,
    scrub_notebook,
    scrub_text,
    scrub_values,
)

JWT = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0."
    "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
)
# AWS's own examples.
AWS_ID, AWS_SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
LINES = [f"{number:02d}{'abcDEF/+' * 7}123456" for number in range(12)]
PEM = "\n".join(
    ["-----BEGIN RSA PRIVATE KEY-----", *LINES, "zzz=", "-----END RSA PRIVATE KEY-----"]
)


def scrub(text: str, *globs: str, **environment: str) -> str:
    return scrub_text(text, find_secrets(environment, globs))


@pytest.mark.parametrize(
    "name",
    [
        "API_KEY",
        "KEY",
        "APIKEY",
        "apiKey",
        "api_keys",
        "AWS_ACCESS_KEY_ID",
        "KEY2",
        "CI_JOB_TOKEN",
        "GITHUBTOKEN",
        "CLIENT_SECRET_V2",
        "PGPASSWORD",
        "DB_PASSWD",
        "SSH_PASSPHRASE",
        "GOOGLE_CREDENTIALS",
    ],
)
def test_the_value_of_a_variable_with_a_secret_name_is_replaced(name: str):
    assert scrub("it is hunter2hunter2!", **{name: "hunter2hunter2"}) == f"it is [{name}]!"


@pytest.mark.parametrize(
    "name",
    [
        "SSH_AUTH_SOCK",
        "KEYBOARD_LAYOUT",
        "TOKENIZERS_PARALLELISM",
        "MLFLOW_TRACKING_USERNAME",
        "PATH",
        "KEYRING_BACKEND",
    ],
)
def test_the_value_of_any_other_variable_is_left(name: str):
    assert scrub("it is hunter2hunter2!", **{name: "hunter2hunter2"}) == "it is hunter2hunter2!"


def test_a_short_value_is_left():
    assert scrub("1234567 12345678", PIN_TOKEN="1234567") == "1234567 12345678"


def test_the_path_of_a_file_that_exists_is_no_secret(tmp_path: Path):
    file = tmp_path / "credentials.json"
    assert scrub(f"at {file}", KEY_FILE=str(file)) == "at [KEY_FILE]"
    file.touch()
    assert scrub(f"at {file}", KEY_FILE=str(file)) == f"at {file}"


def test_the_setting_adds_and_exempts_names():
    globs = ("DB_*", "!*_COLUMN_KEY", "NOTHING_MATCHES")
    environment = {"DB_PIN": "1234-5678", "SORT_COLUMN_KEY": "customer_id"}
    assert scrub("1234-5678 customer_id", *globs, **environment) == "[DB_PIN] customer_id"


def test_of_globs_that_match_the_last_decides():
    assert scrub("customer_id", "!*_KEY", "SORT_*", SORT_KEY="customer_id") == "[SORT_KEY]"


def test_a_value_is_found_without_the_line_break_at_its_end():
    assert scrub("hunter2hunter2", A_TOKEN="hunter2hunter2\n") == "[A_TOKEN]"


def test_the_longest_secret_wins():
    environment = {"A_KEY": "abcdefgh", "B_KEY": "abcdefghijkl", "C_KEY": "efghijklmn"}
    assert scrub("<abcdefghijkl>", **environment) == "<[B_KEY]>"
    assert scrub("<abcdefgh>", **environment) == "<[A_KEY]>"
    # Two that overlap leave no tail of either.
    assert scrub("<abcdefghijklmn>", **environment) == "<[B_KEY]>"


def test_scrubbing_twice_changes_nothing():
    environment = {"DB_URL": "postgres://me:hunter2hunter2@db/x", "A_TOKEN": JWT}
    once = scrub(f"{environment['DB_URL']} {JWT} http://u:other@h", **environment)
    assert once == "postgres://me:[DB_URL]@db/x [A_TOKEN] http://u:[PASSWORD]@h"
    assert scrub(once, **environment) == once


def test_the_password_of_a_url_in_any_variable_is_replaced_where_it_stands_alone():
    environment = {"DATABASE_URL": "postgres://me:hunter2%2Fhunter2@db/x"}
    assert scrub("password='hunter2/hunter2'", **environment) == "password='[DATABASE_URL]'"


def test_credentials_in_json_are_replaced_where_they_stand_alone():
    value = json.dumps(
        {"type": "service_account", "private_key": PEM, "nested": [{"password": "hunter2hunter2"}]}
    )
    text = f"service_account: hunter2hunter2, {LINES[3]}"
    assert scrub(text, APP_CREDENTIALS=value) == (
        "service_account: [APP_CREDENTIALS], [APP_CREDENTIALS]"
    )
    assert scrub(value, APP_CREDENTIALS=value) == "[APP_CREDENTIALS]"


def test_each_line_of_a_key_in_a_variable_is_replaced():
    assert scrub("\n".join(LINES[2:4]), DEPLOY_KEY=PEM) == "[DEPLOY_KEY]\n[DEPLOY_KEY]"
    assert scrub("-----BEGIN RSA PRIVATE KEY-----", DEPLOY_KEY=PEM).startswith("-----BEGIN")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"id={AWS_ID}.", "id=[AWS_KEY]."),
        (repr(f"\n{AWS_ID}"), repr("\n[AWS_KEY]")),
        (f"aws_secret_access_key = {AWS_SECRET}", "aws_secret_access_key = [AWS_KEY]"),
        (f"AWS_SECRET_ACCESS_KEY={AWS_SECRET}\n", "AWS_SECRET_ACCESS_KEY=[AWS_KEY]\n"),
        (json.dumps({"SecretAccessKey": AWS_SECRET}), '{"SecretAccessKey": "[AWS_KEY]"}'),
        (
            f"<td>secret_key</td><td>{AWS_SECRET}</td>",
            "<td>secret_key</td><td>[AWS_KEY]</td>",
        ),
        (f"Bearer {JWT}", "Bearer [JWT]"),
        (json.dumps(f"\n{JWT}"), '"\\n[JWT]"'),
        (f"a{PEM}b", "a[PRIVATE_KEY]b"),
        (json.dumps(PEM), '"[PRIVATE_KEY]"'),
        (PEM[:500], "[PRIVATE_KEY]"),
        ("https://bob:pw@host/x", "https://bob:[PASSWORD]@host/x"),
        ("redis://:p%40ss@host", "redis://:[PASSWORD]@host"),
        ("ftp://u:p@ss@host", "ftp://u:[PASSWORD]@host"),
    ],
)
def test_what_looks_like_a_secret_is_replaced(text: str, expected: str):
    assert scrub(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "https://host:8080/a@b",
        "https://host:8080?mail=a@b",
        "git@host:group/project.git and ssh://git@host:22/x",
        "mail bob@example.org: see https://example.org",
        "postgres://{user}:{password}@{host} postgres://u:$PW@h postgres://u:${PW}@h",
        "postgres://u:***@h postgres://u:%s@h postgres://u:%(pw)s@h",
        "A key begins with -----BEGIN PRIVATE KEY----- and ends with a line of the same kind.",
        "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\n-----END PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\n-----END CERTIFICATE-----",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709 0123456789abcdef0123456789abcdef01234567",
        "AKIAKIAKIA ASIA MAKIAIOSFODNN7EXAMPLE",
        "eyJ.eyJ. keyJhbGciOiJIUzI1NiJ9",
        "the secret key is 40 characters long",
    ],
)
def test_what_looks_only_like_it_is_left(text: str):
    assert scrub(text) is text


def test_a_secret_is_found_through_colours_which_are_kept():
    text = "\x1b[31mtoken\x1b[0m=hunt\x1b[1;32mer2\x1b[0mhunter2\x1b[36m!\x1b[0m"
    assert scrub(text, A_TOKEN="hunter2hunter2") == (
        "\x1b[31mtoken\x1b[0m=[A_TOKEN]\x1b[1;32m\x1b[0m\x1b[36m!\x1b[0m"
    )


def test_data_is_scrubbed_with_its_keys_and_numbers():
    secrets = find_secrets({"A_KEY": "1234567890", "B_KEY": "hunter2hunter2"})
    value = {"hunter2hunter2": [1234567890, 1.5, None, True, ("x hunter2hunter2", 12)]}
    assert scrub_data(value, secrets) == {
        "[B_KEY]": ["[A_KEY]", 1.5, None, True, ("x [B_KEY]", 12)]
    }
    assert list(scrub_values(value, secrets)) == ["hunter2hunter2"]


def test_the_format_of_a_notebook_stays_whatever_the_secrets():
    words = ["metadata", "execute_result", "text/html", "parameters", "python3-kernel", "image/png"]
    secrets = find_secrets({f"A{number}_KEY": word for number, word in enumerate(words)})
    picture = base64.b64encode(b"..metadata..").decode()
    content = {
        "metadata": {
            "kernelspec": {"name": "python3-kernel"},
            "widgets": {"state": {"id": {"model_name": "TextModel", "value": "see metadata"}}},
        },
        "cells": [
            {
                "id": "c1",
                "cell_type": "code",
                "metadata": {"tags": ["parameters"]},
                "source": f"{PEM!r}\n'''{PEM}'''\nx",
                "outputs": [
                    {
                        "output_type": "execute_result",
                        "data": {"text/html": "see text/html", "image/png": picture},
                        "metadata": {},
                    }
                ],
            }
        ],
    }
    lines = content["cells"][0]["source"].count("\n")

    scrub_notebook(content, secrets)

    cell = content["cells"][0]
    assert content["metadata"] == {
        "kernelspec": {"name": "python3-kernel"},
        "widgets": {"state": {"id": {"model_name": "TextModel", "value": "see [A0_KEY]"}}},
    }
    assert cell["metadata"] == {"tags": ["parameters"]}
    assert cell["outputs"][0]["output_type"] == "execute_result"
    assert cell["outputs"][0]["data"] == {"text/html": "see [A2_KEY]", "image/png": picture}
    # Line numbers of tracebacks still fit.
    assert cell["source"].count("\n") == lines
    assert cell["source"].startswith("'[PRIVATE_KEY]'\n'''[PRIVATE_KEY]\n")


# Spellings of a text in outputs; each is what the program that writes it really does.
SPELLINGS = {
    "plain": lambda text: text,
    "json": json.dumps,
    "json with letters": lambda text: json.dumps(text, ensure_ascii=False),
    "json in json": lambda text: json.dumps(json.dumps([text])),
    "repr": repr,
    "repr with both quotes": lambda text: repr(f"'{text}\""),
    "repr of bytes": lambda text: repr(text.encode()),
    "json of repr": lambda text: json.dumps(repr(text)),
    "html": html.escape,
    "html in json": lambda text: json.dumps(html.escape(text)),
    "repr in html": lambda text: html.escape(repr(text)),
    "url": lambda text: f"?q={quote(text, safe='')}",
    "path": quote,
    "form": quote_plus,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "basic auth": lambda text: base64.b64encode(f"user:{text}".encode()).decode(),
    "amid base64": lambda text: base64.urlsafe_b64encode(f"xy{text}yx".encode()).decode(),
}
# The escape begins a colour's code, through which secrets are looked for.
SECRET = st.text(st.characters(codec="utf-8", exclude_characters="\x1b"), min_size=8, max_size=60)
ORDINARY = st.text(string.ascii_letters + string.digits + " .,_-+/=\n\\'\"<&%[]{}é", max_size=40)


@settings(max_examples=60)
@given(secret=SECRET, before=ORDINARY, after=ORDINARY)
@example(secret="a\\\"'<b>&\n%\té€😀/+=_", before="", after="")
@example(secret="\\\\\\\\\\\\\\\\", before="\\", after="\\")
def test_no_secret_survives_in_any_spelling(secret: str, before: str, after: str):
    secret = secret.strip()
    assume(len(secret) >= 8)
    secrets = find_secrets({"SOME_TOKEN": secret})
    for name, spell in SPELLINGS.items():
        spelled = spell(secret)
        found = scrub_text(f"{before}{spelled}{after}", secrets)
        assert "[SOME_TOKEN]" in found, name
        core = spelled[1:-1] if name not in ("plain", "html", "path", "form", "url") else spelled
        if "base64" not in name and name != "basic auth":
            assert core not in found.replace("[SOME_TOKEN]", ""), name


TEXT = st.one_of(
    st.text(max_size=200),
    st.lists(st.sampled_from(Path(__file__).read_text().split()), max_size=30).map(" ".join),
)


@given(
    text=TEXT,
    values=st.lists(st.text(string.ascii_letters + string.digits, min_size=8), max_size=5),
)
def test_ordinary_text_is_untouched(text: str, values: list[str]):
    secrets = find_secrets({f"V{number}_TOKEN": value for number, value in enumerate(values)})
    assume(not any(spelling in text for spelling in secrets.names))
    assume(not any(mark in text for mark in ("://", "AKIA", "eyJ", "PRIVATE KEY")))
    assert scrub_text(text, secrets) is text
    assert scrub_data({text: [text, {"x": text}]}, secrets) == {text: [text, {"x": text}]}


@given(before=st.text(max_size=50), after=st.text(max_size=50), times=st.integers(1, 4))
def test_the_text_around_a_secret_is_untouched(before: str, after: str, times: int):
    secrets = Secrets({"hunter2hunter2": "A_TOKEN"})
    assume(not any(mark in before + after for mark in ("\x1b", "://")))
    text = f"{before}hunter2hunter2{after}" * times
    assert scrub_text(text, secrets) == f"{before}[A_TOKEN]{after}" * times


@pytest.mark.parametrize(
    "unit",
    [
        "An ordinary line of a log, with numbers 12345 and https://example.org/a:b.\n",
        "\x1b[32mgreen\x1b[0m and plain\n",
        base64.b64encode(bytes(range(256)) * 3).decode(),
        "-----BEGIN PRIVATE KEY-----\n",
        "eyJhbGciOiJIUzI1NiJ9.",
        "://user:",
        "secret_key=<td>&amp;",
    ],
)
def test_time_is_linear_in_the_text(unit: str):
    environment = {
        f"V{number}_TOKEN": f"{number:02d}{unit[:3]}{AWS_SECRET}" for number in range(12)
    }
    secrets = find_secrets(environment)
    megabyte = (unit * (1_000_000 // len(unit) + 1))[:1_000_000]

    def seconds(text: str) -> float:
        begun = time.process_time()
        scrub_text(text, secrets)
        return time.process_time() - begun

    once = min(seconds(megabyte) for _ in range(3))
    # Linear would be 8, quadratic 64; a busy machine is forgiven much.
    assert seconds(megabyte * 8) < 30 * max(once, 0.01)
