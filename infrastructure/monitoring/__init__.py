"""What Prometheus reads: the process's counters and the state of its database."""
