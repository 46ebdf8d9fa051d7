"""What readers ask: one module a view, one engine."""
