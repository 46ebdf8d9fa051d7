"""Seals: signed checkpoints of the log's Merkle tree, proofs from that tree, keys in files, and witnesses.

Other rooms import `sealer`, `prover`, `store`, `key_files`, `witness` and, for its error, `tiles`.
"""
