"""Mail settings of another program become drafts: Django's EMAIL_*, its MAILERS, a .env file.

`from_django` and `from_env` read, each gives a `Reading`; `drafting` makes the drafts, all or none. Nothing
that was read is dropped without a sentence, and no sentence holds a secret.
"""
