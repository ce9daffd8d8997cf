"""When it happens: a Scenario becomes a World, and an engine tells what becomes of its mail."""
