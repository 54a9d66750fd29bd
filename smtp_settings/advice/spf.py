"""An SPF record taken apart: whom it names, how it ends, what it costs (RFC 7208). Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

#: Look-ups after which receivers give up (RFC 7208 section 4.6.4).
MOST_LOOKUPS = 10

#: Terms that are looked at; more do not fit into what receivers evaluate.
_MOST_TERMS = 200

_TERM = re.compile(r"([+?~-]?)([a-z][a-z0-9_.-]*)(?:([:=/])(.*))?", re.IGNORECASE | re.DOTALL)
_COSTS_ONE = frozenset({"include", "a", "mx", "ptr", "exists"})


@dataclass(frozen=True, slots=True)
class SPF:
    """A record: `includes` and `redirect` are names in lower case.

    `all` is the qualifier of its "all" ("+", "-", "~" or "?"), "" without one; `lookups` the terms of its own
    that cost a look-up.
    """

    text: str
    includes: tuple[str, ...]
    redirect: str
    all: str
    lookups: int

    @property
    def names(self) -> tuple[str, ...]:
        """The names whose records belong to this one, for a further question."""
        found = (*self.includes, self.redirect) if not self.all else self.includes
        return tuple(name for name in found if name and "%" not in name)


@dataclass(frozen=True, slots=True)
class Tree:
    """What a record comes to with all it includes.

    `lookups` is how many look-ups it costs at least, `includes` every name in it, `missing` names without a
    record, and `is_circular` says that it includes itself.
    """

    lookups: int
    includes: frozenset[str]
    missing: tuple[str, ...]
    is_circular: bool


def parse(text: str) -> SPF:
    """Take a record apart; what is no term is left out.

    >>> parse("v=spf1 include:_spf.example.net ~all").includes
    ('_spf.example.net',)
    """
    includes, redirect, ends, lookups = [], "", "", 0
    for qualifier, name, value in _terms(text):
        target = value.lower().removesuffix(".")
        if name == "include":
            includes.append(target)
        elif name == "redirect" and not redirect:
            redirect = target
        elif name == "all" and not ends:
            ends = qualifier or "+"
        lookups += name in _COSTS_ONE
    if redirect and not ends:  # an "all" makes it void (RFC 7208 section 6.1)
        lookups += 1
    return SPF(text, tuple(includes), redirect, ends, lookups)


def _terms(text: str) -> Iterator[tuple[str, str, str]]:
    for word in text.split()[1 : _MOST_TERMS + 1]:
        found = _TERM.fullmatch(word)
        if found is not None:
            yield found[1], found[2].lower(), found[4] or ""


def tree_of(record: SPF, known: Mapping[str, SPF | None], domain: str) -> Tree:
    """Follow a record's includes as far as they are known; None stands for a name without a record."""
    lookups, includes, missing, is_circular = record.lookups, set(record.includes), [], False
    seen, waiting = {domain}, [(record, frozenset({domain}))]
    while waiting:
        current, above = waiting.pop()
        for name in current.names:
            if name in above:
                is_circular = True
            elif name in known and name not in seen:
                seen.add(name)
                below = known[name]
                if below is None:
                    missing.append(name)
                    continue
                lookups += below.lookups
                includes |= {*below.includes, name}
                waiting.append((below, above | {name}))
    return Tree(lookups, frozenset(includes), tuple(missing), is_circular)


def with_include(text: str, name: str) -> str:
    """Return a record with one more include, before its "all" or redirect.

    >>> with_include("v=spf1 mx -all", "sendgrid.net")
    'v=spf1 mx include:sendgrid.net -all'
    """
    words = text.split()
    ends = [n for n, word in enumerate(words) if _is_end(word)]
    place = ends[0] if ends else len(words)
    return " ".join([*words[:place], f"include:{name}", *words[place:]])


def with_softfail(text: str) -> str:
    """Return a record that ends with "~all" in the place of its "all", or in addition.

    >>> with_softfail("v=spf1 mx +all")
    'v=spf1 mx ~all'
    """
    words = [word for word in text.split() if word.lower().lstrip("+?~-") != "all"]
    return " ".join([*words, "~all"])


def _is_end(word: str) -> bool:
    return word.lower().lstrip("+?~-") == "all" or word.lower().startswith("redirect=")
