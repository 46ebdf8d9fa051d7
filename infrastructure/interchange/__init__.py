"""Lines in and out: workloads, exports, what old managers held."""
