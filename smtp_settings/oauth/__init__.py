"""OAuth 2.0 credentials: where their tokens come from, how long they hold, and who gets a new one."""
