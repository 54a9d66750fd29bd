"""The form of the words for one cause."""

import re
from collections.abc import Iterator, Mapping

from django.utils.functional import Promise

_NAMED = re.compile(r"%\((\w+)\)s")


class Words:
    """What happened, in one sentence, and what to try, one sentence each.

    A sentence names facts as %(name)s. `bare` is said where a fact of the sentence is not known; advice that
    names an unknown fact is left out.
    """

    def __init__(self, cause: Promise, *advice: Promise, bare: Promise | None = None) -> None:
        self._cause = cause
        self._bare = bare
        self._advice = advice

    def cause(self, facts: Mapping[str, str]) -> str:
        """Return the sentence."""
        text = str(self._cause)
        if self._bare is not None and not _are_known(text, facts):
            text = str(self._bare)
        return _filled(text, facts)

    def advice(self, facts: Mapping[str, str]) -> tuple[str, ...]:
        """Return what to try."""
        return tuple(_filled(text, facts) for text in map(str, self._advice) if _are_known(text, facts))

    def templates(self) -> Iterator[str]:
        """Yield every sentence as it is written, for a look at what it names."""
        yield from map(str, filter(None, (self._cause, self._bare, *self._advice)))


def named_in(text: str) -> set[str]:
    """Return the facts a sentence names.

    >>> named_in("Nothing listens on port %(port)s.")
    {'port'}
    """
    return set(_NAMED.findall(text))


def _are_known(text: str, facts: Mapping[str, str]) -> bool:
    return all(facts.get(name) for name in named_in(text))


def _filled(text: str, facts: Mapping[str, str]) -> str:
    """Fill a sentence in; a lone percent sign in it is one."""
    return _NAMED.sub(lambda found: facts.get(found[1]) or "…", text)
