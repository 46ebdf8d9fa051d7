"""Evidence that can be checked without the database: Merkle trees, signed notes, checkpoints and bundles.

Other rooms may import every module of it.
"""
