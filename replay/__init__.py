"""Everything that reads the log again: timelines, verification, proofs, what-if."""
