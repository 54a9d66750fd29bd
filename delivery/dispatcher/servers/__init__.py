"""The servers as this worker uses them: what each may take now, and what its answers mean."""
