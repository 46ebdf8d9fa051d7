"""Results of the product in sentences, and the words for the values in them.

A face prints a sentence in its own way: `tones` says which parts of it are good news and which are bad. Every
face imports the module of its subject, `ledger`, `history`, `integrity`, `operation`, `reports` or `simulation`, and
`values`.
"""
