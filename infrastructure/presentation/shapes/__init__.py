"""Results of the product as JSON shapes: times as in the log, tokens as ``epoch:position``."""
