"""The five published views: their tables and what each event changes in them."""
