"""Find what is wrong in the rows of a log. Pure; reads no database."""
