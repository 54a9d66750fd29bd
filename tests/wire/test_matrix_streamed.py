"""The matrix in streamed mode: the next message's envelope travels with the dot (RFC 2920, WIRE R5).

Ten clean transactions make a session stream. Then two messages go out: with the dot of the first travels the
envelope of the second. The server misbehaves at the first one's dot, at a stage of the travelling group
(RSET, MAIL, the second of three RCPT, DATA), or at the second's body, dot and QUIT.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from delivery.classification import Action as Becomes
from tests.wire.cells import ACTIONS, OFFERS, Cell, Run, action_of, timeouts_of
from tests.wire.clients import PASSWORD, PATIENT, a_content, a_transport, an_envelope, until
from tests.wire.evil import evil_server, honestly
from transports.base import Phase

STAGES = ("dot", "rset", "mail", "rcpt", "data", "body", "dot2", "quit")

#: What each cell comes to: the first message's reply or error and what becomes of it; where and by what the
#: second one's fate is decided, what becomes of it, what it says about the server (a loss nothing: the
#: connection had carried mail); whether the session goes on.
TABLE = """
    stage  action     first                     second

    dot    fin        ConnectionLost:uncertain  mail  ConnectionLost  release         none         ended
    dot    rst        ConnectionLost:uncertain  mail  ConnectionLost  release         none         ended
    dot    hang       ReplyTimeout:uncertain    mail  ConnectionLost  release         none         ended
    dot    421        421:retry                 mail  ConnectionLost  release         none         ended
    dot    4xx        451:retry                 dot   250             sent            success      kept
    dot    5xx        550:fail                  dot   250             sent            success      kept
    dot    malformed  ProtocolError:uncertain   mail  ConnectionLost  release         none         ended
    dot    32k        ProtocolError:uncertain   mail  ConnectionLost  release         none         ended
    dot    drip       ReplyTimeout:uncertain    mail  ConnectionLost  release         none         ended
    dot    extra      ProtocolError:uncertain   mail  ConnectionLost  release         none         ended
    dot    bytes      250:sent                  dot   250             sent            success      kept

    rset   fin        250:sent                  mail  ConnectionLost  release         none         ended
    rset   rst        250:sent                  mail  ConnectionLost  release         none         ended
    rset   hang       250:sent                  mail  ReplyTimeout    release         none         ended
    rset   421        250:sent                  mail  421             release         lower_limit  ended
    rset   4xx        ProtocolError:uncertain   mail  ConnectionLost  release         none         ended
    rset   5xx        ProtocolError:uncertain   mail  ConnectionLost  release         none         ended
    rset   malformed  ProtocolError:uncertain   mail  ConnectionLost  release         none         ended
    rset   32k        ProtocolError:uncertain   mail  ConnectionLost  release         none         ended
    rset   drip       250:sent                  mail  ReplyTimeout    release         none         ended
    rset   extra      ProtocolError:uncertain   mail  ConnectionLost  release         none         ended
    rset   bytes      250:sent                  dot   250             sent            success      kept

    mail   fin        250:sent                  mail  ConnectionLost  release         none         ended
    mail   rst        250:sent                  mail  ConnectionLost  release         none         ended
    mail   hang       250:sent                  mail  ReplyTimeout    release         none         ended
    mail   421        250:sent                  mail  421             release         lower_limit  ended
    mail   4xx        250:sent                  mail  451             retry           none         kept
    mail   5xx        250:sent                  mail  550             fail            none         kept
    mail   malformed  ProtocolError:uncertain   mail  ConnectionLost  release         none         ended
    mail   32k        ProtocolError:uncertain   mail  ConnectionLost  release         none         ended
    mail   drip       250:sent                  mail  ReplyTimeout    release         none         ended
    mail   extra      ProtocolError:uncertain   mail  ConnectionLost  release         none         ended
    mail   bytes      250:sent                  dot   250             sent            success      kept

    rcpt   fin        250:sent                  rcpt  ConnectionLost  release         none         ended
    rcpt   rst        250:sent                  rcpt  ConnectionLost  release         none         ended
    rcpt   hang       250:sent                  rcpt  ReplyTimeout    release         none         ended
    rcpt   421        250:sent                  rcpt  421             release         lower_limit  ended
    rcpt   4xx        250:sent                  dot   250             sent,retry,sent success      kept
    rcpt   5xx        250:sent                  dot   250             sent,fail,sent  success      kept
    rcpt   malformed  ProtocolError:uncertain   mail  ConnectionLost  release         none         ended
    rcpt   32k        ProtocolError:uncertain   mail  ConnectionLost  release         none         ended
    rcpt   drip       250:sent                  rcpt  ReplyTimeout    release         none         ended
    rcpt   extra      ProtocolError:uncertain   mail  ConnectionLost  release         none         ended
    rcpt   bytes      250:sent                  dot   250             sent            success      kept

    data   fin        250:sent                  data  ConnectionLost  release         none         ended
    data   rst        250:sent                  data  ConnectionLost  release         none         ended
    data   hang       250:sent                  data  ReplyTimeout    release         none         ended
    data   421        250:sent                  data  421             release         lower_limit  ended
    data   4xx        250:sent                  data  451             retry           none         kept
    data   5xx        250:sent                  data  550             fail            none         kept
    data   malformed  ProtocolError:uncertain   mail  ConnectionLost  release         none         ended
    data   32k        ProtocolError:uncertain   mail  ConnectionLost  release         none         ended
    data   drip       250:sent                  data  ReplyTimeout    release         none         ended
    data   extra      ProtocolError:uncertain   mail  ConnectionLost  release         none         ended
    data   bytes      250:sent                  dot   250             sent            success      kept

    body   fin        250:sent                  body  ConnectionLost  release         none         ended
    body   rst        250:sent                  body  ConnectionLost  release         none         ended
    body   hang       250:sent                  body  ReplyTimeout    release         none         ended
    body   421        250:sent                  body  421             retry           lower_limit  ended
    body   4xx        250:sent                  body  451             retry           none         ended
    body   5xx        250:sent                  body  550             fail            none         ended
    body   malformed  250:sent                  body  ProtocolError   retry           desync       ended
    body   32k        250:sent                  body  ProtocolError   retry           desync       ended
    body   drip       250:sent                  body  ReplyTimeout    release         none         ended
    body   extra      250:sent                  body  ProtocolError   retry           desync       ended
    body   bytes      250:sent                  body  ProtocolError   retry           desync       ended

    dot2   fin        250:sent                  dot   ConnectionLost  uncertain       breaker      ended
    dot2   rst        250:sent                  dot   ConnectionLost  uncertain       breaker      ended
    dot2   hang       250:sent                  dot   ReplyTimeout    uncertain       breaker      ended
    dot2   421        250:sent                  dot   421             retry           lower_limit  ended
    dot2   4xx        250:sent                  dot   451             retry           none         kept
    dot2   5xx        250:sent                  dot   550             fail            none         kept
    dot2   malformed  250:sent                  dot   ProtocolError   uncertain       desync       ended
    dot2   32k        250:sent                  dot   ProtocolError   uncertain       desync       ended
    dot2   drip       250:sent                  dot   ReplyTimeout    uncertain       breaker      ended
    dot2   extra      250:sent                  dot   ProtocolError   uncertain       desync       ended
    dot2   bytes      250:sent                  dot   250             sent            success      kept

    quit   fin        250:sent                  dot   250             sent            success      closed
    quit   rst        250:sent                  dot   250             sent            success      closed
    quit   hang       250:sent                  dot   250             sent            success      closed
    quit   421        250:sent                  dot   250             sent            success      closed
    quit   4xx        250:sent                  dot   250             sent            success      closed
    quit   5xx        250:sent                  dot   250             sent            success      closed
    quit   malformed  250:sent                  dot   250             sent            success      closed
    quit   32k        250:sent                  dot   250             sent            success      closed
    quit   drip       250:sent                  dot   250             sent            success      closed
    quit   extra      250:sent                  dot   250             sent            success      closed
    quit   bytes      250:sent                  dot   250             sent            success      closed
"""

SIGNS = {
    "250:sent": "success",
    "421:retry": "lower_limit",
    "ConnectionLost:uncertain": "breaker",
    "ReplyTimeout:uncertain": "breaker",
    "ProtocolError:uncertain": "desync",
}


@dataclass(frozen=True)
class StreamedCell:
    """One row of the table: the first message's fate, and the cell of the second."""

    stage: str
    first: str
    second: Cell

    def __str__(self) -> str:
        return f"{self.stage} {self.second.action}"

    @property
    def first_sign(self) -> str:
        return SIGNS.get(self.first, "none")


def read(line: str) -> StreamedCell:
    stage, action, first, *second = line.split()
    return StreamedCell(stage, first, Cell(stage.rstrip("2"), action, *second))


CELLS = [read(line) for line in TABLE.splitlines()[2:] if line.strip()]

#: How often each stage is gone through before the one that counts: ten messages alone, one with a follower.
BEFORE = {"dot": 10, "rset": 0, "mail": 11, "rcpt": 14, "data": 11, "body": 11, "dot2": 11, "quit": 0}

SETTINGS = {"security": "starttls", "password": PASSWORD}


@pytest.mark.parametrize("cell", CELLS, ids=str)
async def test_a_cell(cell: StreamedCell, record_property: Callable[[str, object], None]):
    record_property("wire matrix", "streamed")
    second = cell.second
    plan = {second.stage: [*[honestly] * BEFORE[cell.stage], action_of(second)]}
    async with evil_server(plan, ehlo=OFFERS, starttls=True, remembers=True) as server:
        transport = a_transport(server.port, timeouts=timeouts_of(second, 0.4), **SETTINGS)
        session = await transport.open()
        for _ in range(10):
            assert not session.streams
            assert (await session.deliver(an_envelope(), a_content())).accepted
        assert session.streams
        run = Run(server, transport, large="second" if second.stage == "body" else "", is_fresh=False)

        await run.send("first", session, following="second")
        decided_by, _, becomes = cell.first.partition(":")
        run.check("first", phase=Phase.DOT, decided_by=decided_by, becomes=becomes, sign=cell.first_sign)
        await run.send("second", session)
        phase = second.phase(pipelined=True)
        run.check(
            "second", phase=phase, decided_by=second.decided_by, becomes=second.becomes, sign=second.sign
        )

        assert session.is_usable is (second.session != "ended")
        if second.session == "kept":
            await run.send("third", session)
            assert run.judgement("third").action is Becomes.SENT
        async with asyncio.timeout(5):
            await session.close()

        await run.send_afresh(a_transport(server.port, timeouts=PATIENT, **SETTINGS))
        await until(lambda: not session.is_usable)
        run.check_ledger()
        run.check_words()


def test_the_streamed_matrix_is_whole():
    assert [str(cell) for cell in CELLS] == [f"{stage} {action}" for stage in STAGES for action in ACTIONS]
    assert len(CELLS) == 88


def test_at_most_one_of_two_is_uncertain():
    for cell in CELLS:
        assert ("uncertain" in cell.first) + ("uncertain" in cell.second.becomes) <= 1
