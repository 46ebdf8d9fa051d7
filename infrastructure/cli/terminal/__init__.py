"""What the command line reads from its user and shows to them: options, files, tables, plots, signals.

The commands import from all of it; no other room does.
"""
