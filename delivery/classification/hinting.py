"""The wait that a temporary refusal names: "try again in 5 minutes", "come back in 00:04:59". Pure.

No standard has a form for it, so these are the words of greylisting programs (postgrey, milter-greylist,
sqlgrey, policyd, Exim's), of rate limits (postfwd, Exim, hosters) and of HTTP's Retry-After where a gateway
repeats it. A number alone never counts: the limits and addresses servers like to name are no waits.
"""

import re
from datetime import timedelta

from transports.base import Reply

_UNIT = r"(?:seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)(?![a-z])"
_PART = rf"\d{{1,5}}\s*{_UNIT}"
_SPAN = rf"(?<![\w.]){_PART}(?:(?:\s*,)?\s*(?:and\s*)?{_PART}){{0,3}}(?![a-z0-9])"
_CLOCK = r"\d{1,2}:\d\d(?::\d\d)?(?![:\d])"
_IN_WORDS = (
    r"(?:\b(?:in|after|for|least|about)\s|(?<=wait)\s)"
    rf"\s*(?:half\s+an|an?|one|two|five|ten|fifteen|thirty)\s+{_UNIT}"
)
#: What is being said about the wait. "Block" and the like are followed by how long.
_LEAD = (
    r"(?:\btry|\bretry|\bretries|\bresend|\bagain|\bback|\bwait|\bdelay|\bdefer|gr[ea]y-?list|\bthrottl|\bpostpone"
    r"|\bblock|\block|\bsuspend|\breject|\bnot before)"
)
# Words between that make the number something else: "try again later, you sent 90 in the last 60 minutes".
_GAP = r"(?:(?!\b(?:within|last|past|per|limit|max|quota))\D){0,40}?"
_WAIT = re.compile(
    rf"{_LEAD}{_GAP}(?:(?P<span>{_SPAN})|(?P<clock>{_CLOCK})|(?P<words>{_IN_WORDS}))", re.IGNORECASE
)
#: "In 5 minutes you may try again."
_BEFORE = re.compile(
    rf"\b(?:in|after)\s+(?P<span>{_SPAN})\D{{0,30}}?\b(?:try|retry|resend|again)", re.IGNORECASE
)
#: The only bare number: HTTP's header, in seconds.
_HEADER = re.compile(
    r"\bretry[- ]after\s*[:=]?\s*(?P<seconds>\d{1,6})\s*(?:$|[).,;\]])", re.IGNORECASE | re.MULTILINE
)
_NUMBER_AND_UNIT = re.compile(r"(\d{1,5})\s*([smhd])", re.IGNORECASE)

_UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_NUMBERS = {"one": 1, "half": 0.5, "two": 2, "five": 5, "ten": 10, "fifteen": 15, "thirty": 30}


def hint_in(reply: Reply | None) -> timedelta | None:
    """Find the wait that a temporary refusal names.

    >>> hint_in(Reply(451, "Greylisted, please try again in 5 minutes", "4.7.1"))
    datetime.timedelta(seconds=300)
    """
    if reply is None or not 400 <= reply.code <= 599:
        return None
    if reply.code >= 500:  # final in SMTP, where words of a wait mean something else; weather in HTTP
        found = _HEADER.search(reply.text)
    else:
        found = _WAIT.search(reply.text) or _BEFORE.search(reply.text) or _HEADER.search(reply.text)
    if found is None:
        return None
    said = found.groupdict()
    if said.get("seconds"):
        return timedelta(seconds=int(said["seconds"]))
    if said.get("clock"):
        return _of_clock(said["clock"])
    return _of_words(said["words"]) if said.get("words") else _of_span(said["span"])


def _of_span(text: str) -> timedelta:
    parts = (int(number) * _UNITS[unit.lower()] for number, unit in _NUMBER_AND_UNIT.findall(text))
    return sum(parts, timedelta(0))


def _of_clock(text: str) -> timedelta:
    """Read "00:04:59", or "04:59" as minutes and seconds."""
    *hours, minutes, seconds = map(int, text.split(":"))
    return timedelta(hours=sum(hours), minutes=minutes, seconds=seconds)


def _of_words(text: str) -> timedelta:
    *_, unit = text.lower().split()
    number = next((number for number in text.lower().split() if number in _NUMBERS), "one")
    return _NUMBERS[number] * _UNITS[unit[0]]
