"""Tests ordered: values and secret frozen in rows that anybody may carry out, once."""

from collections.abc import Iterable, Sequence
from uuid import UUID, uuid4

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from smtp_settings import sealing
from smtp_settings.clearance.candidate import fingerprints_of, run_binding, settings_of, stored_secret
from smtp_settings.models import Event, SMTPProfile, TestRun
from smtp_settings.test_send import life, limits
from smtp_settings.test_send.message import recipients_for
from transports.base import Secret


def candidate(
    profile: SMTPProfile,
    secret: Secret | None,
    user: AbstractBaseUser | None,
    recipients: Sequence[str] = (),
    *,
    kind: str = TestRun.Kind.SEND,
    link_base: str = "",
) -> TestRun:
    """Freeze values and secret in a test run, ready to be run once, here or on a worker.

    `profile` holds the values to test, saved or not. A connection check has no recipients. `link_base` leads
    the link in the email ("https://mail.example.com"); without one there is none. Raises ValidationError for
    the recipients, TooManyTests, and SealingError.
    """
    life.tidy_up()
    to = recipients_for(user, recipients) if kind == TestRun.Kind.SEND else []
    run = _frozen(profile, secret, user, to, kind=kind, link_base=link_base)
    register(run, user)
    return run


def register(run: TestRun, user: AbstractBaseUser | None) -> None:
    """Save a run when the limits let this person start one, with its event. Raises TooManyTests."""
    with transaction.atomic():
        limits.admit(user)
        run.save()
        life.record("test.started", run, recipients=run.recipients, test=run.kind)


def order(
    profiles: Iterable[SMTPProfile],
    user: AbstractBaseUser | None,
    recipients: Sequence[str] = (),
    *,
    link_base: str = "",
) -> UUID:
    """Order a test email through each profile as it is saved, one after another; return the batch.

    The runs are made in the order of `profiles`; that of a profile whose password does not open has failed at
    once. A batch counts as one test. Raises ValidationError (recipients, no profile) and TooManyTests.
    """
    life.tidy_up()
    to, batch = recipients_for(user, recipients), uuid4()
    runs = [_saved(profile, user, to, batch=batch, link_base=link_base) for profile in profiles]
    if not runs:
        raise ValidationError(_("There is no profile to test."))
    with transaction.atomic():
        limits.admit(user)
        TestRun.objects.bulk_create(runs)
        Event.objects.bulk_create(
            life.event_of("test.started", run, recipients=to, test=run.kind, batch=str(batch)) for run in runs
        )
    return batch


def _saved(
    profile: SMTPProfile, user: AbstractBaseUser | None, to: list[str], *, batch: UUID, link_base: str
) -> TestRun:
    """Return the run of a saved profile, or one that has failed because its password does not open."""
    sentence = ""
    try:
        run = _frozen(profile, stored_secret(profile), user, to, link_base=link_base)
    except sealing.SealingError as error:
        sentence = str(error)
        run = TestRun(
            profile_id=profile.pk,
            profile_uuid=profile.uuid,
            user_id=user.pk if user is not None else None,
            settings=settings_of(profile),
            recipients=to,
        )
    run.batch = batch
    if sentence:
        run.state, run.finished_at, run.sentence = TestRun.State.FAILED, timezone.now(), sentence
    return run


def _frozen(
    profile: SMTPProfile,
    secret: Secret | None,
    user: AbstractBaseUser | None,
    to: list[str],
    *,
    kind: str = TestRun.Kind.SEND,
    link_base: str,
) -> TestRun:
    run = TestRun(
        profile_id=profile.pk,
        profile_uuid=profile.uuid,
        user_id=user.pk if user is not None else None,
        kind=kind,
        fingerprint=fingerprints_of(profile, secret)[0],
        settings=settings_of(profile),
        recipients=to,
        link_base=link_base,
    )
    if secret is not None:
        run.secret = sealing.seal(secret, run_binding(run))
    return run
