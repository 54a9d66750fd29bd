"""What this machine refuses: foreign OSErrors become ours, with the name of their errno as the reason."""

import errno
import os
import pwd

from transports.base import Phase
from transports.errors import LocalShortage, NotUsableHere

_SHORTAGES = frozenset(
    {
        errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EIO,
        errno.ESTALE, errno.ETIMEDOUT,
    }
)  # fmt: skip


def refused(error: OSError, path: str, phase: Phase) -> NotUsableHere:
    """Return our error for one of the system about `path`.

    What may pass (no space, too many processes, a share that is away) is a LocalShortage.
    """
    number = error.errno or 0
    kind = LocalShortage if number in _SHORTAGES else NotUsableHere
    words = os.strerror(number) if number else "it does not work"
    return unusable(f"{path}: {words}.", phase=phase, reason=errno.errorcode.get(number, "other"), kind=kind)


def unusable(
    sentence: str, *, phase: Phase, reason: str, kind: type[NotUsableHere] = NotUsableHere
) -> NotUsableHere:
    """Return the error with the name of the user this process runs as: rights are that user's."""
    return kind(sentence, phase=phase, reason=reason, evidence={"worker_user": worker_user()})


def worker_user() -> str:
    """Return the name of the user this process runs as; its number where it has no name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
