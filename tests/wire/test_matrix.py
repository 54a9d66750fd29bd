"""Every stage of a session met with every misdeed of a server: 15 stages x 11 actions (WIRE R5).

Over real sockets, with STARTTLS and a sign-in in each cell. A cell says where the message's fate is decided,
by which reply or error, what `delivery.classification` makes of it, and whether the session goes on. After
each cell the server's ledger is held against what was reported, a message goes out on the same session where
it goes on, and one on a fresh session.
"""

import asyncio
from collections.abc import Callable

import pytest

from delivery.classification import Action as Becomes
from tests.wire.cells import (
    ACTIONS,
    OFFERS,
    Cell,
    Run,
    action_of,
    after,
    cells_in,
    silence,
    timeouts_of,
)
from tests.wire.clients import PASSWORD, PATIENT, a_transport, until
from tests.wire.evil import evil_server, honestly
from transports import errors
from transports.base import Session

STAGES = (
    "tcp", "banner", "ehlo", "starttls", "handshake", "ehlo2", "auth", "auth_step", "mail", "rcpt", "data",
    "body", "dot", "after_250", "quit",
)  # fmt: skip

MODES = {"grouped": OFFERS, "sequential": tuple(line for line in OFFERS if "PIPELINING" not in line)}

#: What each cell comes to, as WIRE section 3 has it. `tcp` is before the greeting: the honest one follows
#: what was said. In the handshake the server speaks plain text, or a broken TLS record. `rcpt` is the second
#: of three recipients, and its verdicts are listed. `body` comes during the upload, `after_250` when the
#: verdict was read. "a|b" is pipelined|sequential. The session is kept, or ended, or never was.
TABLE = """
    stage      action     phase      decided by        becomes             sign         session

    tcp        fin        banner     ConnectionLost    release             breaker      -
    tcp        rst        banner     ConnectionLost    release             breaker      -
    tcp        hang       banner     ReplyTimeout      release             breaker      -
    tcp        421        banner     421               release             breaker      -
    tcp        4xx        banner     451               release             breaker      -
    tcp        5xx        banner     550               release             breaker      -
    tcp        malformed  banner     ProtocolError     release             breaker      -
    tcp        32k        banner     ProtocolError     release             breaker      -
    tcp        drip       banner     ReplyTimeout      release             breaker      -
    tcp        extra      banner     ProtocolError     release             breaker      -
    tcp        bytes      banner     ProtocolError     release             breaker      -

    banner     fin        banner     ConnectionLost    release             breaker      -
    banner     rst        banner     ConnectionLost    release             breaker      -
    banner     hang       banner     ReplyTimeout      release             breaker      -
    banner     421        banner     421               release             breaker      -
    banner     4xx        banner     451               release             breaker      -
    banner     5xx        banner     550               release             breaker      -
    banner     malformed  banner     ProtocolError     release             breaker      -
    banner     32k        banner     ProtocolError     release             breaker      -
    banner     drip       banner     ReplyTimeout      release             breaker      -
    banner     extra      banner     ProtocolError     release             breaker      -
    banner     bytes      dot        250               sent                success      kept

    ehlo       fin        ehlo       ConnectionLost    release             breaker      -
    ehlo       rst        ehlo       ConnectionLost    release             breaker      -
    ehlo       hang       ehlo       ReplyTimeout      release             breaker      -
    ehlo       421        ehlo       421               release             breaker      -
    ehlo       4xx        ehlo       451               release             breaker      -
    ehlo       5xx        ehlo       550               release             breaker      -
    ehlo       malformed  ehlo       ProtocolError     release             breaker      -
    ehlo       32k        ehlo       ProtocolError     release             breaker      -
    ehlo       drip       ehlo       ReplyTimeout      release             breaker      -
    ehlo       extra      ehlo       ProtocolError     release             breaker      -
    ehlo       bytes      dot        250               sent                success      kept

    starttls   fin        tls        TLSFailed         release             breaker      -
    starttls   rst        tls        TLSFailed         release             breaker      -
    starttls   hang       tls        ReplyTimeout      release             breaker      -
    starttls   421        tls        421               release             breaker      -
    starttls   4xx        tls        451               release             breaker      -
    starttls   5xx        tls        550               release             breaker      -
    starttls   malformed  tls        ProtocolError     release             breaker      -
    starttls   32k        tls        ProtocolError     release             breaker      -
    starttls   drip       tls        ReplyTimeout      release             breaker      -
    starttls   extra      tls        ProtocolError     release             breaker      -
    starttls   bytes      dot        250               sent                success      kept

    handshake  fin        tls        TLSFailed         release             breaker      -
    handshake  rst        tls        TLSFailed         release             breaker      -
    handshake  hang       tls        ReplyTimeout      release             breaker      -
    handshake  421        tls        TLSFailed         release             breaker      -
    handshake  4xx        tls        TLSFailed         release             breaker      -
    handshake  5xx        tls        TLSFailed         release             breaker      -
    handshake  malformed  tls        TLSFailed         release             breaker      -
    handshake  32k        tls        TLSFailed         release             breaker      -
    handshake  drip       tls        ReplyTimeout      release             breaker      -
    handshake  extra      tls        TLSFailed         release             breaker      -
    handshake  bytes      tls        TLSFailed         release             breaker      -

    ehlo2      fin        ehlo       ConnectionLost    release             breaker      -
    ehlo2      rst        ehlo       ConnectionLost    release             breaker      -
    ehlo2      hang       ehlo       ReplyTimeout      release             breaker      -
    ehlo2      421        ehlo       421               release             breaker      -
    ehlo2      4xx        ehlo       451               release             breaker      -
    ehlo2      5xx        ehlo       550               release             breaker      -
    ehlo2      malformed  ehlo       ProtocolError     release             breaker      -
    ehlo2      32k        ehlo       ProtocolError     release             breaker      -
    ehlo2      drip       ehlo       ReplyTimeout      release             breaker      -
    ehlo2      extra      ehlo       ProtocolError     release             breaker      -
    ehlo2      bytes      dot        250               sent                success      kept

    auth       fin        auth       ConnectionLost    release             breaker      -
    auth       rst        auth       ConnectionLost    release             breaker      -
    auth       hang       auth       ReplyTimeout      release             breaker      -
    auth       421        auth       421               release             breaker      -
    auth       4xx        auth       451               release             breaker      -
    auth       5xx        auth       550               release             pause        -
    auth       malformed  auth       ProtocolError     release             breaker      -
    auth       32k        auth       ProtocolError     release             breaker      -
    auth       drip       auth       ReplyTimeout      release             breaker      -
    auth       extra      auth       ProtocolError     release             breaker      -
    auth       bytes      dot        250               sent                success      kept

    auth_step  fin        auth       ConnectionLost    release             breaker      -
    auth_step  rst        auth       ConnectionLost    release             breaker      -
    auth_step  hang       auth       ReplyTimeout      release             breaker      -
    auth_step  421        auth       421               release             breaker      -
    auth_step  4xx        auth       451               release             breaker      -
    auth_step  5xx        auth       550               release             pause        -
    auth_step  malformed  auth       ProtocolError     release             breaker      -
    auth_step  32k        auth       ProtocolError     release             breaker      -
    auth_step  drip       auth       ReplyTimeout      release             breaker      -
    auth_step  extra      auth       ProtocolError     release             breaker      -
    auth_step  bytes      auth       ProtocolError     release             breaker      -

    mail       fin        mail       ConnectionLost    release             breaker      ended
    mail       rst        mail       ConnectionLost    release             breaker      ended
    mail       hang       mail       ReplyTimeout      release             breaker      ended
    mail       421        mail       421               release             lower_limit  ended
    mail       4xx        mail       451               retry               none         kept
    mail       5xx        mail       550               fail                none         kept
    mail       malformed  mail       ProtocolError     retry               desync       ended
    mail       32k        mail       ProtocolError     retry               desync       ended
    mail       drip       mail       ReplyTimeout      release             breaker      ended
    mail       extra      data|mail  ProtocolError     retry               desync       ended
    mail       bytes      dot        250               sent                success      kept

    rcpt       fin        rcpt       ConnectionLost    release             breaker      ended
    rcpt       rst        rcpt       ConnectionLost    release             breaker      ended
    rcpt       hang       rcpt       ReplyTimeout      release             breaker      ended
    rcpt       421        rcpt       421               release             lower_limit  ended
    rcpt       4xx        dot        250               sent,retry,sent     success      kept
    rcpt       5xx        dot        250               sent,fail,sent      success      kept
    rcpt       malformed  rcpt       ProtocolError     retry               desync       ended
    rcpt       32k        rcpt       ProtocolError     retry               desync       ended
    rcpt       drip       rcpt       ReplyTimeout      release             breaker      ended
    rcpt       extra      data|rcpt  ProtocolError     retry               desync       ended
    rcpt       bytes      dot        250               sent                success      kept

    data       fin        data       ConnectionLost    release             breaker      ended
    data       rst        data       ConnectionLost    release             breaker      ended
    data       hang       data       ReplyTimeout      release             breaker      ended
    data       421        data       421               release             lower_limit  ended
    data       4xx        data       451               retry               none         kept
    data       5xx        data       550               fail                none         kept
    data       malformed  data       ProtocolError     retry               desync       ended
    data       32k        data       ProtocolError     retry               desync       ended
    data       drip       data       ReplyTimeout      release             breaker      ended
    data       extra      data       ProtocolError     retry               desync       ended
    data       bytes      dot        250               sent                success      kept

    body       fin        body       ConnectionLost    release             breaker      ended
    body       rst        body       ConnectionLost    release             breaker      ended
    body       hang       body       ReplyTimeout      release             breaker      ended
    body       421        body       421               retry               lower_limit  ended
    body       4xx        body       451               retry               none         ended
    body       5xx        body       550               fail                none         ended
    body       malformed  body       ProtocolError     retry               desync       ended
    body       32k        body       ProtocolError     retry               desync       ended
    body       drip       body       ReplyTimeout      release             breaker      ended
    body       extra      body       ProtocolError     retry               desync       ended
    body       bytes      body       ProtocolError     retry               desync       ended

    dot        fin        dot        ConnectionLost    uncertain           breaker      ended
    dot        rst        dot        ConnectionLost    uncertain           breaker      ended
    dot        hang       dot        ReplyTimeout      uncertain           breaker      ended
    dot        421        dot        421               retry               lower_limit  ended
    dot        4xx        dot        451               retry               none         kept
    dot        5xx        dot        550               fail                none         kept
    dot        malformed  dot        ProtocolError     uncertain           desync       ended
    dot        32k        dot        ProtocolError     uncertain           desync       ended
    dot        drip       dot        ReplyTimeout      uncertain           breaker      ended
    dot        extra      dot        ProtocolError     uncertain           desync       ended
    dot        bytes      dot        250               sent                success      kept

    after_250  fin        dot        250               sent                success      ended
    after_250  rst        dot        250               sent                success      ended
    after_250  hang       dot        250               sent                success      mute
    after_250  421        dot        250               sent                success      ended
    after_250  4xx        dot        250               sent                success      ended
    after_250  5xx        dot        250               sent                success      ended
    after_250  malformed  dot        250               sent                success      ended
    after_250  32k        dot        250               sent                success      ended
    after_250  drip       dot        250               sent                success      ended
    after_250  extra      dot        250               sent                success      ended
    after_250  bytes      dot        250               sent                success      ended

    quit       fin        dot        250               sent                success      closed
    quit       rst        dot        250               sent                success      closed
    quit       hang       dot        250               sent                success      closed
    quit       421        dot        250               sent                success      closed
    quit       4xx        dot        250               sent                success      closed
    quit       5xx        dot        250               sent                success      closed
    quit       malformed  dot        250               sent                success      closed
    quit       32k        dot        250               sent                success      closed
    quit       drip       dot        250               sent                success      closed
    quit       extra      dot        250               sent                success      closed
    quit       bytes      dot        250               sent                success      closed
"""

CELLS = cells_in(TABLE)


@pytest.mark.parametrize("cell", CELLS, ids=str)
@pytest.mark.parametrize("mode", MODES)
async def test_a_cell(mode: str, cell: Cell, record_property: Callable[[str, object], None]):
    record_property("wire matrix", mode)
    was_read = asyncio.Event()
    action = action_of(cell)
    plan = {cell.stage: [after(was_read, action) if cell.stage == "after_250" else action]}
    if cell.stage == "rcpt":
        plan["rcpt"].insert(0, honestly)
    if (cell.stage, cell.action) == ("tcp", "extra"):
        plan["banner"] = [silence]
    settings = {
        "security": "starttls",
        "password": PASSWORD,
        "mechanism": "login" if cell.stage == "auth_step" else "plain",
    }
    async with evil_server(plan, ehlo=MODES[mode], starttls=True, remembers=True) as server:
        limits = timeouts_of(cell, 0.5 if cell.stage == "after_250" else 0.15)
        transport = a_transport(server.port, timeouts=limits, **settings)
        run = Run(server, transport, large="first" if cell.stage == "body" else "")
        session = await run.send("first")
        phase = cell.phase(pipelined=mode != "sequential")
        run.check("first", phase=phase, decided_by=cell.decided_by, becomes=cell.becomes, sign=cell.sign)
        was_read.set()
        await go_on(cell, run, session)

        await run.send_afresh(a_transport(server.port, timeouts=PATIENT, **settings))
        run.check_ledger()
        run.check_words()


async def go_on(cell: Cell, run: Run, session: Session | None) -> None:
    """Use the session again where it goes on, and see it end."""
    if session is None:
        return
    if cell.session in {"kept", "mute"}:
        assert session.is_usable
        await run.send("second", session)
        if cell.session == "mute":  # like any connection that idled too long: nobody's fault, sent again
            assert type(run.outcomes["second"].error) is errors.ReplyTimeout
            assert run.judgement("second").action is Becomes.RELEASE
        else:
            assert run.judgement("second").action is Becomes.SENT
    if cell.session in {"kept", "closed"}:
        async with asyncio.timeout(5):
            await session.close()
    await until(lambda: not session.is_usable)


def test_the_matrix_is_whole():
    assert [(cell.stage, cell.action) for cell in CELLS] == [
        (stage, action) for stage in STAGES for action in ACTIONS
    ]
    assert len(CELLS) == 165


def test_only_after_the_dot_is_anything_uncertain():
    assert {cell.stage for cell in CELLS if "uncertain" in cell.becomes} == {"dot"}
