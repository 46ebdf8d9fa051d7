"""The past: the state as of a position or a time, and the story of an allocation."""
