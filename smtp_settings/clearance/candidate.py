"""A profile with the values a person is about to save: as plain values, with its secret, and before the gate.

Reads only. What is written to make a profile live is in `smtp_settings.clearance.activation`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from hmac import compare_digest
from typing import Any
from uuid import UUID

from django.conf import settings as django_settings
from django.utils import timezone

from smtp_settings import fingerprint as fingerprints
from smtp_settings import sealing
from smtp_settings.gate import EVIDENCE_AGE, Evidence, Reason, RunState, Verdict, judge
from smtp_settings.models import Auth, SMTPProfile, TestRun
from smtp_settings.sealing import Secret
from smtp_settings.sealing.binding import destination_of
from smtp_settings.secret_source import PasswordMissing, SecretSource, choose

_FINGERPRINT_PURPOSE = "mailconf/fingerprint/v1"
#: Runs older than this tell the gate nothing it would say differently.
_LOOK_BACK = 2 * EVIDENCE_AGE + timedelta(minutes=5)
#: Not `secret_version`: a new client secret is saved only after a token was received with it.
_OAUTH_COLUMNS = ("uuid", "provider", "flow", "tenant", "client_id", "scope", "token_url", "account")


@dataclass(frozen=True, slots=True)
class EffectiveSecret:
    """The secret a candidate signs in with, and whose it is. `secret` is None exactly when there is none."""

    source: SecretSource
    secret: Secret | None = None


NO_SECRET = EffectiveSecret(SecretSource.NONE)


def settings_of(profile: SMTPProfile) -> dict[str, Any]:  # Any: JSON
    """Return every editable column as JSON values; no secret, nothing of the gate."""
    return {
        field.attname: getattr(profile, field.attname)
        for field in SMTPProfile._meta.concrete_fields  # documented model API
        if field.editable and not field.primary_key
    }


def profile_from(values: Mapping[str, Any], *, uuid: UUID) -> SMTPProfile:  # Any: JSON
    """Return an unsaved profile with these values: the candidate again, as it was when it was tested."""
    return SMTPProfile(uuid=uuid, **values)


def candidate_of_run(run: TestRun) -> SMTPProfile:
    """Return the profile a run tests; its secret is the run's own, never read from the profile's row."""
    return profile_from(run.settings, uuid=run.profile_uuid)


def adopt_uuid(profile: SMTPProfile, run: TestRun) -> None:
    """Give a profile not yet saved the identity its test was made with, so that the evidence is its own.

    Does nothing for a saved profile, and nothing for a run of a saved one.
    """
    if not profile.pk and run.profile_id is None:
        profile.uuid = run.profile_uuid


def run_binding(run: TestRun) -> sealing.Binding:
    """Bind a run's secret to the run and to the destination in its settings."""
    return sealing.Binding(
        model="TestRun",
        uuid=str(run.uuid),
        field="secret",
        secret_version=0,
        destination=destination_of(candidate_of_run(run)),
    )


def is_secret_of(run: TestRun, typed: Secret) -> bool:
    """Whether a run was made with this very secret."""
    if run.secret is None:
        return False
    try:
        tested = sealing.open_sealed(run.secret, run_binding(run))
    except sealing.SealingError:
        return False
    return compare_digest(tested.reveal().encode(), typed.reveal().encode())


def stored_secret(profile: SMTPProfile) -> Secret | None:
    """Open the secret in a profile's row. Raises SealingError when it does not open."""
    if profile.password is None:
        return None
    return sealing.open_sealed(profile.password, sealing.binding_for(profile))


def effective_secret(
    profile: SMTPProfile, *, typed: Secret | None = None, remove: bool = False, run: TestRun | None = None
) -> EffectiveSecret:
    """Return the secret meant with these values.

    `profile` holds the values a person is about to save; the stored secret is looked up in its row. `run` is
    this person's last test of the profile, whose secret an empty field may mean. Raises PasswordNeeded when
    the stored one was entered for another destination, SealingError when it does not open.
    """
    row = SMTPProfile.objects.filter(pk=profile.pk).first() if profile.pk else None
    if run is not None and (run.secret is None or run.profile_uuid != profile.uuid or _is_old(run)):
        run = None
    source = choose(
        wanted=destination_of(profile),
        stored=destination_of(row) if row is not None and row.password is not None else None,
        tested=destination_of(candidate_of_run(run)) if run is not None else None,
        typed=bool(typed),
        remove=remove,
        uses_secret=fingerprints.uses_secret(settings_of(profile)),
    )
    match source:
        case SecretSource.TYPED:
            return EffectiveSecret(source, typed)
        case SecretSource.TESTED if run is not None and run.secret is not None:
            return _tested_or_stored(sealing.open_sealed(run.secret, run_binding(run)), profile, row)
        case SecretSource.STORED if row is not None:
            return EffectiveSecret(source, stored_secret(row))
    return NO_SECRET


def required_secret(
    profile: SMTPProfile, *, typed: Secret | None = None, remove: bool = False, run: TestRun | None = None
) -> EffectiveSecret:
    """Return the effective secret. Raises PasswordMissing, too, when these values sign in with one."""
    found = effective_secret(profile, typed=typed, remove=remove, run=run)
    if found.secret is None and fingerprints.uses_secret(settings_of(profile)):
        raise PasswordMissing
    return found


def _tested_or_stored(tested: Secret, profile: SMTPProfile, row: SMTPProfile | None) -> EffectiveSecret:
    """Tell a newly typed secret, carried by its test, from the stored one that was tested again."""
    if row is not None and row.password is not None and destination_of(row) == destination_of(profile):
        try:
            stored = stored_secret(row)
        except sealing.SealingError:
            stored = None
        if stored is not None and compare_digest(stored.reveal().encode(), tested.reveal().encode()):
            return EffectiveSecret(SecretSource.STORED, stored)
    return EffectiveSecret(SecretSource.TESTED, tested)


def fingerprints_of(profile: SMTPProfile, secret: Secret | None) -> tuple[str, ...]:
    """Return the fingerprint of these values under every key at hand, the primary's first."""
    values = settings_of(profile) | {"uuid": str(profile.uuid), "oauth": _oauth_facts(profile)}
    found = []
    for key in sealing.current_keyring().keys:
        subkey = key.subkey(_FINGERPRINT_PURPOSE)
        digest = ""
        if secret is not None and fingerprints.uses_secret(values):
            digest = fingerprints.secret_digest(secret.reveal(), subkey)
        found.append(fingerprints.fingerprint(values | {"secret": digest}, subkey))
    return tuple(found)


def is_live(profile: SMTPProfile) -> bool:
    """Whether a profile's present row is what was cleared.

    False, too, when its secret does not open for the row or no key is there: what cannot be checked does not
    send. Touches no table (but `oauth_credential`, when the profile has one and it was not selected along).
    """
    if profile.is_draft or not profile.cleared_fingerprint:
        return False
    try:
        return profile.cleared_fingerprint in fingerprints_of(profile, stored_secret(profile))
    except sealing.SealingError:
        return False


def verdict_for(
    profile: SMTPProfile, secret: Secret | None, *, user_id: object, run: TestRun | None = None
) -> Verdict:
    """Ask the gate whether these values may go live for this user; two queries.

    Without a user (a command) only the given run counts: a run nobody owns is not everybody's. For what was
    saved without a test, a test that has passed since says more than that nothing has changed.
    """
    row = SMTPProfile.objects.filter(pk=profile.pk).first() if profile.pk else None
    ask = partial(
        judge,
        fingerprints=fingerprints_of(profile, secret),
        cleared_fingerprint=row.cleared_fingerprint if row is not None else "",
        evidence=_evidence(profile, user_id, run),
        user_id=user_id,
        now=timezone.now(),
        settings=settings_of(profile),
    )
    verdict = ask(always=getattr(django_settings, "MAILCONF_TEST_BEFORE_SAVE", "connection") == "always")
    if verdict.reason is Reason.UNCHANGED and row is not None and row.cleared_without_test:
        tested = ask(always=True)
        return tested if tested.is_open else verdict
    return verdict


def _evidence(profile: SMTPProfile, user_id: object, run: TestRun | None) -> list[Evidence]:
    """Return the test emails of late; a connection check or a search has sent nothing, and proves nothing."""
    runs = TestRun.objects.filter(
        profile_uuid=profile.uuid, kind=TestRun.Kind.SEND, created_at__gte=timezone.now() - _LOOK_BACK
    )
    if user_id is None:
        runs = runs.filter(pk=run.pk, user=None) if run is not None else runs.none()
    return [
        Evidence(one.fingerprint, RunState(one.state), one.user_id, one.finished_at, one.settings)
        for one in runs.only("fingerprint", "state", "user_id", "finished_at", "settings").order_by("-id")[
            :50
        ]
    ]


def _oauth_facts(profile: SMTPProfile) -> dict[str, str]:
    """Return what of an OAuth credential shapes a session; a refreshed token does not."""
    if profile.auth != Auth.OAUTH2 or profile.oauth_credential is None:
        return {}
    return {name: str(getattr(profile.oauth_credential, name)) for name in _OAUTH_COLUMNS}


def _is_old(run: TestRun) -> bool:
    return timezone.now() - run.created_at > EVIDENCE_AGE
