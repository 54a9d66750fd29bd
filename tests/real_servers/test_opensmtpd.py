"""Sessions with OpenSMTPD, which cannot pipeline: what it takes arrives once, what it refuses does not."""

import pytest
import trustme

from tests.real_servers.ending import keeps_its_word
from tests.real_servers.mail import a_mail, carry, carry_by, expected, some_mails
from tests.real_servers.opensmtpd import (
    DISCONNECTED,
    LATER,
    PASSWORD,
    RECIPIENT_LIMIT,
    REFUSED,
    SESSION_LIMIT,
    SIZE_LIMIT,
    UNKNOWN,
    USER,
)
from tests.wire.clients import Recorder, a_transport
from transports.base import Direction, Phase
from transports.errors import CertificateRefused, NotSendable, ReplyRefused

#: It passes them on at 40 ms each: it waits for an ACK within a message, and loopback delays that.
MESSAGES = 100
MODES = [("submission", "starttls"), ("submissions", "tls")]


def submission(opensmtpd, service="submission", security="starttls", *, password=PASSWORD, **settings):
    """A transport that signs in, over TLS only."""
    settings = {"username": USER, "allow_clear_auth": False} | settings
    return a_transport(opensmtpd.ports[service], security=security, password=password, **settings)


async def carried(opensmtpd, *mails):
    """The outcomes of these messages on one session, which must be usable afterwards."""
    session = await a_transport(opensmtpd.ports["relay"]).open()
    outcomes = await carry(session, mails)
    assert session.is_usable
    await session.close()
    return outcomes


@pytest.mark.parametrize("mechanism", ["auto", "plain", "login"])
@pytest.mark.parametrize(("service", "security"), MODES)
async def test_a_signed_in_session_carries_mail(opensmtpd, service, security, mechanism):
    mails = some_mails(15)
    session = await submission(opensmtpd, service, security, mechanism=mechanism).open()
    outcomes = await carry(session, mails)
    assert not session.streams  # PIPELINING is not offered
    await session.close()
    assert all(outcome.accepted for outcome in outcomes)
    assert opensmtpd.passed_on() == expected(*mails)


@pytest.mark.parametrize("mechanism", ["plain", "login"])
@pytest.mark.parametrize(("service", "security"), MODES)
async def test_a_wrong_password_ends_the_session_before_any_mail(opensmtpd, service, security, mechanism):
    heard = Recorder()
    transport = submission(opensmtpd, service, security, mechanism=mechanism, password="not the password")
    with pytest.raises(ReplyRefused) as caught:
        await transport.open(heard)
    assert (caught.value.phase, caught.value.reply.code) == (Phase.AUTH, 535)
    assert not any(line.startswith("MAIL") for line in heard.said(Direction.CLIENT))
    assert not opensmtpd.passed_on()


async def test_an_unknown_authority_is_refused(opensmtpd):
    with pytest.raises(CertificateRefused) as caught:
        await submission(opensmtpd, ca_pem=trustme.CA().cert_pem.bytes().decode()).open()
    assert caught.value.reason == "unknown"


async def test_a_certificate_for_another_name_is_refused(opensmtpd):
    with pytest.raises(CertificateRefused) as caught:
        await a_transport(opensmtpd.ports["elsewhere"], security="starttls").open()
    assert caught.value.reason == "name"


async def test_who_does_not_sign_in_is_told_to_at_mail(opensmtpd):
    session = await a_transport(opensmtpd.ports["submission"], security="starttls").open()
    (outcome,) = await carry(session, [a_mail()])
    await session.close()
    assert (outcome.phase, outcome.reply.code) == (Phase.MAIL, 530)
    assert not opensmtpd.passed_on()


@pytest.mark.parametrize(
    ("at", "phase", "code"),
    [("mail-from", Phase.MAIL, 550), ("data", Phase.DATA, 451), ("commit", Phase.DOT, 554)],
)
async def test_a_refused_message_does_not_lend_its_sender_to_the_next(opensmtpd, at, phase, code):
    mails = [a_mail(), a_mail(mail_from=REFUSED[at]), a_mail(), a_mail()]
    outcomes = await carried(opensmtpd, *mails)
    refused = outcomes[1]
    assert (refused.phase, refused.reply.code, refused.uncertain) == (phase, code, False)
    assert [outcome.accepted for outcome in outcomes] == [True, False, True, True]
    assert opensmtpd.passed_on() == expected(mails[0], *mails[2:])


async def test_a_partial_refusal_is_told_by_recipient_and_the_others_get_the_mail(opensmtpd):
    mail = a_mail("ann@example.com", UNKNOWN, LATER, "bo@example.com")
    (outcome,) = await carried(opensmtpd, mail)
    assert outcome.accepted
    assert [reply.code for reply in outcome.rcpt_replies] == [250, 550, 450, 250]
    assert opensmtpd.passed_on() == expected(mail, rcpt_to=("ann@example.com", "bo@example.com"))


async def test_too_many_recipients_are_told_and_the_rest_get_the_mail(opensmtpd):
    everybody = [f"reader{n}@example.com" for n in range(RECIPIENT_LIMIT + 2)]
    mail = a_mail(*everybody)
    (outcome,) = await carried(opensmtpd, mail)
    assert outcome.accepted
    assert [reply.code for reply in outcome.rcpt_replies] == [250] * RECIPIENT_LIMIT + [451] * 2
    assert {reply.enhanced for reply in outcome.rcpt_replies[RECIPIENT_LIMIT:]} == {"4.5.3"}
    assert opensmtpd.passed_on() == expected(mail, rcpt_to=everybody[:RECIPIENT_LIMIT])


async def test_421_at_the_dot_is_a_refusal_and_the_end(opensmtpd):
    session = await a_transport(opensmtpd.ports["relay"]).open()
    (outcome,) = await carry(session, [a_mail(mail_from=DISCONNECTED)])
    assert (outcome.phase, outcome.reply.code, outcome.uncertain) == (Phase.DOT, 421, False)
    assert not session.is_usable
    assert not opensmtpd.passed_on()


async def test_the_session_ends_at_the_servers_limit_of_messages_and_all_arrive(opensmtpd):
    mails = some_mails(SESSION_LIMIT + 10)
    transport = a_transport(opensmtpd.ports["relay"])
    session = await transport.open()
    outcomes = await carry(session, mails)
    accepted = [mail for mail, outcome in zip(mails, outcomes, strict=False) if outcome.accepted]
    assert len(accepted) == SESSION_LIMIT
    await session.close()
    assert not any(outcome.uncertain for outcome in outcomes)
    rest = await carry_by(transport, mails[SESSION_LIMIT:])
    assert all(outcome.accepted for outcome in rest)
    assert opensmtpd.passed_on() == expected(*mails)


async def test_a_message_over_size_is_refused_before_a_word_is_said(opensmtpd):
    large, after = a_mail(body=b"x" * 70 + b"\r\n" + b"line\r\n" * (SIZE_LIMIT // 6)), a_mail()
    first, second = await carried(opensmtpd, large, after)
    assert (first.phase, first.reply, type(first.error)) == (Phase.MAIL, None, NotSendable)
    assert second.accepted
    assert opensmtpd.passed_on() == expected(after)


async def test_addresses_of_other_alphabets_are_not_said_to_a_server_that_cannot_read_them(opensmtpd):
    first, second = await carried(opensmtpd, a_mail("οδυσσεύς@example.com"), after := a_mail())
    assert (first.phase, type(first.error)) == (Phase.MAIL, NotSendable)
    assert second.accepted
    assert opensmtpd.passed_on() == expected(after)


@pytest.mark.parametrize(("service", "security"), [("relay", "none"), ("elsewhere", "starttls")])
async def test_a_message_of_ten_megabytes_arrives_as_it_is(opensmtpd, service, security):
    large = a_mail(body=b"".join(b".%d %s\r\n" % (n, b"x" * n) for n in range(990)) * 20)
    assert SIZE_LIMIT > large.content.size_bytes > 10_000_000 * 0.98
    session = await a_transport(opensmtpd.ports[service], security=security, verify=False).open()
    outcomes = await carry(session, [large, after := a_mail()])
    await session.close()
    assert all(outcome.accepted for outcome in outcomes)
    assert opensmtpd.passed_on() == expected(large, after)


async def test_a_server_killed_in_the_middle_takes_what_it_said_it_took(opensmtpd):
    await keeps_its_word(opensmtpd, submission(opensmtpd), some_mails(MESSAGES))
