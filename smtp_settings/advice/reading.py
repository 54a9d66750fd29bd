"""The records of a From domain, asked for in rounds: what is found tells what to ask next."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from hashlib import sha256

from django.core.cache import cache

from smtp_settings.advice import spf
from smtp_settings.advice.advising import SPF_TAG, policy_names, selector_names
from smtp_settings.advice.findings import Records, texts
from smtp_settings.presets import Preset
from transports import dns
from transports.dns import Answer, Found, Kind, Question

#: Names asked for one domain; SPF receivers stop at ten look-ups.
MOST_QUESTIONS = 40

#: Rounds of includes within includes.
_MOST_ROUNDS = 5

#: A domain's provider is remembered for ten minutes, to answer while a person types.
_REMEMBER_SECONDS = 600

#: The thread ends itself at the limit; so many seconds after it, it is left behind.
_GRACE = 1.0


def read(
    domain: str, preset: Preset | None, bounce_domain: str = "", *, servers: Sequence[dns.Server] = ()
) -> Records:
    """Return what DNS says of a domain, within `dns.LIMIT` seconds. Runs a loop in a thread of its own."""
    found: dict[Question, Answer] = {}

    def work() -> None:
        asyncio.run(_read(domain, preset, bounce_domain, servers, found))

    _in_a_thread(work)
    return dict(found)


def remembered_mx(domain: str) -> tuple[str, ...] | None:
    """Return who receives for a domain, if that was asked in the last minutes; nobody is asked now."""
    known: tuple[str, ...] | None = cache.get(_key(domain))
    return known


def mx_of(domain: str, *, servers: Sequence[dns.Server] = ()) -> tuple[str, ...]:
    """Return who receives for a domain; remembered for some minutes, also when it is nobody."""
    known = remembered_mx(domain)
    if known is not None:
        return known
    found: list[Answer] = []

    def work() -> None:
        found.extend(asyncio.run(dns.look_up([Question(domain, Kind.MX)], servers=servers)))

    _in_a_thread(work)
    if not found or found[0].found is Found.FAILED:
        return ()
    hosts = tuple(filter(None, found[0].values))  # that of a null MX is no host
    cache.set(_key(domain), hosts, _REMEMBER_SECONDS)
    return hosts


def _key(domain: str) -> str:
    return f"mailconf.mx.{sha256(domain.lower().encode()).hexdigest()}"


def _in_a_thread(work: Callable[[], None]) -> None:
    """Do it in a thread: the caller's may have a loop of its own. What the thread found stays with it."""
    thread = threading.Thread(target=work, name="advice", daemon=True)
    thread.start()
    thread.join(dns.LIMIT + _GRACE)


async def _read(
    domain: str,
    preset: Preset | None,
    bounce_domain: str,
    servers: Sequence[dns.Server],
    found: dict[Question, Answer],
) -> None:
    give_up_at = time.monotonic() + dns.LIMIT
    wanted = first_questions(domain, preset, bounce_domain)
    for _round in range(_MOST_ROUNDS):
        left = give_up_at - time.monotonic()
        if not wanted or left <= 0:
            return
        answers = await dns.look_up(wanted, servers=servers, limit=left)
        found |= dict(zip(wanted, answers, strict=True))
        wanted = next_questions(found)


def first_questions(domain: str, preset: Preset | None, bounce_domain: str = "") -> list[Question]:
    """Return what to ask about any domain."""
    names = [domain, bounce_domain or domain, *policy_names(domain), *selector_names(domain, preset)]
    return [Question(domain, Kind.MX), *(Question(name, Kind.TXT) for name in dict.fromkeys(names))]


def next_questions(found: Records) -> list[Question]:
    """Return what the answers so far make worth asking: included SPF records, where missing keys point."""
    wanted: dict[Question, None] = {}
    for question, answer in found.items():
        if question.kind is not Kind.TXT:
            continue
        if "._domainkey." in question.name and not answer.values:
            wanted[Question(question.name, Kind.CNAME)] = None
        for text in texts(found, question.name, SPF_TAG)[:1]:
            wanted |= dict.fromkeys(Question(name, Kind.TXT) for name in spf.parse(text).names)
    new = [question for question in wanted if question not in found]
    return new[: max(0, MOST_QUESTIONS - len(found))]
