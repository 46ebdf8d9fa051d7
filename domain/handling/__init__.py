"""Handle a command: load the pools that it reaches, decide, number the events, record them."""
