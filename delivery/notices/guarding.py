"""What notices may not do: stand in the way of what they are about."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import InterfaceError, OperationalError, transaction

logger = logging.getLogger(__name__)


@contextmanager
def never_in_the_way() -> Iterator[None]:
    """Undo what failed inside, and nothing else; a database that is gone is the caller's to notice."""
    try:
        with transaction.atomic():
            yield
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        # An outcome not written would be a message sent twice: worse than any notice that is missing.
        logger.exception("A notice could not be written.")
