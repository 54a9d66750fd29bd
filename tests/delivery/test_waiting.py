"""Why a message waits and who would take it, decided from facts alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery import assignment, pacing
from delivery.fitting import Room, Size
from delivery.pacing import Kind
from delivery.waiting import (
    Ask,
    Breaker,
    Lease,
    LimitFacts,
    MessageFacts,
    PausedBy,
    Reply,
    Route,
    ServerFacts,
    Snapshot,
    Use,
    explain,
    explain_each,
    reasons,
    route,
)
from delivery.waiting_words import Telling, say, say_shortly
from smtp_settings.policy.deciding import Course, Effective, Policies

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=10)
SECOND = timedelta(seconds=1)
ONE, TWO = ServerFacts(1, name="One", is_default=True), ServerFacts(2, name="Two")


def limits(*, tat=None, **numbers):
    """The limits of a profile; `tat` in seconds from now is how far they are used up."""
    spacing = timedelta(seconds=numbers.get("spacing", 0))
    of_kind = {Kind.SPACING: numbers.get("spacing")} | {
        kind: numbers.get(f"per_{kind}") for kind in (Kind.MINUTE, Kind.HOUR, Kind.DAY)
    }
    used_up = None if tat is None else NOW + tat * SECOND
    found = pacing.rates(spacing=spacing, **{k: v for k, v in numbers.items() if k != "spacing"})
    return tuple(LimitFacts(rate, of_kind[rate.kind], used_up) for rate in found)


def answers(*servers, **ask):
    """Who takes it, and the kinds of reasons of each server in order of use."""
    found = route(servers, Ask(ask.pop("route", Route()), **ask), NOW)
    return found.chosen, {one.profile_id: [reason.kind for reason in one.reasons] for one in found.answers}


# Each reason of a server

PAUSED_BY_ANA = {"paused": PausedBy.PERSON, "paused_by": "ana", "changed_at": NOW}
REFUSED = {"paused": PausedBy.FAULT, "words": "535 5.7.8 No", "changed_at": NOW}
OPEN = {"breaker": Breaker.OPEN, "open_until": LATER, "words": "421 Busy"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"use": Use.DRAFT}, reasons.Draft()),
        ({"use": Use.DISABLED}, reasons.Disabled()),
        ({"use": Use.UNTESTED}, reasons.Untested()),
        ({"use": Use.NOT_LIVE, "cause": "differs"}, reasons.NotLive("differs")),
        (PAUSED_BY_ANA, reasons.PausedByPerson("ana", NOW)),
        (REFUSED, reasons.PausedByFault("535 5.7.8 No", NOW)),
        (OPEN, reasons.BreakerOpen(LATER, "421 Busy")),
        ({"breaker": Breaker.HALF_OPEN}, reasons.Probing()),
        ({"max_connections": 3, "taken": 3, "in_hand": 3}, reasons.AllBusy(3, 3, is_learned=False)),
        (
            {"max_connections": 3, "learned": 1, "taken": 1, "in_hand": 9},
            reasons.AllBusy(1, 1, is_learned=True),
        ),
        (
            {"limits": limits(per_minute=25, tat=5)},
            reasons.AtRate(Kind.MINUTE, 25, 1, NOW + 5 * SECOND, 5 * SECOND),
        ),
        (
            {"limits": limits(per_hour=36, tat=7200)},  # three may go at once, then one every 3600/33 s
            reasons.AtRate(
                Kind.HOUR, 36, 1, NOW + 7200 * SECOND - 2 * timedelta(hours=1) / 33,
                7200 * SECOND - 2 * timedelta(hours=1) / 33,
            ),
        ),
        ({"limits": limits(spacing=300, tat=200)}, reasons.Spacing(NOW + 200 * SECOND, 1)),
        ({"limits": limits(spacing=300)}, reasons.Spacing(NOW + 300 * SECOND, 1)),
    ],
)  # fmt: skip
def test_a_server_that_does_not_take_it_says_why_and_the_next_one_does(changes, expected):
    found = route([replace(ONE, **changes), TWO], Ask(Route()), NOW)

    assert [one.profile_id for one in found.answers] == [1, 2]
    assert found.answers[0].reasons == (expected,)
    assert found.answers[1].reasons == (reasons.Takes(is_probe=False),)
    assert found.chosen == 2


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"max_connections": 3, "taken": 2, "in_hand": 9},
        {"max_connections": 3, "taken": 3, "in_hand": 2},  # one of the open connections is idle
        {"max_connections": 2, "learned": 9, "taken": 1, "in_hand": 1},
        {"limits": limits(per_minute=600)},
        {"limits": limits(per_minute=25, tat=0)},
        {"limits": limits(per_hour=36, tat=200)},  # three tenths of an hour's burst are left
        {"limits": limits(spacing=300, tat=1)},  # its moment is reserved, and near enough to be claimed
        {"limits": limits(spacing=1)},
    ],
)
def test_a_server_with_room_takes_it_and_the_other_says_who_comes_first(changes):
    found = route([replace(ONE, **changes), TWO], Ask(Route()), NOW)

    assert (found.chosen, [one.reasons for one in found.answers]) == (
        1,
        [(reasons.Takes(is_probe=False),), (reasons.ComesLater(1),)],
    )


def test_a_server_whose_breaker_is_due_is_tried():
    due = replace(ONE, breaker=Breaker.OPEN, open_until=NOW)
    found = route([due], Ask(Route()), NOW)
    assert (found.chosen, found.answers[0].reasons) == (1, (reasons.Takes(is_probe=True),))


def test_every_reason_that_holds_is_given():
    worst = replace(ONE, use=Use.DISABLED, **PAUSED_BY_ANA, max_connections=1, taken=1, in_hand=1)
    assert answers(worst) == (None, {1: ["disabled", "paused_by_person", "all_busy"]})


@pytest.mark.parametrize(
    ("changes", "way", "kind"),
    [
        ({"site_ids": frozenset({5})}, Route(site_id=6), "other_sites"),
        ({"site_ids": frozenset({5})}, Route(), "other_sites"),
        ({"sender_domains": frozenset({"a.test"})}, Route(sender_domain="b.test"), "other_senders"),
        ({"sender_domains": frozenset({"a.test"})}, Route(), "other_senders"),
        ({}, Route(profile_id=2), "pinned_elsewhere"),
    ],
)
def test_a_server_that_is_not_on_the_way_says_so_and_stands_last(changes, way, kind):
    chosen, kinds = answers(replace(ONE, **changes), TWO, route=way)
    assert (chosen, list(kinds.items())) == (2, [(2, ["takes"]), (1, [kind])])


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (None, "takes"),
        (Size(10, 20), "takes"),
        (Size(11, 20), reasons.TooLarge(11, 10)),
        (Size(5, 21), reasons.TooLarge(21, 20)),
    ],
)
def test_a_message_too_large_for_one_goes_through_another(size, expected):
    small = replace(ONE, room=Room("One", 10, 20))
    found = route([small, TWO], Ask(Route(), size=size), NOW)
    (reason,) = found.answers[0].reasons
    assert found.chosen == (1 if expected == "takes" else 2)
    assert expected in (reason, reason.kind)


def test_the_place_in_the_line_says_when_a_rate_has_a_token():
    (limit,) = limits(per_minute=25, tat=0)
    found = route([replace(ONE, limits=(limit,))], Ask(Route(), place=40), NOW)
    (reason,) = found.answers[0].reasons
    assert (reason.place, reason.number, round(reason.wait.total_seconds())) == (40, 25, 94)


def test_spaced_messages_have_a_moment_each():
    (reserved,) = limits(spacing=60, tat=30)
    assert [reserved.moment_of(place, NOW) - NOW for place in (1, 2, 3)] == [
        30 * SECOND,
        90 * SECOND,
        150 * SECOND,
    ]
    (fresh,) = limits(spacing=60)
    assert [fresh.moment_of(place, NOW) - NOW for place in (1, 2)] == [60 * SECOND, 120 * SECOND]


SERVERS = st.lists(
    st.builds(
        ServerFacts,
        profile_id=st.integers(1, 9),
        is_default=st.booleans(),
        priority=st.sampled_from(["high", "normal", "low"]),
        site_ids=st.frozensets(st.integers(1, 2), max_size=1),
        sender_domains=st.frozensets(st.just("a.test"), max_size=1),
        use=st.sampled_from(Use),
        paused=st.sampled_from(PausedBy),
        breaker=st.sampled_from(Breaker),
        open_until=st.sampled_from([None, NOW, LATER]),
        max_connections=st.integers(1, 3),
        taken=st.integers(0, 3),
        in_hand=st.integers(0, 3),
    ),
    max_size=5,
    unique_by=lambda server: server.profile_id,
)
ROUTES = st.builds(
    Route,
    site_id=st.sampled_from([None, 1]),
    sender_domain=st.sampled_from([None, "a.test"]),
    profile_id=st.sampled_from([None, 1]),
)


@given(SERVERS, ROUTES)
def test_whoever_is_chosen_serves_and_every_server_has_one_answer(servers, way):
    found = route(servers, Ask(way), NOW)

    assert sorted(one.profile_id for one in found.answers) == sorted(one.profile_id for one in servers)
    assert all(one.reasons for one in found.answers)
    taking = [one.profile_id for one in found.answers if isinstance(one.reasons[0], reasons.Takes)]
    assert taking == ([found.chosen] if found.chosen is not None else [])
    by_id = {server.profile_id: server for server in servers}
    for one in found.answers:
        assert one.may_serve == assignment.serves(by_id[one.profile_id], way)


# The message

HEARD = {"heard_at": NOW - SECOND}


def explained(*servers, now=NOW, heard_at=NOW - SECOND, **message):
    """The reasons of a message that waits."""
    facts = MessageFacts(1, **({"ready_at": NOW - SECOND} | message))
    found = explain(Snapshot(now, heard_at, servers, facts))
    return found.reasons


PAUSED = replace(ONE, **PAUSED_BY_ANA)
PAUSE = reasons.PausedByPerson("ana", NOW)
DOWN = replace(TWO, **OPEN)
NOBODY = reasons.NobodyDrains(NOW - timedelta(minutes=5))


@pytest.mark.parametrize(
    ("servers", "message", "expected"),
    [
        # in its way
        ([ONE, TWO], {}, [reasons.IsNext(1, 0)]),
        ([ONE, TWO], {"ahead": 40}, [reasons.IsNext(1, 40)]),
        ([PAUSED, TWO], {}, [reasons.IsNext(2, 0)]),
        ([PAUSED], {}, [reasons.WaitsFor(1, is_pinned=False, reason=PAUSE)]),
        (
            [PAUSED, DOWN],
            {},
            [reasons.WaitsFor(2, is_pinned=False, reason=reasons.BreakerOpen(LATER, "421 Busy"))],
        ),
        (
            [PAUSED, TWO],
            {"route": Route(profile_id=1)},
            [reasons.WaitsFor(1, is_pinned=True, reason=PAUSE)],
        ),
        (
            [replace(ONE, use=Use.DISABLED), TWO],
            {"route": Route(profile_id=1)},
            [reasons.WaitsFor(1, is_pinned=True, reason=reasons.Disabled())],
        ),
        (
            [replace(ONE, room=Room("One", 10))],
            {"size": Size(11, 12)},
            [reasons.WaitsFor(1, is_pinned=False, reason=reasons.TooLarge(11, 10))],
        ),
        # nobody for it
        ([], {}, [reasons.Stranded(None, None, 0)]),
        ([replace(ONE, use=Use.UNTESTED)], {}, [reasons.Stranded(None, None, 1)]),
        (
            [replace(ONE, site_ids=frozenset({5}))],
            {"route": Route(site_id=6)},
            [reasons.Stranded(6, None, 0)],
        ),
        ([TWO], {"route": Route(profile_id=1)}, [reasons.Stranded(None, None, 0)]),
        # not yet
        ([ONE], {"ready_at": LATER}, [reasons.Scheduled(LATER)]),
        ([ONE], {"ready_at": LATER, "drops": 1}, [reasons.RetryAt(LATER, 0, None)]),
        (
            [ONE],
            {"ready_at": LATER, "attempts": 3, "last": Reply(451, "451 Later")},
            [reasons.RetryAt(LATER, 3, Reply(451, "451 Later"))],
        ),
        (
            [PAUSED],
            {"ready_at": LATER},
            [reasons.Scheduled(LATER), reasons.WaitsFor(1, is_pinned=False, reason=PAUSE)],
        ),
        ([DOWN], {"ready_at": LATER}, [reasons.Scheduled(LATER)]),
        # after a crash
        ([ONE], {"priority": 12, "crashes": 1}, [reasons.Suspect(1, None), reasons.IsNext(1, 0)]),
        ([ONE], {"priority": 12, "crashes": 2, "ready_at": LATER}, [reasons.Suspect(2, LATER)]),
        # in somebody's hands
        ([ONE], {"held": "person"}, [reasons.Held("person")]),
        (
            [ONE],
            {"lease": Lease(7, 1, "mail1", NOW - SECOND)},
            [reasons.InHand(7, "mail1", 1, NOW - SECOND, is_silent=False)],
        ),
        (
            [ONE],
            {"lease": Lease(7, 1, "mail1", NOW - 45 * SECOND)},
            [reasons.InHand(7, "mail1", 1, NOW - 45 * SECOND, is_silent=True)],
        ),
        ([ONE], {"lease": Lease(7)}, [reasons.InHand(7, "", None, None, is_silent=True)]),
        # nobody works
        ([ONE], {"heard_at": NOBODY.heard_at}, [NOBODY, reasons.IsNext(1, 0)]),
        ([ONE], {"heard_at": None}, [reasons.NobodyDrains(None), reasons.IsNext(1, 0)]),
        ([], {"heard_at": None}, [reasons.NobodyDrains(None), reasons.Stranded(None, None, 0)]),
        (
            [ONE],
            {"heard_at": NOBODY.heard_at, "ready_at": LATER},
            [reasons.Scheduled(LATER), NOBODY],
        ),
    ],
)
def test_a_waiting_message_has_its_reasons_the_most_important_first(servers, message, expected):
    assert list(explained(*servers, **message)) == expected


def test_of_servers_that_cannot_now_the_one_that_is_free_soonest_is_named():
    busy = replace(ONE, taken=1, in_hand=1)
    at_rate = replace(TWO, limits=limits(per_minute=25, tat=100))
    spaced = ServerFacts(3, limits=limits(spacing=300, tat=50))

    def named(*servers):
        (reason,) = explained(*servers)
        return reason.profile_id

    assert named(PAUSED, at_rate) == 2
    assert named(at_rate, spaced) == 3
    assert named(at_rate, busy) == 1
    assert named(PAUSED, DOWN) == 2


@pytest.mark.parametrize(
    ("servers", "message", "expected"),
    [
        ([ONE], {}, False),
        ([DOWN], {}, False),
        ([ONE], {"ready_at": LATER}, False),
        ([PAUSED], {}, True),
        ([PAUSED, TWO], {"route": Route(profile_id=1)}, True),
        ([], {}, True),
        ([ONE], {"held": "person"}, True),
        ([ONE], {"heard_at": None}, True),
    ],
)
def test_it_is_known_whether_a_person_is_needed(servers, message, expected):
    heard_at = message.get("heard_at", NOW)
    facts = MessageFacts(1, **{k: v for k, v in message.items() if k != "heard_at"})
    assert explain(Snapshot(NOW, heard_at, tuple(servers), facts)).needs_a_person is expected


def test_what_does_not_wait_has_no_explanation():
    assert explain(Snapshot(NOW, NOW, (ONE,))) is None


# Many at once

SIZES = st.sampled_from([None, Size(0, 1), Size(5, 6), Size(11, 12), Size(0, 30)])
ROOMS = st.sampled_from([Room("x"), Room("x", 10), Room("x", 0, 20), Room("x", 10, 0)])
SENT_AT = st.sampled_from(
    [(), limits(per_minute=25, tat=5), limits(spacing=300, tat=200), limits(per_hour=36)]
)
MESSAGES = st.lists(
    st.builds(
        MessageFacts,
        id=st.integers(1, 99),
        route=ROUTES,
        ready_at=st.sampled_from([NOW - SECOND, LATER]),
        priority=st.sampled_from([1, 2, 12]),
        attempts=st.integers(0, 1),
        lease=st.sampled_from([None, None, None, Lease(7)]),
        ahead=st.integers(0, 1),
        size=SIZES,
    ),
    max_size=6,
    unique_by=lambda message: message.id,
)


@given(SERVERS, st.lists(ROOMS, min_size=5), st.lists(SENT_AT, min_size=5), MESSAGES, st.sampled_from(Course))
def test_each_of_many_waits_for_what_it_would_wait_for_alone(servers, rooms, sent_at, messages, course):
    servers = tuple(
        replace(one, room=room, limits=kept) for one, room, kept in zip(servers, rooms, sent_at, strict=False)
    )
    facts = Snapshot(NOW, NOW, servers, policies=Policies(of_sites={1: Effective(course)}))

    found = explain_each(replace(facts, messages=tuple(messages)))

    alone = {one.id: explain(replace(facts, message=one)).reasons for one in messages}
    assert {pk: one.reasons for pk, one in found.items()} == alone


def test_messages_of_sites_and_domains_that_no_server_names_ask_the_servers_once():
    servers = (replace(ONE, limits=limits(per_hour=36, tat=9999)), replace(TWO, site_ids=frozenset({1})))
    ways = [Route(n, site_id=n, sender_domain=f"{n}.example") for n in range(1, 51)]
    messages = tuple(MessageFacts(way.id, way) for way in ways)

    found = explain_each(Snapshot(NOW, NOW, servers, messages=messages))

    assert len({id(one.routing) for one in found.values()}) == 2  # site 1 has a server of its own


# In words

EVERY_REASON = [
    (
        reasons.SwitchedOff("sam", NOW),
        "Sending is switched off by sam since {now}. The message waits and is not lost.",
    ),
    (
        reasons.Unconfirmed(),
        "This database may be a copy: nothing is sent until a person confirms where it is.",
    ),
    (
        reasons.OnlyLogged(),
        "Debug mode is on: the message will be recorded as Suppressed and not sent.",
    ),
    (reasons.Held("person"), "A person holds this message. Release it to send it, or cancel it."),
    (reasons.Held("new"), "This message is held: release it or cancel it."),
    (
        reasons.InHand(7, "mail1", 1, NOW, is_silent=False),
        "Worker 7 on mail1 has it in hand, to send it through One.",
    ),
    (
        reasons.InHand(7, "mail1", 1, NOW, is_silent=True),
        "Worker 7 on mail1 had it in hand and is silent since {now}. It comes back to the queue as soon as"
        " another worker looks.",
    ),
    (
        reasons.InHand(7, "", None, None, is_silent=True),
        "Worker 7 had it in hand and is no more. It comes back to the queue as soon as another worker looks.",
    ),
    (reasons.NobodyDrains(None), "Nobody is sending: no worker has ever reported."),
    (reasons.NobodyDrains(NOW), "Nobody is sending: no worker has reported since {now}."),
    (reasons.Scheduled(LATER), "Its sender wants it sent at {later} (in 10 minutes), not before."),
    (
        reasons.RetryAt(LATER, 3, Reply(451, "451 Later")),
        "Tried 3 times. Next try at {later} (in 10 minutes). Last answer: `451 Later`",
    ),
    (
        reasons.RetryAt(LATER, 1, Reply(None, "The connection broke.")),
        "Tried 1 time. Next try at {later} (in 10 minutes). `The connection broke.`",
    ),
    (reasons.RetryAt(LATER, 0, None), "Next try at {later} (in 10 minutes)."),
    (
        reasons.Suspect(1, None),
        "A worker stopped with this message in hand. It goes alone, while no other is being sent.",
    ),
    (
        reasons.Suspect(2, LATER),
        "2 workers stopped with this message in hand. It goes alone, while no other is being sent."
        " Next try at {later} (in 10 minutes).",
    ),
    (
        reasons.Stranded(None, None, 0),
        "No profile may send it: it is of no site, and no profile serves every site.",
    ),
    (reasons.Stranded(5, None, 0), "No profile serves its site and sender."),
    (reasons.Stranded(5, None, 2), "No profile that may send it is live."),
    (
        reasons.IsNext(1, 0),
        "Nothing keeps it: a worker takes it within seconds. It goes through One.",
    ),
    (reasons.IsNext(1, 40), "Nothing keeps it. 40 messages go before it. It goes through One."),
    (
        reasons.IsNext(1, 10_001),
        "Nothing keeps it. 10,000+ messages go before it. It goes through One.",
    ),
    (reasons.WaitsFor(1, is_pinned=False, reason=PAUSE), "One: Paused by ana since {now}."),
    (
        reasons.WaitsFor(1, is_pinned=True, reason=reasons.Disabled()),
        "Only One may send it. It is disabled.",
    ),
    (reasons.PinnedElsewhere(1), "The message may go only through One."),
    (reasons.PinnedElsewhere(9), "The message may go only through a removed profile."),
    (reasons.OtherSites(None), "It serves certain sites only, and this message is of none."),
    (reasons.OtherSites(5), "It does not serve this site."),
    (reasons.OtherSenders(None), "It serves other From domains only."),
    (reasons.OtherSenders("a.test"), "It does not serve the From domain a.test."),
    (reasons.TooLarge(25_000_000, 10_000_000), "Too large: 25.0 MB, and it takes at most 10.0 MB."),
    (reasons.Draft(), "It is a draft."),
    (reasons.Disabled(), "It is disabled."),
    (reasons.Untested(), "Not live: it has not passed a test yet."),
    (reasons.NotLive("differs"), "Not live: settings differ from the tested ones."),
    (PAUSE, "Paused by ana since {now}."),
    (
        reasons.PausedByFault("535 No", NOW),
        "Paused since {now}: the server refuses us. `535 No`",
    ),
    (reasons.BreakerOpen(LATER, "421 Busy"), "Breaker open until {later:s}. `421 Busy`"),
    (
        reasons.Probing(),
        "A worker tries the server with one message; the others wait for the result.",
    ),
    (reasons.AllBusy(1, 1, is_learned=False), "Its one connection is at work."),
    (reasons.AllBusy(3, 3, is_learned=False), "All its connections are at work (3 of 3)."),
    (
        reasons.AllBusy(3, 3, is_learned=True),
        "All its connections are at work (3 of 3). The server bears no more of them.",
    ),
    (
        reasons.AtRate(Kind.MINUTE, 25, 40, LATER, timedelta(seconds=94)),
        "It sends at most 25 a minute. Position 40, about 2 minutes.",
    ),
    (
        reasons.AtRate(Kind.HOUR, 1000, 1, LATER, timedelta(seconds=9)),
        "It sends at most 1,000 an hour. Position 1, less than a minute.",
    ),
    (
        reasons.AtRate(Kind.DAY, 5, 10_001, LATER, timedelta(days=3)),
        "It sends at most 5 a day. Position 10,000+.",
    ),
    (reasons.Spacing(LATER, 1), "Waits for the send offset until {later:s}."),
    (reasons.Spacing(LATER, 3), "Waits for the send offset. Position 3, about {later:s}."),
    (reasons.Spacing(LATER, 10_001), "Waits for the send offset. Position 10,000+."),
    (reasons.Takes(is_probe=False), "It takes the message now."),
    (reasons.Takes(is_probe=True), "It takes the message, as the one try after its breaker was open."),
    (reasons.ComesLater(1), "It could; One comes first."),
]


def written(reason, names):
    said = say(reason, Telling(names, NOW))
    return f"{said.text} `{said.reply}`" if said.reply else said.text


@pytest.mark.parametrize(("reason", "expected"), EVERY_REASON)
def test_a_reason_is_said_in_a_sentence(reason, expected, settings):
    settings.TIME_ZONE = "UTC"
    for name, moment in (("now", NOW), ("later", LATER)):
        expected = expected.replace(f"{{{name}}}", f"{moment:20 Nov, %H:%M}")
        expected = expected.replace(f"{{{name}:s}}", f"{moment:20 Nov, %H:%M:%S}")
    assert written(reason, {1: "One"}) == expected


def test_every_reason_has_words_and_a_kind_of_its_own():
    classes = (one for one in vars(reasons).values() if isinstance(one, type))
    every = {one for one in classes if issubclass(one, reasons.Reason)} - {reasons.Reason}
    assert every == {type(reason) for reason, _words in EVERY_REASON}
    assert len({one.kind for one in every}) == len(every)


@pytest.mark.parametrize(("reason", "_expected"), EVERY_REASON)
def test_who_may_not_see_profiles_is_told_no_name_and_no_servers_words(reason, _expected):
    if isinstance(reason, reasons.RetryAt | reasons.InHand):
        return  # the reply to the message itself is masked by the page; hosts are on the timeline
    text = written(reason, None)
    assert not any(secret in text for secret in ("One", "ana ", "421", "535"))


HALF_SENTENCES = [
    (reasons.Held("person"), "held"),
    (reasons.InHand(7, "mail1", 1, NOW, is_silent=False), "in the hands of worker 7"),
    (reasons.InHand(7, "mail1", 1, NOW, is_silent=True), "worker 7 is silent: it comes back"),
    (reasons.NobodyDrains(NOW), "nobody is sending: no worker runs"),
    (reasons.SwitchedOff("sam", NOW), "sending is switched off"),
    (reasons.Unconfirmed(), "this database may be a copy: a person has to confirm it"),
    (reasons.OnlyLogged(), "debug mode: it will not be sent"),
    (reasons.Scheduled(LATER), "its sender wants it sent later"),
    (reasons.RetryAt(LATER, 3, Reply(451, "451 Later")), "waits for the next try"),
    (reasons.Suspect(1, None), "goes alone: a worker stopped with it in hand"),
    (reasons.Stranded(5, None, 2), "no live profile for this site"),
    (reasons.Stranded(None, None, 0), "no live profile for mail of no site"),
    (reasons.IsNext(1, 0), "the next for One"),
    (reasons.IsNext(1, 1), "in line for One"),
]
OF_SERVERS = [
    (reasons.TooLarge(25_000_000, 10_000_000), "One: the message is too large"),
    (reasons.Draft(), "One: a draft"),
    (reasons.Disabled(), "One: disabled"),
    (reasons.Untested(), "One: not tested yet"),
    (reasons.NotLive("differs"), "One: not live"),
    (PAUSE, "One: paused by ana"),
    (reasons.PausedByFault("535 No", NOW), "One: paused: the server refuses us"),
    (reasons.BreakerOpen(LATER, "421 Busy"), "One: breaker open until {later}"),
    (reasons.BreakerOpen(None, "421 Busy"), "One: breaker open"),
    (reasons.Probing(), "One: a worker tries the server again"),
    (reasons.AllBusy(1, 1, is_learned=False), "One: its one connection is in use"),
    (reasons.AllBusy(4, 4, is_learned=True), "One: all 4 connections are in use"),
    (reasons.AtRate(Kind.MINUTE, 25, 1, LATER, SECOND), "One is at 25 per minute"),
    (reasons.AtRate(Kind.HOUR, 1000, 2, LATER, SECOND), "One is at 1,000 per hour"),
    (reasons.AtRate(Kind.DAY, 5, 2, LATER, SECOND), "One is at 5 per day"),
    (reasons.Spacing(LATER, 1), "One: waits for the send offset until {later}"),
    (reasons.Spacing(LATER, 2), "One: waits for the send offset"),
]
HALF_SENTENCES += [(reasons.WaitsFor(1, is_pinned=False, reason=one), said) for one, said in OF_SERVERS]


@pytest.mark.parametrize(("reason", "expected"), HALF_SENTENCES)
def test_a_reason_is_said_in_half_a_sentence_without_names_to_those_who_may_not_see_them(
    reason, expected, settings
):
    settings.TIME_ZONE = "UTC"
    assert say_shortly(reason, Telling({1: "One"}, NOW)) == expected.format(later=f"{LATER:20 Nov, %H:%M}")
    masked = say_shortly(reason, Telling(None, NOW))
    assert masked
    assert not any(secret in masked for secret in ("One", "ana", "sam", "421", "535"))


def test_every_reason_a_message_may_wait_for_has_half_a_sentence():
    never = {
        reasons.PinnedElsewhere,
        reasons.OtherSites,
        reasons.OtherSenders,
    }  # such a server may not send it
    never |= {reasons.Takes, reasons.ComesLater, reasons.WaitsFor}  # it can, or is said with its reason
    every = {type(reason) for reason, _words in EVERY_REASON} - never
    assert every == {type(getattr(reason, "reason", reason)) for reason, _said in HALF_SENTENCES}


@pytest.mark.parametrize(
    ("policy", "kind", "needs_a_person"),
    [
        (Effective(Course.OFF, off_by="sam", off_at=NOW), "switched_off", True),
        (Effective(Course.UNCONFIRMED), "unconfirmed", True),
        (Effective(Course.LOG), "only_logged", False),
        (Effective(), "is_next", False),
    ],
)
def test_what_the_policy_says_comes_before_every_server(policy, kind, needs_a_person):
    snapshot = Snapshot(
        NOW, heard_at=NOW, servers=(ONE,), message=MessageFacts(1, Route()), policies=Policies(policy)
    )
    explanation = explain(snapshot)
    assert (explanation.first.kind, explanation.needs_a_person) == (kind, needs_a_person)


def test_only_the_site_that_is_off_is_told_so():
    off = Policies(of_sites={3: Effective(Course.OFF)})
    kinds = [
        explain(Snapshot(NOW, NOW, (ONE,), MessageFacts(1, Route(site_id=site_id)), policies=off)).first.kind
        for site_id in (3, 4, None)
    ]
    assert kinds == ["switched_off", "is_next", "is_next"]


def test_who_switched_it_off_is_named_to_those_who_may_know():
    reason = reasons.SwitchedOff("sam", NOW)
    assert "by sam since" in say(reason, Telling({}, NOW)).text
    assert "sam" not in say(reason, Telling(None, NOW)).text
