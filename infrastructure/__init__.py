"""How a ledger touches the world: databases, threads, the clock, settings, the terminal.

Programs import `holdbook` itself. Each room below says what the other rooms may import from it.
"""
