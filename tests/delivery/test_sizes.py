"""What a worker learns of a server's largest message, and what it does with it."""

import asyncio
from dataclasses import replace

import pytest
from django.utils import timezone

from delivery import queue
from delivery.classification import judge
from delivery.dispatcher.servers.server import Server
from delivery.dispatcher.servers.sizes import Sizes, TooLarge, remember_tests
from delivery.models import ProfileState
from delivery.queue import PoolKey, ProfileStateRow
from smtp_settings import wire
from smtp_settings.models import TestRun
from tests.builders import a_profile, evidence
from tests.delivery.works import WAY, a_work
from transports.base import Outcome, Phase, Reply

MB = 1_000_000


class Desk:
    """A session's knowledge, and how often it wrote something down."""

    def __init__(self, **way):
        self.server = Server(replace(WAY, **way), ProfileStateRow(WAY.profile_id), batch_size=100)
        self.sizes = Sizes(self.write, timezone.now)
        self.written = 0

    async def write(self, _statement):
        self.written += 1

    def hears(self, *sizes):
        async def sessions():
            for size in sizes:
                self.sizes.announced(self.server, {"SIZE": size} if size is not None else {})
            await self.sizes.written()

        asyncio.run(sessions())
        return self

    def is_refused(self, code, text, enhanced=None, *, size=5 * MB):
        async def refusal():
            outcome = Outcome(Phase.DOT, Reply(code, text, enhanced), rcpt_replies=(Reply(250),))
            said = judge(outcome, recipients=1, is_fresh=False)
            found = self.sizes.refused(self.server, a_work(size=size), said)
            await self.sizes.written()
            return found

        return asyncio.run(refusal())

    def takes(self, size, *, attachments=0):
        return self.sizes.takes(self.server, a_work(size=size, attachments_bytes=attachments))


def test_what_a_session_was_told_holds_for_the_next_message():
    desk = Desk().hears("10000000")
    assert desk.takes(10 * MB)
    assert not desk.takes(10 * MB + 1)


def test_the_exact_octets_decide_before_a_connection():
    desk = Desk().hears("10000000")
    desk.sizes.check(desk.server, a_work(), 10 * MB)
    with pytest.raises(TooLarge):
        desk.sizes.check(desk.server, a_work(), 10 * MB + 1)


def test_the_same_announcement_is_written_once():
    assert Desk().hears("10000000", "10000000", "10000000").written == 1


@pytest.mark.parametrize("size", ["0", None, ""])
def test_a_server_that_names_no_limit_has_none(size):
    desk = Desk().hears(size)
    assert desk.sizes.is_known(desk.server)
    assert desk.takes(10**9)


def test_the_profiles_own_limit_is_for_attachments_only():
    desk = Desk(max_size=10)
    assert desk.takes(20 * MB, attachments=10 * MB)
    assert not desk.takes(20 * MB, attachments=10 * MB + 1)


def test_other_settings_know_nothing():
    desk = Desk().hears("10000000")
    desk.server.adopt(replace(desk.server.way, version="2.cd"))
    assert not desk.sizes.is_known(desk.server)


@pytest.mark.parametrize(
    ("code", "text", "enhanced", "learned"),
    [
        (552, "Message size exceeds fixed limit", "5.3.4", True),
        (552, "message too big", None, True),
        (554, "No", "5.3.4", True),
        (552, "exceeded storage allocation", None, False),
        (552, "Mailbox full", "5.2.2", False),
        (552, "blocked, a size matters", "5.7.0", False),
        (554, "message too large", None, False),
    ],
)
def test_only_a_refusal_that_speaks_of_sizes_closes_a_server_to_others(code, text, enhanced, learned):
    desk = Desk()
    assert desk.is_refused(code, text, enhanced) is learned
    assert desk.takes(6 * MB) is not learned
    assert desk.takes(1 * MB)


def test_a_small_message_was_refused_for_another_reason():
    desk = Desk()
    assert not desk.is_refused(552, "Message size exceeds fixed limit", "5.3.4", size=2_000)
    assert desk.takes(6 * MB)


def test_a_refusal_stands_over_what_the_next_session_is_told():
    desk = Desk().hears("50000000")
    desk.is_refused(552, "Message size exceeds fixed limit", "5.3.4")
    assert not desk.hears("50000000").takes(6 * MB)


# Whom a message goes to that was passed on


def others(work, *, again):
    ways = [replace(WAY, profile_id=n) for n in (7, 8, 9)]
    return work.others(ways, again=again)


@pytest.mark.parametrize(
    ("pool", "pinned", "again", "found"),
    [
        pytest.param(None, None, False, (8, 9), id="its first try"),
        pytest.param(7, None, False, (), id="passed on, for another reason"),
        pytest.param(7, None, True, (8, 9), id="passed on, and too large"),
        pytest.param(7, 7, True, (), id="pinned by its caller"),
    ],
)
def test_only_what_is_too_large_is_passed_on_again(pool, pinned, again, found):
    work = a_work(pinned_profile_id=pinned)
    work.pool = PoolKey(1, None, None, pool)
    assert others(work, again=again) == found


# In the row


@pytest.mark.django_db
def test_the_last_test_of_these_settings_is_believed():
    profile = a_profile()
    step = {"phase": "ehlo", "verdict": "done", "evidence": {"size": "12345678"}}
    TestRun.objects.filter(profile_uuid=profile.uuid).update(steps=[step])
    assert remembered(profile) == 12_345_678


@pytest.mark.django_db
def test_a_limit_beyond_all_numbers_stops_no_drain():
    profile = a_profile()
    step = {"phase": "ehlo", "verdict": "done", "evidence": {"size": "9" * 20}}  # as RFC 1870 allows
    TestRun.objects.filter(profile_uuid=profile.uuid).update(steps=[step])
    assert remembered(profile) == 2**63 - 1


@pytest.mark.django_db
def test_a_test_of_other_settings_is_not():
    profile = a_profile()
    run = evidence(profile)
    run.fingerprint, run.steps = "f" * 64, [{"evidence": {"size": "12345678"}}]
    run.save()
    assert remembered(profile) is None


def remembered(profile):
    """What the row says after a worker began."""
    ways = wire.ways_out()
    remember_tests(ways, queue.profile_states(way.profile_id for way in ways), timezone.now())
    return ProfileState.objects.filter(pk=profile.pk).values_list("size_limit", flat=True).first()


@pytest.mark.django_db
def test_of_two_refusals_the_smaller_one_stays():
    profile = a_profile()
    for limit in (9 * MB, 5 * MB, 7 * MB):
        queue.learn_size(profile.pk, limit, is_refusal=True, fingerprint="ab")
    assert ProfileState.objects.get(pk=profile.pk).size_limit == 5 * MB


@pytest.mark.django_db
def test_what_was_learned_keeps_what_else_is_known_of_the_server():
    profile = a_profile()
    queue.pause(profile.pk, queue.Paused.PERSON)
    queue.learn_size(profile.pk, 5 * MB, is_refusal=False, fingerprint="ab")
    state = queue.profile_states([profile.pk])[profile.pk]
    assert (state.paused, state.size_limit, state.size_fingerprint) == (queue.Paused.PERSON, 5 * MB, "ab")


def test_small_mail_is_not_compared_with_anything():
    desk = Desk().hears("1000")
    desk.sizes.check(desk.server, a_work(), 65_536)
    with pytest.raises(TooLarge):
        desk.sizes.check(desk.server, a_work(), 65_537)


@pytest.mark.django_db
def test_of_a_profile_that_is_gone_nothing_is_learned():
    assert not queue.learn_size(10**6, 5 * MB, is_refusal=True, fingerprint="ab")
