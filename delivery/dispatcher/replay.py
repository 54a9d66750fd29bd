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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone

from delivery import queue
from delivery.classification import Action, Judgement, Sign, judge
from delivery.dispatcher import outcomes, records
from delivery.dispatcher.journal import NAMES
from delivery.dispatcher.outcomes import Result
from delivery.dispatcher.recorder import write
from delivery.dispatcher.records import Journalled, NotAJournal, Note
from delivery.dispatcher.report import Tally, kind_of
from delivery.dispatcher.work import Work
from delivery.queue import AttemptResult, Claimed, Finished, PoolKey, Settled, SmallState, Tried
from smtp_settings import wire
from smtp_settings.policy import policies
from transports.base import Outcome, Phase, Reply

logger = logging.getLogger(__name__)

#: A journal of a session nobody knows (another installation's, or purged) is removed after this.
_FORGOTTEN_SECONDS = 7 * 86_400.0
_NO_ANSWER = "The worker process ended before it had read the server's answer."
_NOT_SENT = "The worker process ended while it was at this message; it was not sent."
_ACCEPTED = Reply(250)


def replay_all(folder: Path | None = None) -> bool:
    """Play back every journal without an owner; whether messages came back to the queue.

    `folder` None is MAILCONF_STATE_DIR. Call it in the database thread. Raises what a broken database
    raises; a journal that cannot be played back for another reason is set aside.
    """
    found = False
    for path in sorted((folder or settings.MAILCONF_STATE_DIR).glob(NAMES)):
        opened = _taken(path)
        if opened is not None:
            with opened:
                found |= _replay(path, opened.read())
    return found


def _taken(path: Path) -> BinaryIO | None:
    """Open the journal and take its lock; None when its owner lives, or it has just been played back."""
    try:
        opened = path.open("rb")
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            logger.warning("The journal %s cannot be read: %s", path, error.strerror)
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


def _replay(path: Path, data: bytes) -> bool:
    try:
        journal = records.read(data)
        counts = _play(journal)
    except NotAJournal:  # it was given up half-way
        counts = Counter()
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        # Whatever is wrong with it, it must not stop every drain; its session is buried when it is stale.
        logger.exception("The journal %s cannot be played back and is set aside.", path)
        _put_away(path, lambda: path.rename(path.with_suffix(".broken")))
        return False
    if counts is not None or time.time() - path.stat().st_mtime > _FORGOTTEN_SECONDS:
        _put_away(path, lambda: path.unlink(missing_ok=True))
    return bool(counts)


def _put_away(path: Path, how: Callable[[], object]) -> None:
    """Remove or rename a journal; one that stays is played back again, which changes nothing."""
    try:
        how()
    except OSError as error:
        logger.warning("The journal %s stays where it is: %s", path, error.strerror)


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
        player = _Player(lease, held, journal.notes)
        results = player.results()
        if proves_absence:
            results += player.suspects()
        written = write(lease, [*results, *player.late()], is_repeat=True)
        counts = _counted(lease, [one for one in results if one.work.claimed.message_id in written])
        if proves_absence:
            counts["given_back"] += len(queue.release_others(lease, ()))
            counts = +counts  # without what there is none of
            queue.retire_worker(lease)
        if counts:
            _tell(lease, counts)
    return counts


class _Player:
    """One journal beside the rows its session holds."""

    def __init__(self, lease: int, held: Sequence[Claimed], notes: Mapping[int, Note]) -> None:
        self._lease = lease
        self._held = {claimed.message_id: claimed for claimed in held}
        self._notes = notes
        self._late = queue.messages([i for i in notes if i not in self._held and _is_accepted(notes[i])])
        named = {note.profile_id for note in notes.values() if note.profile_id is not None}
        self._ways = wire.ways_of({claimed.profile_id for claimed in held} | named)
        self._pools = {pool.id: pool for pool in queue.pools()}
        self._policies = policies()

    def results(self) -> list[Result]:
        """Judge what was on the wire: with the reply, or without one as uncertain."""
        return [
            self._judged(self._work(claimed, note), note)
            for claimed, note in self._noted()
            if note.state is not None
        ]

    def late(self) -> list[Result]:
        """Judge acceptances of messages that others took over, or that were recorded in the last moment."""
        works = [(self._work(claimed, self._notes[claimed.message_id]), claimed) for claimed in self._late]
        return [
            self._result(work, self._answer(work, self._notes[claimed.message_id]))
            for work, claimed in works
            if _fits(work, self._notes[claimed.message_id])
        ]

    def suspects(self) -> list[Result]:
        """Count a crash for what was begun; for all it held when the session began nothing."""
        noted = list(self._noted())
        begun = [claimed for claimed, note in noted if note.state is None] if noted else self._held.values()
        return [_suspect(self._work(claimed, Note()), self._lease) for claimed in begun]

    def _noted(self) -> Iterator[tuple[Claimed, Note]]:
        for message_id, claimed in self._held.items():
            if message_id in self._notes:
                yield claimed, self._notes[message_id]

    def _work(self, claimed: Claimed, note: Note) -> Work:
        pool = self._pools.get(claimed.pool_id) or PoolKey(claimed.pool_id, None, None, None)
        work = Work(claimed, self._ways[note.profile_id or claimed.profile_id], pool)
        work.go_to(self._policies.of(pool.site_id).redirect)  # most likely as it was then
        return work

    def _judged(self, work: Work, note: Note) -> Result:
        if note.reply is not None and _fits(work, note):
            return self._result(work, self._answer(work, note))
        unanswered = Outcome(Phase.DOT, uncertain=True)
        judgement = judge(
            unanswered, recipients=len(work.recipients), is_fresh=False, overrides=work.way.overrides
        )
        result = self._result(work, replace(judgement, words=_NO_ANSWER, sign=Sign.NONE))
        return _crashed(result)

    def _answer(self, work: Work, note: Note) -> Judgement:
        replies = note.rcpt_replies or (_ACCEPTED,) * len(work.recipients)
        outcome = Outcome(Phase.DOT, note.reply, rcpt_replies=replies)
        return judge(outcome, recipients=len(work.recipients), is_fresh=False, overrides=work.way.overrides)

    def _result(self, work: Work, judgement: Judgement) -> Result:
        others = work.others(wire.ways_out()) if judgement.action is Action.ELSEWHERE else ()
        return outcomes.result_of(
            work, judgement, lease=self._lease, other_profile_id=next(iter(others), None)
        )


def _is_accepted(note: Note) -> bool:
    return note.reply is not None and note.reply.is_success


def _fits(work: Work, note: Note) -> bool:
    """Whether the replies belong to these recipients: the row has not changed since the dot.

    With one recipient there is nothing to mistake.
    """
    claimed = work.claimed
    if len(claimed.rcpt_to) == 1 and len(work.recipients) == 1:
        return True
    is_same = note.state == records.state_of(claimed.attempts, claimed.drops, len(work.verdicts))
    return is_same and (note.rcpt_replies is None or len(note.rcpt_replies) >= len(work.recipients))


def _crashed(result: Result) -> Result:
    """Count a crash for an uncertain message as well."""
    claimed = result.work.claimed
    if result.settled is None:
        return result
    if claimed.crashes + 1 < queue.CRASHES:
        return replace(result, settled=replace(result.settled, crashed=1))
    held = Finished(
        claimed.message_id,
        SmallState.HELD,
        counted=1,
        profile_id=result.settled.profile_id,
        reply=_NO_ANSWER,
        cause="crashes",
        verdicts=result.settled.verdicts,
        uncertain=True,
    )
    return replace(result, finished=held, settled=None)


def _suspect(work: Work, lease: int) -> Result:
    """Give back what was begun and not sent, to be tried alone; hold it after three crashes."""
    claimed, profile_id = work.claimed, work.way.profile_id
    tried = Tried(
        claimed.message_id,
        lease,
        profile_id,
        claimed.attempts + 1,
        "",
        AttemptResult.RELEASED,
        reply=_NOT_SENT,
    )
    if claimed.crashes + 1 >= queue.CRASHES:
        held = Finished(
            claimed.message_id, SmallState.HELD, profile_id=profile_id, reply=_NOT_SENT, cause="crashes"
        )
        return Result(work, finished=held, tried=tried)
    delay = timedelta(minutes=min(claimed.crashes, 5))
    return Result(work, settled=Settled(claimed.message_id, profile_id, delay, crashed=1), tried=tried)


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
