"""Views: tables that are computed from the log, and the engine that keeps them in step with it.

Other rooms import `definition`, `fold`, `generations`, `projector`, `rebuild` and `engine` (for `no_progress`); the
published views are in `views`.
"""
