"""Seal the log: sign checkpoints of its Merkle tree, prove events, cosign as a witness."""
