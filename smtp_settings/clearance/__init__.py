"""What is let through: whether settings are live, why not, and the only writer of that."""
