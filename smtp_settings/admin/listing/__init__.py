"""The list of profiles: its columns and filters, what may be done with a row, and the test of many."""
