"""The pages of the sending policy."""
