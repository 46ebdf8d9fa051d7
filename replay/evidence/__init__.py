"""Evidence that needs no database: Merkle trees, signed notes, checkpoints and bundles."""
