"""Hints about whose name messages carry."""

import re
from collections.abc import Iterator

from django.utils.translation import gettext as _

from smtp_settings.correction import Correction
from smtp_settings.hints.hint import Hint, Seen, Tone, domain_of
from smtp_settings.presets import Kind, for_domain

_NO_REPLY = re.compile(r"(?:no|do-?not)[-_.]?reply")
#: Names that say nothing of who writes.
_NAMELESS = frozenset(
    {"admin", "administrator", "donotreply", "email", "info", "mail", "mailer", "noreply", "notification",
     "notifications", "root", "server", "system"}
)  # fmt: skip
#: Capital letters in a row that are an abbreviation, not shouting.
_ABBREVIATION = 5


def hints(seen: Seen) -> Iterator[Hint]:
    """Say what is odd about the From address and the From name."""
    if seen.from_domain:
        yield from _domain(seen)
        yield from _address(seen)
    if found := _name(seen.values.get("from_name", "")):
        yield Hint("from_name", found)


def _domain(seen: Seen) -> Iterator[Hint]:
    """Compare the domain with the provider."""
    preset, domain = seen.preset, seen.from_domain
    owner = for_domain(domain)
    if preset and preset.kind is Kind.MAILBOX:
        yield from _of_the_login(seen, preset.owner)
    elif preset and preset.kind is Kind.SERVICE and owner:
        sentence = _("Receivers refuse %(domain)s mail that does not come from %(provider)s (DMARC).")
        yield Hint("from_address", sentence % {"domain": domain, "provider": owner.owner}, Tone.WARN)
    elif preset and preset.kind is Kind.SERVICE and domain not in seen.known.verified_domains:
        sentence = _("Verify %(domain)s at %(provider)s first.")
        yield Hint("from_address", sentence % {"domain": domain, "provider": preset.name})
    if owner and preset and preset.kind is Kind.MAILBOX:
        sentence = _("This is a personal mailbox. Use an account made for sending.")
        yield Hint("from_address", sentence)
    if seen.known.mx is not None and not seen.known.mx:
        yield Hint("from_address", _("Replies and bounces cannot arrive."), Tone.WARN)


def _of_the_login(seen: Seen, provider: str) -> Iterator[Hint]:
    """Remind that a mailbox sends as itself."""
    login = domain_of(seen.username)
    if not login or login == seen.from_domain:
        return
    sentence = _("%(provider)s will replace or refuse another From.") % {"provider": provider}
    label = _("Send as %(value)s") % {"value": seen.username}
    yield Hint("from_address", sentence, Tone.WARN, (Correction(label, {"from_address": seen.username}),))


def _address(seen: Seen) -> Iterator[Hint]:
    """Look at the address itself."""
    if other := seen.known.senders.get(seen.from_address.lower()):
        yield Hint("from_address", _("%(profile)s sends as this address, too.") % {"profile": other})
    local = seen.from_address.partition("@")[0].lower()
    if _NO_REPLY.match(local) and not seen.values.get("reply_to", "").strip():
        yield Hint(
            "from_address", _("Nobody can answer this address. A Reply-to address that is read helps.")
        )


def _name(name: str) -> str:
    """Return what readers or filters hold against a From name, "" for nothing.

    >>> _name("ACME SHOP")
    'Capital letters only look like spam.'
    """
    name = name.strip()
    letters = [letter for letter in name if letter.isalpha()]
    if len(letters) >= _ABBREVIATION and all(letter.isupper() for letter in letters):
        return _("Capital letters only look like spam.")
    if re.sub(r"[\s_.-]", "", name.lower()) in _NAMELESS:
        return _("Readers know a company or a product better than “%(name)s”.") % {"name": name}
    if "@" in name or "://" in name:
        return _("A name that is an address looks like a forgery.")
    if re.search(r"!!|[$€£]{2}|\bfree\b|100 ?%", name.lower()) or name.endswith("!"):
        return _("Filters take names like this for advertising.")
    return ""
