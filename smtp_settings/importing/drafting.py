"""Drafts of what was read, all in one transaction; what is there already is not doubled."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction

from smtp_settings import presets
from smtp_settings.clearance import activation
from smtp_settings.clearance.candidate import NO_SECRET, EffectiveSecret
from smtp_settings.importing.judging import Judged, NotTaken, judged
from smtp_settings.importing.mailer import Mailer
from smtp_settings.models import SMTPProfile
from smtp_settings.sealing import normal_host
from smtp_settings.secret_source import SecretSource


@dataclass(frozen=True, slots=True)
class Draft:
    """One way out that became a draft, or would; `twin_of` names the profile that is there already."""

    found: Judged
    twin_of: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """One way out that became none, and why."""

    label: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Drafting:
    """What became of everything that was read."""

    drafts: tuple[Draft, ...]
    refused: tuple[Refused, ...]


def drafts_of(mailers: Iterable[Mailer], *, is_dry: bool) -> Drafting:
    """Save a draft of each way out, all or none; with `is_dry`, none.

    Raises SealingError when there is no key to seal a password with; then nothing is saved.
    """
    drafts: list[Draft] = []
    refused: list[Refused] = []
    with transaction.atomic():
        known = {_way(profile): profile.name for profile in SMTPProfile.objects.all()}
        taken = set(known.values())
        for mailer in mailers:
            try:
                found = judged(mailer)
            except NotTaken as why:
                refused.append(Refused(mailer.label, str(why)))
                continue
            profile = found.profile
            if twin := known.get(_way(profile)):
                drafts.append(Draft(found, twin_of=twin))
                continue
            profile.name = _name(profile, taken)
            known[_way(profile)] = profile.name
            taken.add(profile.name)
            drafts.append(Draft(found))
            if not is_dry:
                _save(found)
    return Drafting(tuple(drafts), tuple(refused))


def _save(found: Judged) -> None:
    effective = NO_SECRET
    if found.secret is not None:
        effective = EffectiveSecret(SecretSource.TYPED, found.secret)
    activation.save_draft(found.profile, effective, user=None)


def _way(profile: SMTPProfile) -> tuple[str, str, int, str]:
    return profile.transport, normal_host(profile.host), profile.port, profile.username


def _name(profile: SMTPProfile, taken: set[str]) -> str:
    """Choose a name nobody has: the owner's own, else as the form proposes, else the server's."""
    preset = presets.by_key(profile.preset)
    wanted = profile.name or presets.proposed_name(preset, profile.from_address) or profile.host
    name, number = wanted[:95], 2
    while name in taken:
        name, number = f"{wanted[:95]} {number}", number + 1
    return name
