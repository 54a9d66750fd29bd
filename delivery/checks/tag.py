"""The tag of mailconf's own system checks."""

TAG = "mailconf"
