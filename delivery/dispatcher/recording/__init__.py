"""What became of messages: rows, journal, statistics, and who is told."""
