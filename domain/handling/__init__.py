"""Handle a command: load the pools that it reaches, decide it, number its events and record them.

Other rooms import `handler`, `interface`, `named_commands`, `named_queries`, `outcome`, `commit_attempt` and
`queue`.
"""
