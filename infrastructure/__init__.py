"""How a ledger touches the world: databases, clock, settings, logging, the command line."""
