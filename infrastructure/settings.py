"""The settings, read from the environment once, when the program starts."""

from __future__ import annotations

from typing import Literal

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """The settings of the command line. Each is read from the environment variable ``HOLDBOOK_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="HOLDBOOK_", frozen=True)

    database_url: str = "sqlite:///holdbook.db"
    """The address of the database."""
    actor: str | None = None
    """Who issues commands; if not given, the user of the operating system."""
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    """Messages of this level and of more serious ones are written."""
    log_format: Literal["console", "json"] = "console"
    """How messages are written to standard error: for people, or as JSON."""
    seal_key: str | None = None
    """The file with the private key with which `holdbook seal` signs checkpoints."""
