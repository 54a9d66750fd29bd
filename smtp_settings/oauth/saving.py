"""Saving a credential: a new secret only after a token was received with it, in one transaction with it.

The question to the provider comes first and holds no lock; the row is looked at again under its lock before
anything is written, so that two people never overwrite each other.
"""

from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from smtp_settings import key_check
from smtp_settings.models import OAuthCredential
from smtp_settings.oauth import keeping
from smtp_settings.oauth.asking import ask, grant_of, opened
from smtp_settings.sealing import Secret
from smtp_settings.sealing.binding import destination_of
from transports.oauth import RefreshToken, Tokens

Flow = OAuthCredential.Flow

#: What of a credential shapes a profile's session: another value stops the profiles until each is tested.
SHAPING = ("provider", "flow", "tenant", "client_id", "scope", "token_url", "account")

#: What a person edits.
EDITED = ("name", *SHAPING, "authorize_url", "client_secret_expires_at")


class StaleCredential(Exception):
    """Somebody saved the credential after it was opened. Nothing was saved."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a person is about to save.

    `row` is what is there, None for a new one; `secret` what the credential is to hold afterwards, and
    `is_new_secret` whether that is another than before. `tokens` were received with all of it, None where
    none were needed or a person has to sign in first.
    """

    candidate: OAuthCredential
    row: OAuthCredential | None
    secret: Secret | None
    is_new_secret: bool
    tokens: Tokens | None = None

    @property
    def stops_profiles(self) -> bool:
        """Whether profiles that sign in with it are no longer what was tested."""
        return self.row is not None and shape_of(self.row) != shape_of(self.candidate)

    @property
    def keeps_tokens(self) -> bool:
        """Whether what was received before still belongs to it."""
        return self.row is not None and not self.stops_profiles


def shape_of(credential: OAuthCredential) -> tuple[str, ...]:
    """Return what `SHAPING` names."""
    return tuple(str(getattr(credential, name)) for name in SHAPING)


def entry_of(
    candidate: OAuthCredential, row: OAuthCredential | None, *, typed: Secret | None, remove: bool = False
) -> Entry:
    """Return what is meant with these values; nothing is asked yet.

    Raises ValidationError for a secret that is missing or was entered for another place, and SealingError.
    """
    if typed is not None:
        return Entry(candidate, row, typed, is_new_secret=True)
    had = row is not None and row.client_secret is not None
    if row is None or not had or remove:
        if candidate.flow != Flow.BROWSER:  # a public client has none (RFC 6749 section 2.1)
            raise ValidationError(_("Enter the client secret or the key."))
        return Entry(candidate, row, None, is_new_secret=had)
    if destination_of(row) != destination_of(candidate):
        raise ValidationError(_("The saved secret was entered for other values. Enter it again."))
    return Entry(candidate, row, opened(row, "client_secret"), is_new_secret=False)


def tried(entry: Entry) -> Entry:
    """Return the entry with the tokens that were received with it, where one can be had without a person.

    Asks the provider when the secret or what it is for is new. Raises TokenRefused and TokenNotAvailable.
    """
    if entry.keeps_tokens and not entry.is_new_secret:
        return entry
    if entry.candidate.flow != Flow.BROWSER:
        return _with(entry, ask(entry.candidate, grant_of(entry.candidate, None), entry.secret))
    if entry.row is not None and entry.keeps_tokens:
        refresh_token = opened(entry.row, "refresh_token")
        if refresh_token is not None:  # the connection goes on: the new secret has to carry it
            return _with(entry, ask(entry.candidate, RefreshToken(refresh_token), entry.secret))
    return entry


def save(entry: Entry, *, user: AbstractBaseUser) -> None:
    """Write the values, the secret and the tokens. Raises StaleCredential; then nothing is saved."""
    candidate, now = entry.candidate, timezone.now()
    with transaction.atomic():
        key_check.confirm()
        row = _lock(entry)
        held = {name: opened(row, name) for name in ("access_token", "refresh_token")} if row else {}
        _take_over(candidate, row)
        changed = _changed(candidate, row)
        if entry.is_new_secret:
            candidate.secret_version += 1
            candidate.secret_set_at, candidate.secret_set_by_id = now, user.pk
        secret = entry.secret
        candidate.client_secret = keeping.sealed(candidate, "client_secret", secret) if secret else None
        if entry.keeps_tokens:  # sealed again: they are bound to the number of the secret
            for name, value in held.items():
                setattr(candidate, name, keeping.sealed(candidate, name, value) if value else None)
        else:
            keeping.drop_tokens(candidate)
            keeping.forget_trouble(candidate)
        if entry.tokens is not None:
            keeping.place_tokens(candidate, entry.tokens, now=now)
            keeping.forget_trouble(candidate)
        candidate.save()
        if entry.is_new_secret:
            changed.append("client_secret")
        kind = "oauth.saved" if row is not None else "oauth.added"
        keeping.record(kind, candidate, user_id=user.pk, changed=changed)


def _with(entry: Entry, tokens: Tokens) -> Entry:
    return Entry(entry.candidate, entry.row, entry.secret, entry.is_new_secret, tokens)


def _lock(entry: Entry) -> OAuthCredential | None:
    if entry.row is None:
        return None
    row = OAuthCredential.objects.select_for_update(no_key=True).filter(pk=entry.row.pk).first()
    if row is None or row.version != entry.row.version:
        raise StaleCredential
    return row


def _take_over(candidate: OAuthCredential, row: OAuthCredential | None) -> None:
    """Leave to the row what no form brings along; tokens may have been renewed meanwhile."""
    if row is None:
        return
    for field in OAuthCredential._meta.concrete_fields:
        if field.name not in EDITED:
            setattr(candidate, field.attname, getattr(row, field.attname))
    candidate.version = row.version + 1


def _changed(candidate: OAuthCredential, row: OAuthCredential | None) -> list[str]:
    if row is None:
        return []
    return [name for name in EDITED if getattr(row, name) != getattr(candidate, name)]
