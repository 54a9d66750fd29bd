"""Which messages this worker takes from the queue, and those it takes for no server."""
