"""The queue: what workers do."""
