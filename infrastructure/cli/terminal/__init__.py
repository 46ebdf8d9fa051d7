"""The terminal: options, parsing, output, files, signals and plots."""
