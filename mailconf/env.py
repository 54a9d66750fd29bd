"""The environment: every variable mailconf reads, in one place."""

import environ

env = environ.Env()
