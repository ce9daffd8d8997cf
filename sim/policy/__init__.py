"""What the sender decides: tables, entries and schedules. No time, no chance, no files."""
