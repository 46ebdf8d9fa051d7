"""The published views in a database: their generations, how rows are written, how they are published and queried.

Other rooms import `store`, `queries`, `publication`, `comparison`, `view_events`, `physical`, `dry_run` and
`usage_over_time`; only the store imports `bulk`.
"""
