"""Advice about the records of a From domain. Pure: records in, findings out; it never blocks anything."""

from collections.abc import Mapping

from django.utils.translation import gettext as _

from smtp_settings import presets
from smtp_settings.advice import spf
from smtp_settings.advice.findings import Finding, Records, Verdict, answer_of, texts
from smtp_settings.advice.spf import SPF, Tree
from smtp_settings.presets import Preset
from transports.dns import Found, Kind

SPF_TAG, DMARC_TAG = "v=spf1", "v=dmarc1"

#: How far up a domain's policy is looked for; longer names are nobody's From domain.
_MOST_PARENTS = 5


def advise(domain: str, records: Records, preset: Preset | None, bounce_domain: str = "") -> list[Finding]:
    """Return what to say about a From domain, in the order to show it.

    `preset` is the provider that sends; `bounce_domain` that of the bounce address, "" for the From domain's.
    SPF is judged on the bounce domain (RFC 7208 section 2.4).
    """
    owner = presets.for_domain(domain)
    if owner is not None:
        sentence = _("%(domain)s belongs to %(provider)s: its records are not yours to change.")
        advice = sentence % {"domain": domain, "provider": owner.name}
        return [Finding("MX", domain, Verdict.NOT_CHECKED, advice=advice)]
    mx = _mx(domain, records)
    if answer_of(records, domain, Kind.MX).found is Found.NO_NAME:
        return [mx]
    envelope = bounce_domain or domain
    found = [mx, _spf(envelope, records, preset), _dkim(domain, records, preset), _dmarc(domain, records)]
    alignment = _alignment(domain, envelope, records)
    return [*found, alignment] if alignment is not None else found


def _unknown(record: str, name: str) -> Finding:
    advice = _("Not checked: the name service gave no answer.")
    return Finding(record, name, Verdict.NOT_CHECKED, advice=advice)


# MX


def _mx(domain: str, records: Records) -> Finding:
    answer = answer_of(records, domain, Kind.MX)
    if answer.found is Found.FAILED:
        return _unknown("MX", domain)
    if answer.found is Found.NO_NAME:
        advice = _("The domain %(domain)s does not exist.") % {"domain": domain}
        return Finding("MX", domain, Verdict.MISSING, advice=advice)
    if not answer.values:
        advice = _("%(domain)s has no MX record: replies and bounces cannot arrive.") % {"domain": domain}
        return Finding("MX", domain, Verdict.MISSING, advice=advice)
    if not any(answer.values):
        advice = _("%(domain)s says it never receives mail (null MX); many servers refuse its mail.")
        return Finding("MX", domain, Verdict.LOOK, found=".", advice=advice % {"domain": domain})
    return Finding("MX", domain, Verdict.GOOD, found=", ".join(filter(None, answer.values)))


# SPF


def _spf(domain: str, records: Records, preset: Preset | None) -> Finding:
    if answer_of(records, domain, Kind.TXT).found is Found.FAILED:
        return _unknown("SPF", domain)
    found = texts(records, domain, SPF_TAG)
    include = preset.dns.spf if preset is not None else ""
    own_bounce = preset if preset is not None and preset.dns.own_bounce else None
    if not found:
        return _no_spf(domain, include, own_bounce)
    if len(found) > 1:
        advice = _("There are %(count)d SPF records; receivers ignore both. Keep one.")
        if len(found) > 2:
            advice = _("There are %(count)d SPF records; receivers ignore all of them. Keep one.")
        return Finding("SPF", domain, Verdict.LOOK, " | ".join(found), advice=advice % {"count": len(found)})
    record = spf.parse(found[0])
    tree = spf.tree_of(record, _known_spf(records), domain)
    advice, wanted = _spf_fault(domain, record, tree)
    if advice:
        return Finding("SPF", domain, Verdict.LOOK, found[0], wanted, advice)
    if own_bounce is not None:
        return Finding("SPF", domain, Verdict.GOOD, found[0], advice=_own_bounce(own_bounce))
    if include and include not in tree.includes and record.redirect != include:
        advice = _("Add `include:%(name)s` before “all”.") % {"name": include}
        return Finding("SPF", domain, Verdict.LOOK, found[0], spf.with_include(found[0], include), advice)
    return Finding("SPF", domain, Verdict.GOOD, found[0])


def _no_spf(domain: str, include: str, own_bounce: Preset | None) -> Finding:
    if own_bounce is not None:
        return Finding("SPF", domain, Verdict.NOT_CHECKED, advice=_own_bounce(own_bounce))
    if include:
        wanted = f"v=spf1 include:{include} ~all"
        advice = _("There is no SPF record. Add `%(record)s`.") % {"record": wanted}
        return Finding("SPF", domain, Verdict.MISSING, wanted=wanted, advice=advice)
    advice = _("There is no SPF record. Add one that names what your mail is sent from.")
    return Finding("SPF", domain, Verdict.MISSING, advice=advice)


def _own_bounce(preset: Preset) -> str:
    sentence = _(
        "%(provider)s puts a bounce address of its own: an include here changes nothing, and DKIM must carry "
        "DMARC."
    )
    return sentence % {"provider": preset.name}


def _spf_fault(domain: str, record: SPF, tree: Tree) -> tuple[str, str]:
    """Return what is wrong with a record by itself, and the record to have instead; both "" when nothing."""
    if record.all == "+":
        advice = _("“+all” lets everybody send as %(domain)s. End the record with “~all”.")
        return advice % {"domain": domain}, spf.with_softfail(record.text)
    if tree.is_circular:
        return _("The record includes itself; receivers ignore it."), ""
    if tree.missing:
        advice = _("%(name)s has no SPF record; receivers ignore the whole record. Take it out.")
        return advice % {"name": tree.missing[0]}, ""
    if tree.lookups > spf.MOST_LOOKUPS:
        advice = _(
            "The record needs %(count)d look-ups; receivers stop after 10. Take out what no longer sends."
        )
        return advice % {"count": tree.lookups}, ""
    if record.all == "?" or not (record.all or record.redirect):
        advice = _("The record says nothing about other servers. End it with “~all”.")
        return advice, spf.with_softfail(record.text)
    return "", ""


def _known_spf(records: Records) -> Mapping[str, SPF | None]:
    """Return the SPF records DNS was asked for; None where there is none, nothing where nobody knows."""
    known: dict[str, SPF | None] = {}
    for question, answer in records.items():
        if question.kind is Kind.TXT and answer.found is not Found.FAILED:
            found = texts(records, question.name, SPF_TAG)
            known[question.name] = spf.parse(found[0]) if found else None
    return known


# DKIM


def selector_names(domain: str, preset: Preset | None) -> tuple[str, ...]:
    """Return where a provider's DKIM keys may be; none when it chooses the selector itself."""
    selectors = preset.dns.dkim if preset is not None else ()
    return tuple(f"{selector}._domainkey.{domain}" for selector in selectors)


def _dkim(domain: str, records: Records, preset: Preset | None) -> Finding:
    names = selector_names(domain, preset)
    if not names:
        advice = _("Not checked: the provider chooses the selector.")
        return Finding("DKIM", f"_domainkey.{domain}", Verdict.NOT_CHECKED, advice=advice)
    answers = [(name, answer_of(records, name, Kind.TXT)) for name in names]
    keys = [(name, text) for name, answer in answers for text in answer.values if _key_of(text) is not None]
    for name, text in keys:
        if _key_of(text):
            return Finding("DKIM", name, Verdict.GOOD, text)
    if keys:
        name, text = keys[0]
        advice = _("The key at %(name)s is empty: it was revoked.") % {"name": name}
        return Finding("DKIM", name, Verdict.LOOK, text, advice=advice)
    if any(answer.found is Found.FAILED for _name, answer in answers):
        return _unknown("DKIM", names[0])
    return _no_key(names, records)


def _no_key(names: tuple[str, ...], records: Records) -> Finding:
    for name in names:
        target = "".join(answer_of(records, name, Kind.CNAME).values[:1])
        if target:
            advice = _("%(name)s points to %(target)s, and there is no key yet.")
            advice %= {"name": name, "target": target}
            return Finding("DKIM", name, Verdict.LOOK, target, advice=advice)
    advice = _("No key at %(names)s.") % {"names": ", ".join(names)}
    return Finding("DKIM", names[0], Verdict.MISSING, advice=advice)


def _key_of(text: str) -> str | None:
    """Return the key of a DKIM record, "" for a revoked one; None when it is no such record."""
    tags = _tags(text)
    return tags.get("p") if tags.get("v", "DKIM1").upper() == "DKIM1" else None


# DMARC


def policy_names(domain: str) -> tuple[str, ...]:
    """Return where a domain's policy may be: at itself, else at the nearest parent (as DMARCbis walks)."""
    labels = domain.split(".")
    parents = [".".join(labels[n:]) for n in range(max(1, len(labels) - 1))][:_MOST_PARENTS]
    return tuple(f"_dmarc.{parent}" for parent in parents)


def _dmarc(domain: str, records: Records) -> Finding:
    names = policy_names(domain)
    name, found = _policies(domain, records)
    if not found:
        if answer_of(records, names[0], Kind.TXT).found is Found.FAILED:
            return _unknown("DMARC", names[0])
        wanted = "v=DMARC1; p=none"
        advice = _("There is no DMARC record. Start with `%(record)s`.") % {"record": wanted}
        return Finding("DMARC", names[0], Verdict.MISSING, wanted=wanted, advice=advice)
    if len(found) > 1:
        advice = _("There are %(count)d DMARC records; receivers ignore them. Keep one.")
        return Finding("DMARC", name, Verdict.LOOK, " | ".join(found), advice=advice % {"count": len(found)})
    policy = _tags(found[0]).get("p", "").lower()
    if policy not in ("none", "quarantine", "reject"):
        advice = _("The record has no policy. Add `p=none`.")
        rest = [f"{tag}={value}" for tag, value in _tags(found[0]).items() if tag not in ("v", "p")]
        wanted = "; ".join(["v=DMARC1", "p=none", *rest])
        return Finding("DMARC", name, Verdict.LOOK, found[0], wanted, advice)
    advice = ""
    if policy == "none":
        advice = _(
            "“p=none” asks for reports only. “p=quarantine” protects the domain, once SPF and DKIM are right."
        )
    return Finding("DMARC", name, Verdict.GOOD, found[0], advice=advice)


def _policies(domain: str, records: Records) -> tuple[str, tuple[str, ...]]:
    """Return the nearest name with a policy, and its records; ("", ()) when there is none."""
    for name in policy_names(domain):
        found = texts(records, name, DMARC_TAG)
        if found:
            return name, found
    return "", ()


def _tags(text: str) -> dict[str, str]:
    """Take "v=DMARC1; p=none" apart; of a tag that comes twice, the first counts."""
    found: dict[str, str] = {}
    for part in text.split(";"):
        name, equals, value = part.partition("=")
        if equals:
            found.setdefault(name.strip().lower(), value.strip())
    return found


# Alignment


def _alignment(domain: str, envelope: str, records: Records) -> Finding | None:
    """Return a finding when the bounce domain does not vouch for the From domain (RFC 7489 section 3.1)."""
    _name, policies = _policies(domain, records)
    is_strict = bool(policies) and _tags(policies[0]).get("aspf", "r").lower() == "s"
    if envelope == domain or (not is_strict and _are_related(domain, envelope)):
        return None
    sentence = _("From is %(domain)s, bounce address %(other)s: SPF does not count for DMARC.")
    advice = sentence % {"domain": domain, "other": envelope}
    return Finding(_("Alignment"), domain, Verdict.LOOK, found=envelope, advice=advice)


def _are_related(one: str, other: str) -> bool:
    """Whether two names are one organisation's, as well as their names tell it: one lies under the other."""
    return one.endswith(f".{other}") or other.endswith(f".{one}")
