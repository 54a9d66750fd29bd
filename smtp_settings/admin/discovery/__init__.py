"""What is looked up for a person: a server's settings, and what DNS says of the From domain."""
