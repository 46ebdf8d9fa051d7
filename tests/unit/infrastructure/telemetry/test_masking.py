"""Secrets: found by their name or inside a text, and not shown; all else is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from holdbook import Token
from holdbook.infrastructure.telemetry.masking import MASK, mask_message, mask_text, masked


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql+psycopg://ana:s3cret@db/holdbook", "postgresql+psycopg://ana:***@db/holdbook"),
        ("postgresql://ana:a/b@c:d@db/holdbook down", "postgresql://ana:***@db/holdbook down"),
        ("postgresql://:s3cret@db", "postgresql://:***@db"),
        (
            "postgresql://db/holdbook?user=ana&password=s3cret&port=1",
            "postgresql://db/holdbook?user=ana&password=***&port=1",
        ),
        ("host=db password='s3 \\' cret' user=ana", "host=db password=*** user=ana"),
        ("host=db PASSWORD = s3cret", "host=db PASSWORD = ***"),
        (
            'FATAL: password authentication failed for user "ana"',
            'FATAL: password authentication failed for user "ana"',
        ),
        ("sqlite:////var/lib/holdbook.db", "sqlite:////var/lib/holdbook.db"),
        ("http://127.0.0.1:9464/metrics", "http://127.0.0.1:9464/metrics"),
    ],
)
def test_passwords_in_a_text(text: str, shown: str) -> None:
    """The password of an address, or of a connection string, goes; what is around it stays."""
    assert mask_text(text) == shown


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "db_password",
        "PASSWORD",
        "passwd",
        "secret",
        "client-secret",
        "token",
        "apiKey",
        "api_key",
        "seal.key",
    ],
)
def test_names_of_secrets(name: str) -> None:
    """A value that goes by the name of a secret is not shown, whatever it is, and wherever it stands."""
    assert masked("s3cret", name) == MASK
    assert masked(12, name) == MASK
    assert masked({"tags": [{name: ["s3cret"]}]}) == {"tags": [{name: [MASK]}]}


@pytest.mark.parametrize("name", ["command_id", "monkey", "tokens_left", "keyboard", "pool", "owner", ""])
def test_names_of_what_is_no_secret(name: str) -> None:
    """A name that only looks a little like one hides nothing."""
    assert masked("plain", name) == "plain"


def test_fencing_tokens_are_no_secrets() -> None:
    """A fencing token opens nothing, and is shown; so is that there is none."""
    shown: list[Any] = [Token(1, 7), "1:7", None, True]
    assert [masked(value, "token") for value in shown] == shown


def test_a_message() -> None:
    """Every field of a message is masked; what is no text, no list and no mapping stays as it is."""
    moment = datetime(2026, 1, 31, tzinfo=UTC)
    message = {"event": "at postgresql://a:b@c", "password": "b", "at": moment, "free": 3, "pools": ("gpu",)}
    assert mask_message(None, "error", message) == {
        "event": "at postgresql://a:***@c",
        "password": MASK,
        "at": moment,
        "free": 3,
        "pools": ["gpu"],
    }
