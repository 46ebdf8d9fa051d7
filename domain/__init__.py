"""What a ledger is: commands, events, limits, pools, decisions. No SQL, no clock, no environment, no threads."""
