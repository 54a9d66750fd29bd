"""What is only read: test runs and the event log."""
