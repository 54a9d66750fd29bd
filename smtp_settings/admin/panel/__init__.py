"""The test panel: what a run shows, step by step, its causes, and the endpoints it lives on."""
