"""Playing back the journals of sessions that are dead: what they did is recorded, the rest given back.

A journal whose lock is free has no owner any more. On the machine that wrote it nobody has to wait until
the session is stale: its page cache tells all that was written.

- **A reply was read**: the message ends or goes back exactly as if it had just been judged.
- **Its dot was about to be written, no reply**: uncertain, by the profile's policy. A crash is counted, for
  the reply may have been what killed the process.
- **Begun**: certainly not sent, and the suspect: a crash is counted, it comes back alone, and with the third
  crash it is held. There are one or two per connection, so that a poison message is found and no other held
  for it. When nothing at all was begun, the claim itself was deadly, and all it took are suspects.
- **None of these**: certainly not sent; given back, nothing counted.

Another boot id (or none, where the system has none) means that the machine was started anew, or that machines
share the folder: then it waits until the session is stale, and what is missing proves nothing, unless every
line was synced; the rest is `queue.reclaim`'s. All of it is fenced by the lease and happens in one
transaction, so that a replay that is killed is simply repeated, and what others took over meanwhile is not
disturbed.
"""

import fcntl
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from delivery import queue
from delivery.dispatcher.database import is_away
from delivery.dispatcher.recording import records
from delivery.dispatcher.recording.journal import NAMES
from delivery.dispatcher.recording.outcomes import Result
from delivery.dispatcher.recording.player import Player
from delivery.dispatcher.recording.recorder import write_apart
from delivery.dispatcher.recording.records import Journalled, NotAJournal
from delivery.dispatcher.recording.report import Tally, kind_of

logger = logging.getLogger(__name__)

#: A journal of a session nobody knows (another installation's, or purged) is removed after this.
_FORGOTTEN_SECONDS = 7 * 86_400.0

#: What was said about files that stay as they are: they are looked at every 15 seconds.
_told: set[str] = set()


def replay_all(folder: Path | None = None) -> bool:
    """Play back every journal without an owner; whether messages came back to the queue.

    `folder` None is MAILCONF_STATE_DIR. Call it in the database thread. Raises what a broken database
    raises; a journal that cannot be played back for another reason is set aside.
    """
    found = False
    for path in _journals(folder or settings.MAILCONF_STATE_DIR):
        opened = _taken(path)
        if opened is not None:
            with opened:
                found |= _replay(path, opened)
    return found


def _journals(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.match(NAMES))
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            _say_once(f"The journals in {folder} cannot be looked for: {error.strerror}")
        return []


def _taken(path: Path) -> BinaryIO | None:
    """Open the journal and take its lock; None when its owner lives, or it has just been played back."""
    try:
        opened = path.open("rb")
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            _say_once(f"The journal {path} cannot be read: {error.strerror}")
        return None
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_it = os.path.samestat(os.fstat(opened.fileno()), path.stat())
    except OSError:
        is_it = False
    if is_it:
        return opened
    opened.close()
    return None


def _replay(path: Path, opened: BinaryIO) -> bool:
    try:
        journal = records.read(opened.read())
        counts = _play(journal)
    except NotAJournal:  # it was given up half-way
        counts = Counter()
    except Exception as error:
        if is_away(error):
            raise
        # Whatever is wrong with it, it must not stop every drain; its session is buried when it is stale.
        _say_once(f"The journal {path} cannot be played back and is set aside.", error)
        _put_away(path, lambda: path.rename(path.with_suffix(".broken")))
        return False
    if counts is not None or time.time() - os.fstat(opened.fileno()).st_mtime > _FORGOTTEN_SECONDS:
        _put_away(path, lambda: path.unlink(missing_ok=True))
    return bool(counts)


def _put_away(path: Path, how: Callable[[], object]) -> None:
    """Remove or rename a journal; one that stays is played back again, which changes nothing."""
    try:
        how()
    except OSError as error:
        _say_once(f"The journal {path} stays where it is: {error.strerror}")


def _say_once(sentence: str, error: Exception | None = None) -> None:
    if sentence not in _told:
        _told.add(sentence)
        logger.log(logging.ERROR if error else logging.WARNING, sentence, exc_info=error)


def _play(journal: Journalled) -> "Counter[str] | None":
    """Record what a dead session did and give back the rest; None when it is not the time, or not ours."""
    header = journal.header
    lease = header.lease
    with transaction.atomic():
        session = queue.session_of(lease, lock=True)
        if session is None or session.started_at.isoformat() != header.since:
            return None
        is_same_boot = bool(header.boot_id) and header.boot_id == queue.boot_id()
        if not (is_same_boot or session.is_dead or session.is_stale):
            return None
        proves_absence = journal.is_whole and (is_same_boot or header.is_synced)
        held = queue.held_by(lease)
        player = Player(lease, held, journal.notes)
        results = player.results()
        if proves_absence:
            results += player.suspects()
        written = write_apart(lease, [*results, *player.late()], is_repeat=True)
        counts = _counted(lease, [one for one in results if one.work.claimed.message_id in written])
        if proves_absence:
            counts["given_back"] += len(queue.release_others(lease, ()))
            counts = +counts  # without what there is none of
            queue.retire_worker(lease)
        if counts:
            _tell(lease, counts)
    return counts


def _counted(lease: int, results: Sequence[Result]) -> "Counter[str]":
    """Add the results to the statistics; return how many there are of each kind."""
    tally, counts = Tally(), Counter[str]()
    for result in results:
        kind = kind_of(result)
        tally.add(result, ms=0)
        counts[kind or "suspects"] += 1
    stats = tally.take(minute=timezone.now(), worker_id=lease)
    if stats:
        queue.add_stats(stats)
    return counts


def _tell(lease: int, counts: "Counter[str]") -> None:
    """Say what was found, in the log and in the event log."""
    words = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in counts.items())
    logger.warning("Worker %s ended without a goodbye; from its journal: %s", lease, words)
    data = {"worker": lease, **counts}
    queue.add_event("journal.replayed", level="warning", worker_id=lease, data=data)
