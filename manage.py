#!/usr/bin/env python
"""Runs Django's management commands with the project's settings."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import OperationalError, connection


def main() -> None:
    """Run one command; a bad variable or an unreachable database is a sentence, not a traceback."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailconf.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(str(error))
    except OperationalError as error:
        if connection.connection is not None:
            raise
        sys.exit(
            f"The database does not answer: {' '.join(str(error).split())} "
            "(Without DATABASE_URL it is the private one, which runs while `make run` does.)"
        )


if __name__ == "__main__":
    main()
