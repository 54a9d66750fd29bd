"""One connection and one message on it: opened, made ready, tried, judged, kept for the next."""
