"""A server that ends while messages are carried to it: what it took is what it said it took."""

import asyncio

import pytest

from tests.real_servers.mail import carry, carry_by, expected
from transports.base import Phase
from transports.errors import TransportError

#: So many are carried before the end comes.
CARRIED = 50


async def keeps_its_word(server, transport, mails):
    """End the server in the middle and start it again; return how many had been carried by then."""
    outcomes = await _until_it_ends(server, transport, mails)
    accepted = [mail for mail, outcome in zip(mails, outcomes, strict=False) if outcome.accepted]
    uncertain = [mail for mail, outcome in zip(mails, outcomes, strict=False) if outcome.uncertain]
    assert len(accepted) >= len(outcomes) - 1
    assert len(uncertain) <= 1
    taken = server.passed_on()
    assert not expected(*accepted) - taken, "it lost what it had accepted"
    assert not taken - expected(*accepted, *uncertain), "it took what we did not see accepted"
    # what is not known to be accepted goes out after all, and only the uncertain one may be there twice
    assert all(outcome.accepted for outcome in await carry_by(transport, mails[len(accepted) :]))
    twice = server.passed_on() - expected(*mails)
    assert not twice - expected(*uncertain)
    assert set(server.passed_on()) == set(expected(*mails))
    return len(outcomes)


async def _until_it_ends(server, transport, mails):
    session, outcomes = await transport.open(), []
    carrying = asyncio.create_task(carry(session, mails, outcomes))
    while len(outcomes) < CARRIED:  # noqa: ASYNC110 - the session's own progress is the event
        await asyncio.sleep(0.001)
    try:
        await asyncio.to_thread(server.stop)
        await carrying
        with pytest.raises(TransportError) as caught:
            await transport.open()
        assert caught.value.phase is Phase.CONNECT
    finally:
        server.start()
    return outcomes
