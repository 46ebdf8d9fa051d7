"""Everything that reads the log again: what was held at a moment, and whether every promise was kept."""
