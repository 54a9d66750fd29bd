"""Opening a session with Postfix: encryption, sign-in, and what it refuses."""

import pytest
import trustme

from tests.real_servers.mail import a_mail, carry, expected
from tests.real_servers.postfix import CONNECTION_LIMIT, PASSWORD, USER
from tests.wire.clients import Recorder, a_transport
from transports.base import Direction, Phase
from transports.errors import AuthNotOffered, CertificateRefused, ReplyRefused, TLSNotOffered

MODES = [("submission", "starttls"), ("submissions", "tls")]
MECHANISMS = ["auto", "plain", "login", "cram-md5"]


def submission(postfix, service="submission", security="starttls", *, password=PASSWORD, **settings):
    """A transport that signs in, over TLS only."""
    settings = {"username": USER, "allow_clear_auth": False} | settings
    return a_transport(postfix.ports[service], security=security, password=password, **settings)


def verbs(heard):
    """The first words of what we said."""
    return [line.split()[0] for line in heard.said(Direction.CLIENT) if line]


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize(("service", "security"), MODES)
async def test_a_signed_in_session_carries_mail(postfix, service, security, mechanism):
    heard, mail = Recorder(), a_mail()
    session = await submission(postfix, service, security, mechanism=mechanism).open(heard)
    (outcome,) = await carry(session, [mail])
    await session.close()
    assert outcome.accepted
    assert heard.evidence(Phase.AUTH)["mechanism"] == (mechanism if mechanism != "auto" else "plain").upper()
    assert heard.verdicts().count("tls done") == 1
    assert postfix.passed_on() == expected(mail)
    assert PASSWORD not in heard.everything()


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize(("service", "security"), MODES)
async def test_a_wrong_password_ends_the_session_before_any_mail(postfix, service, security, mechanism):
    heard = Recorder()
    transport = submission(postfix, service, security, mechanism=mechanism, password="not the password")
    with pytest.raises(ReplyRefused) as caught:
        await transport.open(heard)
    assert (caught.value.phase, caught.value.reply.code) == (Phase.AUTH, 535)
    assert "MAIL" not in verbs(heard)
    assert not postfix.passed_on()


async def test_an_unknown_user_is_a_wrong_password(postfix):
    with pytest.raises(ReplyRefused) as caught:
        await submission(postfix, username="nobody").open()
    assert (caught.value.phase, caught.value.reply.code) == (Phase.AUTH, 535)


@pytest.mark.parametrize(("service", "security"), MODES)
async def test_an_unknown_authority_is_refused_before_the_password(postfix, service, security):
    heard, other = Recorder(), trustme.CA().cert_pem.bytes().decode()
    with pytest.raises(CertificateRefused) as caught:
        await submission(postfix, service, security, ca_pem=other).open(heard)
    assert caught.value.reason == "unknown"
    assert "AUTH" not in verbs(heard)


async def test_a_certificate_for_another_name_is_refused(postfix):
    with pytest.raises(CertificateRefused) as caught:
        await a_transport(postfix.ports["elsewhere"], security="starttls").open()
    assert caught.value.reason == "name"


async def test_who_does_not_sign_in_may_not_relay(postfix):
    session = await a_transport(postfix.ports["submission"], security="starttls").open()
    (outcome,) = await carry(session, [a_mail()])
    await session.close()
    assert (outcome.phase, outcome.reply.code, outcome.reply.enhanced) == (Phase.RCPT, 554, "5.7.1")
    assert not postfix.passed_on()


async def test_who_does_not_encrypt_is_told_to_at_mail(postfix):
    session = await a_transport(postfix.ports["submission"]).open()
    (outcome,) = await carry(session, [a_mail()])
    await session.close()
    assert (outcome.phase, outcome.reply.code) == (Phase.MAIL, 530)
    assert not postfix.passed_on()


async def test_starttls_that_is_not_offered_is_not_gone_without(postfix):
    with pytest.raises(TLSNotOffered):
        await submission(postfix, "relay").open()


async def test_a_sign_in_that_is_not_offered_is_said(postfix):
    with pytest.raises(AuthNotOffered):
        await submission(postfix, "relay", "none", allow_clear_auth=True).open()


async def test_one_connection_too_many_is_greeted_with_421(postfix):
    transport = a_transport(postfix.ports["crowded"])
    mails = [a_mail() for _ in range(CONNECTION_LIMIT)]
    sessions = [await transport.open() for _ in mails]
    with pytest.raises(ReplyRefused) as caught:
        await transport.open()
    assert (caught.value.phase, caught.value.reply.code) == (Phase.BANNER, 421)
    assert "too many connections" in caught.value.reply.text
    outcomes = [(await carry(session, [mail]))[0] for session, mail in zip(sessions, mails, strict=True)]
    for session in sessions:
        await session.close()
    assert all(outcome.accepted for outcome in outcomes)
    assert postfix.passed_on() == expected(*mails)
