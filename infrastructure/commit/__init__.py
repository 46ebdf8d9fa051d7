"""Group commit: one thread records what all other threads and tasks of the process ask for.

Other rooms import `group_commit` and `promise`.
"""
