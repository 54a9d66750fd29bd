"""The statements a page asks: what a budget in queries is measured by."""

from django.db import connection
from django.test.utils import CaptureQueriesContext


def asked(seen):
    """The statements that ask or tell something; a savepoint is there because a test is in a transaction."""
    return [one["sql"] for one in seen.captured_queries if "SAVEPOINT" not in one["sql"]]


def fewest_asked(visit):
    """The statements of the cheapest of three visits after the first, and what the last one gave.

    The first finds nothing kept (counts, ribbon, dashboard), and on a slow machine what is kept for seconds
    may be over at any other.
    """
    visit()
    found = []
    for _ in range(3):
        with CaptureQueriesContext(connection) as seen:
            answer = visit()
        found.append(asked(seen))
    return min(found, key=len), answer
