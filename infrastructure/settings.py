"""The settings, read once at the edge into one immutable object."""

from __future__ import annotations

from typing import Literal

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What a user may have an opinion on; each from the environment as ``HOLDBOOK_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="HOLDBOOK_", frozen=True)

    database_url: str = "sqlite:///holdbook.db"
    """Address of the database."""
    actor: str | None = None
    """Who issues commands; for the command line the user of the operating system if not given."""
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    """The least serious messages that are written."""
    log_format: Literal["console", "json"] = "console"
    """How messages are written, to standard error."""
    seal_key: str | None = None
    """File with the private key that `holdbook seal` signs checkpoints with."""
