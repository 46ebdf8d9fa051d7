"""Decide a command: from the state and the command to the events. Pure; no log, no clock."""
