"""The settings: read once from the environment, checked, and never changed."""

from __future__ import annotations

import os

import pytest
from pydantic import ValidationError

from holdbook.infrastructure.settings import Settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without any of our variables."""
    for name in [name for name in os.environ if name.startswith("HOLDBOOK_")]:
        monkeypatch.delenv(name)


def test_what_holds_without_any() -> None:
    """Without any variable the database is a file beside the program, and warnings go to people."""
    settings = Settings()
    assert (settings.database_url, settings.actor) == ("sqlite:///holdbook.db", None)
    assert (settings.log_level, settings.log_format) == ("warning", "console")


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting is read from its variable."""
    values = {
        "database_url": "postgresql://host/db",
        "actor": "ops",
        "log_level": "debug",
        "log_format": "json",
        "seal_key": "log.key",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"HOLDBOOK_{name.upper()}", value)
    assert Settings().model_dump() == values


@pytest.mark.parametrize(("name", "value"), [("LOG_LEVEL", "loud"), ("LOG_FORMAT", "xml")])
def test_a_value_that_is_none(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """A value out of the closed lists is an error that names the setting and the values there are."""
    monkeypatch.setenv(f"HOLDBOOK_{name}", value)
    with pytest.raises(ValidationError, match=rf"{name.lower()}\n.*Input should be '.*{value}"):
        Settings()


def test_settings_do_not_change() -> None:
    """Settings are read once: changing them is an error."""
    with pytest.raises(ValidationError, match="frozen"):
        Settings().actor = "somebody else"  # type: ignore[misc]  # that it is frozen is the claim


def test_the_library_s_variables_do_not_reach_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of the event sourcing library, such as a cipher's key, do not change what is stored."""
    from holdbook import Ledger, Limits  # noqa: PLC0415

    monkeypatch.setenv("CIPHER_KEY", "AAAAAAAAAAAAAAAAAAAAAA==")
    monkeypatch.setenv("COMPRESSOR_TOPIC", "zlib")
    with Ledger.in_memory() as ledger:
        ledger.open_pool("gpu", resource_type="gpu", limits=Limits(total=1))
        assert ledger.log.rows()[0].data.startswith('{"pool":"gpu"')
