"""The published views: their tables, and what each event changes in them.

Other rooms import `VIEWS` from `catalogue`, and names and columns from the modules of single views:
`current_allocations`, `metrics`, `pool_usage` and `validation_failures`.
"""
