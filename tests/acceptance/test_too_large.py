"""What is too large for one server goes to one that takes it, or fails with its reason, unsent.

Real servers: one with a small SIZE, one with a large one, one that says so only after the dot. Worker
processes carry the first message and the many; the rest is drained here, which costs no process's start.
"""

import pytest

from delivery.models import Failure, Message, Notice, ProfileState, QueueEntry, SmallState
from delivery.queue import NOTICE_TAG
from tests.acceptance.ledger import assert_balanced, books
from tests.acceptance.processes import drains, finished, manage, until
from tests.builders import a_profile, a_user
from tests.delivery.engine import attempts_of, drained, queued, state_of
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)

#: Octets of an attachment: over the small server's limit, under the large one's, and its base64 over 200 kB.
ATTACHMENT = b"%PDF" * 50_000
SMALL = 150_000
REFUSED = "552 5.3.4 Message size exceeds fixed limit"


def profile_of(server, name, **fields):
    return a_profile(name=name, host=server.host, port=server.port, **fields)


def test_a_message_over_the_announced_size_goes_to_the_larger_server_unsent_before(process_environment):
    with smtp_server(size_limit=SMALL) as small, smtp_server() as large:
        profile_of(small, "Small", priority="high")
        profile_of(large, "Large", priority="low")
        (message_id,) = queued(attachment=ATTACHMENT)
        finished(manage(process_environment, "drain", "--until-empty"), timeout=300)
        assert [(small.accepted, large.accepted)] == [(0, 1)]
        assert "MAIL" not in small.verbs()
        assert_balanced(books([small, large]), enqueued=1, at_rest=True, duplicates=0)
    assert state_of(message_id) is SmallState.SENT


def test_what_is_known_of_a_size_opens_no_session_any_more():
    with smtp_server(size_limit=SMALL) as small, smtp_server() as large:
        profile = profile_of(small, "Small", priority="high")
        profile_of(large, "Large", priority="low")
        queued(attachment=ATTACHMENT)
        drained()
        assert ProfileState.objects.get(pk=profile.pk).size_limit == SMALL
        before = small.sessions
        queued(3, attachment=ATTACHMENT)
        drained()
        assert (small.sessions, large.accepted) == (before, 4)


def test_a_refusal_after_the_dot_goes_from_server_to_server_until_one_takes_it():
    with (
        smtp_server(size_limit=SMALL) as small,
        smtp_server(answers={"DOT": REFUSED}) as late,
        smtp_server() as large,
    ):
        profile_of(small, "Small", priority="high")
        refusing = profile_of(late, "Late", priority="normal")
        profile_of(large, "Large", priority="low")
        (message_id,) = queued(attachment=ATTACHMENT)
        drained()
        assert (small.accepted, late.accepted, large.accepted) == (0, 0, 1)
        assert_balanced(books([small, late, large]), enqueued=1, at_rest=True, duplicates=0)
        # remembered: the next one is not said to the late one at all
        assert ProfileState.objects.get(pk=refusing.pk).size_is_refusal
        said = late.verbs().count("DATA")
        queued(2, attachment=ATTACHMENT)
        drained()
        assert (late.verbs().count("DATA"), large.accepted) == (said, 3)
    assert state_of(message_id) is SmallState.SENT


def test_attachments_over_every_limit_fail_with_their_sizes_and_the_notify_user_is_told():
    with smtp_server() as one, smtp_server() as two:
        profile_of(one, "EU relay", max_size=1, notify_user=a_user(email="ann@example.com"))
        profile_of(two, "Backup", max_size=2)
        (message_id,) = queued(attachment=b"%PDF" * 600_000)  # 2.4 MB, 3.3 MB as sent
        drained()
        assert state_of(message_id) is SmallState.FAILED
        assert Failure.objects.get(pk=message_id).cause == "too_large"
        words = Message.objects.get(pk=message_id).reply
        assert words == "attachments 3.3 MB; EU relay takes 1 MB, Backup takes 2 MB"
        notices = [*one.messages, *two.messages]
        assert [m.rcpt_to for m in notices] == [("ann@example.com",)]
        assert b"too large" in notices[0].content
        assert b"application/pdf" not in notices[0].content
        assert_balanced(books([one, two]), at_rest=True, duplicates=0)


def test_a_message_pinned_by_its_caller_does_not_go_elsewhere():
    with smtp_server(size_limit=SMALL) as small, smtp_server() as large:
        profile_of(small, "Small")
        profile_of(large, "Large")
        (message_id,) = queued(attachment=ATTACHMENT, profile="Small")
        drained()
        assert large.accepted == 0
    assert state_of(message_id) is SmallState.FAILED
    assert [attempt.cause for attempt in attempts_of(message_id)] == ["too_large"]


def test_servers_that_say_552_to_everything_are_asked_once_each():
    """A 552 may mean a full disk: nothing is learned from it, and nothing goes round in circles."""
    full = {"DOT": "552 Requested mail action aborted: exceeded storage allocation"}
    with (
        smtp_server(answers=full) as one,
        smtp_server(answers=full) as two,
        smtp_server(answers=full) as three,
    ):
        for n, server in enumerate((one, two, three)):
            profile_of(server, f"Server {n}")
        ids = queued(5)
        drained()
        asked = sum(server.verbs().count("DATA") for server in (one, two, three))
        assert_balanced(books([one, two, three]), enqueued=5, at_rest=True, duplicates=0)
    assert {state_of(message_id) for message_id in ids} == {SmallState.FAILED}
    assert len(ids) <= asked <= 3 * len(ids)
    assert not ProfileState.objects.filter(size_limit__gt=0, size_is_refusal=True).exists()


def test_servers_that_refuse_everything_make_one_notice_and_no_loop(process_environment):
    """Every server refuses every recipient, the notify user too: the number of messages stays bounded."""
    refused = {"RCPT": "550 5.1.1 No such user"}
    with smtp_server(answers=refused) as one, smtp_server(answers=refused) as two:
        user = a_user(email="ann@example.com")
        profile_of(one, "One", notify_user=user)
        profile_of(two, "Two", notify_user=user)
        queued(200)
        with drains(process_environment, 2):
            until(lambda: not QueueEntry.objects.exists(), timeout=300)
        assert Message.objects.count() == 201
        notice = Message.objects.get(tag=NOTICE_TAG)
        assert notice.state == SmallState.FAILED
        assert notice.rcpt_to == ["ann@example.com"]
        assert Notice.objects.get().given_up == 200 - int(notice.subject.split()[1])
        assert_balanced(books([one, two]), enqueued=201, at_rest=True, duplicates=0)
