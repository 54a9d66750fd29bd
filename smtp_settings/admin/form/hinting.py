"""The hints beside the fields of the profile form, as HTML; the same while typing and after a submit."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from django.http import QueryDict
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe

from smtp_settings import correction, presets
from smtp_settings.advice import reading
from smtp_settings.forms.texts import allowed_ports
from smtp_settings.hints import Hint, Known, PasswordShape, Tone, hints, previews, shape_of
from smtp_settings.hints.hint import ACCESS_KEY, domain_of
from smtp_settings.models import SMTPProfile, TestRun


@dataclass(frozen=True, slots=True)
class _Fix:
    """A button of a hint."""

    label: str
    value: str


def hints_of(
    texts: Mapping[str, str],
    profile: SMTPProfile | None,
    shape: PasswordShape,
    *,
    refused: Collection[str] = (),
) -> dict[str, SafeString]:
    """Return what is worth knowing about the form's values, by field.

    `refused` names the fields that show an error: of a hint that says the same only its buttons are left.
    """
    parts: dict[str, list[str]] = defaultdict(list)
    for hint in hints(texts, known(texts, profile, shape)):
        says = hint.tone is not Tone.STOP or hint.field not in refused
        if says or hint.corrections:
            parts[hint.field].append(_as_html(hint, says=says))
    for preview in previews(texts):
        parts[preview.field].append(render_to_string("mailconf/_preview.html", {"preview": preview}))
    return {field: mark_safe("".join(html)) for field, html in parts.items()}  # noqa: S308  # of templates


def _as_html(hint: Hint, *, says: bool) -> str:
    fixes = [_Fix(one.label, correction.encode(one.changes)) for one in hint.corrections]
    return render_to_string("mailconf/_hint.html", {"hint": hint, "fixes": fixes, "says": says})


def known(texts: Mapping[str, str], profile: SMTPProfile | None, shape: PasswordShape) -> Known:
    """Return what is known here beyond the values: two queries, each only when it can matter."""
    return Known(
        allowed_ports=allowed_ports(),
        mx=reading.remembered_mx(domain_of(texts.get("from_address", ""))),
        senders=_senders(texts.get("from_address", "").strip().lower(), profile),
        verified_domains=_tested_domains(texts),
        password=shape,
        today=timezone.localdate(),
    )


def _senders(address: str, profile: SMTPProfile | None) -> dict[str, str]:
    """Return another enabled profile that sends as this address."""
    if "@" not in address:
        return {}
    others = SMTPProfile.objects.filter(enabled=True, is_draft=False, from_address__iexact=address)
    if profile is not None:
        others = others.exclude(pk=profile.pk)
    name = others.order_by("pk").values_list("name", flat=True).first()  # not the row: it has seventy columns
    return {address: name} if name is not None else {}


def _tested_domains(texts: Mapping[str, str]) -> set[str]:
    """Return the From domains with which a test through this server has passed."""
    host, domain = texts.get("host", "").strip().lower(), domain_of(texts.get("from_address", ""))
    preset = presets.for_host(host) if host else None
    if not domain or preset is None or preset.kind is not presets.Kind.SERVICE:
        return set()  # only a sending service asks for it
    passed = TestRun.objects.filter(state=TestRun.State.PASSED, kind=TestRun.Kind.SEND, settings__host=host)
    return {domain} if passed.filter(settings__from_address__iendswith=f"@{domain}").exists() else set()


def key_starts() -> list[str]:
    """Return what the keys of providers begin with: with its length, all the script tells of a password."""
    return sorted({preset.secret_prefix for preset in presets.all_presets()} - {""} | {ACCESS_KEY})


def shape_posted(data: QueryDict) -> PasswordShape:
    """Return the shape of the password in a submitted form, or the one the script told instead of it."""
    if password := data.get("password", ""):
        return shape_of(password, data.get("username", ""))
    length, start = data.get("_password_length", ""), data.get("_password_start", "")
    return PasswordShape(
        length=int(length) if length.isascii() and length.isdigit() and len(length) < 6 else 0,
        prefix=start if start in key_starts() else "",
        starts_with_space=data.get("_password_space") == "start",
        ends_with_space=data.get("_password_space") == "end",
        is_username=data.get("_password_same") == "on",
    )
