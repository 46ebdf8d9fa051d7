"""The published views: their tables, and what each event changes in them.

Other rooms import `VIEWS` from `catalogue`, and the names and columns that one view's module gives.
"""
