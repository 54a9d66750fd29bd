"""What DNS says of a domain: MX, TXT and CNAME records as values.

Answers are hostile: bounded in number and length, and nothing unprintable is left in them. What could not be
found out is a value, too: advice and searches go on without it. Server names are not looked up here but in
`transports.resolve`, through the system, so that a name in /etc/hosts works in a profile.

dnspython is imported with the first question: it is 0.09 s of a CPU, and every process has this module for
its values while few ask.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dns.asyncresolver

#: Seconds for one query; a second name server gets its turn within the limit of all of them.
QUERY_TIMEOUT = 2.5

#: Seconds for all questions of one call together.
LIMIT = 5.0

#: Questions asked at the same time.
_AT_ONCE = 10

#: Large companies have sixty TXT records beside the one that counts.
MOST_RECORDS = 100

#: Characters of a record that are kept; a DKIM key of 4,096 bits has about 750.
MAX_TEXT = 4096

#: A UDP answer that is not cut on its way (DNS flag day 2020); longer ones come by TCP.
_UDP_BYTES = 1232


class Kind(StrEnum):
    """The kinds of records that are asked for."""

    MX = "MX"
    TXT = "TXT"
    CNAME = "CNAME"


class Found(StrEnum):
    """How a question was answered."""

    RECORDS = "records"
    #: The name exists, with no such record.
    NONE = "none"
    NO_NAME = "no-name"
    #: No usable answer in time: nothing is known.
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Question:
    """One name and the kind of record wanted of it."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Answer:
    """What DNS said to one question.

    `values` are, for MX, host names in the order of their preference, "" for the root of a null MX (RFC
    7505); for TXT the joined strings of each record; for CNAME the target. Names are lower case without the
    final dot.
    """

    question: Question
    found: Found
    values: tuple[str, ...] = ()


#: Address and port of a name server.
Server = tuple[str, int]


async def look_up(
    questions: Sequence[Question], *, servers: Sequence[Server] = (), limit: float = LIMIT
) -> tuple[Answer, ...]:
    """Return one answer per question in their order, within `limit` seconds. Never raises for what DNS does.

    Without `servers` the system's are asked.
    """
    if not questions:
        return ()
    import dns.exception  # noqa: PLC0415  # see above

    try:
        resolver = _resolver(servers)
    except (dns.exception.DNSException, OSError):  # no /etc/resolv.conf, or none that names a server
        return tuple(Answer(question, Found.FAILED) for question in questions)
    turn = asyncio.Semaphore(_AT_ONCE)
    tasks = [asyncio.create_task(_ask(resolver, question, turn)) for question in questions]
    try:
        await asyncio.wait(tasks, timeout=limit)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return tuple(
        Answer(question, Found.FAILED) if task.cancelled() else task.result()
        for question, task in zip(questions, tasks, strict=True)
    )


def _resolver(servers: Sequence[Server]) -> "dns.asyncresolver.Resolver":
    import dns.asyncresolver  # noqa: PLC0415  # see above
    import dns.nameserver  # noqa: PLC0415  # see above

    resolver = dns.asyncresolver.Resolver(configure=not servers)
    if servers:
        resolver.nameservers = [dns.nameserver.Do53Nameserver(address, port) for address, port in servers]
    resolver.timeout, resolver.lifetime = QUERY_TIMEOUT, LIMIT
    resolver.use_edns(0, payload=_UDP_BYTES)
    return resolver


async def _ask(resolver: "dns.asyncresolver.Resolver", question: Question, turn: asyncio.Semaphore) -> Answer:
    import dns.exception  # noqa: PLC0415  # see above
    import dns.rdatatype  # noqa: PLC0415  # see above
    import dns.resolver  # noqa: PLC0415  # see above

    async with turn:
        try:
            answer = await resolver.resolve(
                f"{question.name.removesuffix('.')}.",  # absolute: no search list of ours
                dns.rdatatype.from_text(question.kind),
                raise_on_no_answer=False,
                search=False,
            )
        except dns.resolver.NXDOMAIN:
            return Answer(question, Found.NO_NAME)
        # ValueError: a name that is none, an answer that cannot be read; EOFError: a TCP answer cut short.
        except (dns.exception.DNSException, OSError, ValueError, EOFError):
            return Answer(question, Found.FAILED)
    values = _values(question.kind, answer.rrset or ())
    return Answer(question, Found.RECORDS if values else Found.NONE, values)


def _values(kind: Kind, records: Iterable[object]) -> tuple[str, ...]:
    """Return the records as text, at most `MOST_RECORDS`."""
    from dns.rdtypes.ANY.MX import MX  # noqa: PLC0415  # see above
    from dns.rdtypes.ANY.TXT import TXT  # noqa: PLC0415  # see above

    rows = list(records)
    if kind is Kind.MX:
        exchanges = sorted((row for row in rows if isinstance(row, MX)), key=lambda row: row.preference)
        texts = [row.exchange.to_text(omit_final_dot=True).lower() for row in exchanges]
        texts = ["" if text == "." else text for text in texts]
    elif kind is Kind.TXT:
        texts = [_text(b"".join(row.strings)) for row in rows if isinstance(row, TXT)]
    else:
        texts = [str(getattr(row, "target", "")).removesuffix(".").lower() for row in rows]
    return tuple(texts[:MOST_RECORDS])


def _text(raw: bytes) -> str:
    """Return a TXT record as storable text: what is undecodable or unprintable is replaced."""
    text = raw[: 4 * MAX_TEXT].decode("utf-8", "replace")[:MAX_TEXT]
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )
