"""The words and rules of the ledger: commands, events, limits, pools, allocations, refusals. Pure: no SQL, no clock.

Every other room imports these modules. `decisions` decides commands; `handling` loads, decides and records.
"""
