"""What a process says of itself: log lines, masked secrets, spans and counters."""
