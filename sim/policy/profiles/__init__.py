"""One sender a file: its small tables in the order of its own document, and its defaults."""
