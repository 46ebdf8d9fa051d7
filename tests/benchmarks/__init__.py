"""The benchmark: Holdbook beside what else one could use, on this machine, at equal durability. See `make bench`."""
