"""Files of others: one module a format, to read, to write, and to account for every line that is not used."""
