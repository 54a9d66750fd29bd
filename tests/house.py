"""A house with something in every room: data for the pages, and the address of each of them.

Addresses come from the resolver, so that a page nobody thought of is looked at too; one whose arguments no
room can give fails.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from django.contrib.auth.models import AbstractBaseUser
from django.contrib.sites.models import Site
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from delivery import handover, jobs
from delivery.queue import MessageState
from smtp_settings import sealing, test_send
from smtp_settings.clearance import activation
from smtp_settings.clearance.candidate import settings_of
from smtp_settings.models import Event, OAuthCredential, SMTPProfile, TestRun
from smtp_settings.policy.changing import row_for
from smtp_settings.sealing import Secret
from tests.builders import a_draft, a_group, a_profile, evidence, unsaved_profile
from tests.servers import smtp_server

#: What a server said that is no friend of ours; a page shows it and does nothing with it.
HOSTILE = "550 5.1.1 <script>alert(1)</script> zzNo such user"

MAIL = (
    b"From: zzShop <shop@example.com>\r\nTo: bob@example.com\r\nSubject: zzReport\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nzzNumbers.\r\n"
)


@dataclass
class House:
    """What is in it."""

    person: AbstractBaseUser
    profile: SMTPProfile
    draft: SMTPProfile
    failed: TestRun
    passed: TestRun
    message_id: int
    batch: UUID
    search: TestRun
    #: Ids by the beginning of an address's name; a UUID for addresses that want one.
    ids: dict[str, Any] = field(default_factory=dict)


def furnish(person: AbstractBaseUser, *, answers: dict[str, str] | None = None) -> House:
    """Profiles tested, refused and started, a message, events. Needs a database and loopback."""
    with smtp_server(security="none", answers={"RCPT": HOSTILE} if answers is None else answers) as server:
        relay = a_profile(
            name="zzRelay", description="zzFor zzthe zzshop", host="127.0.0.1", port=server.port,
            is_default=True, debug_recipients=["qa@example.com"], user=person,
        )  # fmt: skip
        failed = test_send.run(test_send.candidate(relay, None, person), where="web")
        server.answers.clear()
        passed = test_send.run(test_send.candidate(relay, None, person), where="worker zz-mail")
    a_profile(
        name="zzOffice", host="smtp.office365.com", port=587, security="starttls", password="x",
        from_address="reports@example.com", priority="high", user=person,
    )  # fmt: skip
    moved = a_profile(name="zzMoved", host="127.0.0.1", user=person)
    SMTPProfile.objects.filter(pk=moved.pk).update(host="127.0.0.2")
    a_profile(name="zzOff", host="127.0.0.1", enabled=False, user=person)
    draft = a_draft(name="zzDraft")
    TestRun.objects.filter(ran_on="a test").update(ran_on="worker zz-mail")
    search = evidence(relay, user=person)
    search.kind, search.ran_on = TestRun.Kind.SEARCH, "worker zz-mail"
    search.settings = {"search": "zz.example.com"}
    search.save()
    batch = uuid4()
    TestRun.objects.filter(pk__in=[failed.pk, passed.pk]).update(batch=batch)
    message = handover.send(MAIL)
    house = House(
        person=person,
        profile=relay,
        draft=draft,
        failed=failed,
        passed=passed,
        message_id=message.id,
        batch=batch,
        search=search,
    )
    house.ids = {
        "smtp_settings_smtpprofile": relay.pk,
        "smtp_settings_testrun": house.failed,
        "smtp_settings_event": Event.objects.latest("id").pk,
        "delivery_message": house.message_id,
        "smtp_settings_oauthcredential": a_credential(),
        "smtp_settings_notificationsettings": 1,
        "smtp_settings_sendingpolicy": row_for(None).pk,
        "delivery_bulkjob": a_job(person),
        "auth_user": person.pk,
        "auth_group": a_group("mailconf viewers").pk,
        "sites_site": Site.objects.get_or_create(pk=1, defaults={"domain": "zz.example.com"})[0].pk,
    }
    return house


def a_job(person: AbstractBaseUser) -> int:
    """A job that waits for a worker."""
    return jobs.start(jobs.ACTS["hold"], jobs.Choice(state=MessageState.QUEUED), user_id=person.pk)


def a_credential() -> int:
    """Save an OAuth credential with a secret, and a refusal of its provider."""
    row = OAuthCredential(
        name="zzContoso", provider="microsoft", flow="application", tenant="zz.example.com",
        client_id="zzApp", account="zz@example.com", fault="invalid_client",
        fault_words="401 invalid_client <script>alert(1)</script> zzNo",
    )  # fmt: skip
    row.client_secret = sealing.seal(Secret("kanarienvogel"), sealing.binding_for(row, "client_secret"))
    row.save()
    return row.pk


def crowd(*, profiles: int, runs: int, events: int, user: AbstractBaseUser) -> None:
    """Fill the house: live profiles with a password each, their tests, events; in a few statements."""
    rows = [
        unsaved_profile(
            name=f"zzProfile {number:04}", auth="password", username="shop", accepts_clear_auth=True
        )
        for number in range(profiles)
    ]
    for row in rows:
        row.secret_version = 1
        row.password = sealing.seal(Secret("kanarienvogel"), sealing.binding_for(row))
        row.cleared_fingerprint = activation.fingerprint_of(row)
        row.cleared_key = sealing.current_keyring().primary.mark
        row.cleared_at = row.changed_at = timezone.now()
        row.changed_by_id = row.created_by_id = user.pk
    SMTPProfile.objects.bulk_create(rows)
    TestRun.objects.bulk_create(_a_run(rows[number % profiles], number, user) for number in range(runs))
    Event.objects.bulk_create(
        Event(
            kind="profile.saved", profile_id=rows[number % profiles].pk, user_id=user.pk,
            data={"name": rows[number % profiles].name, "fields": ["host"], "version": 1},
        )
        for number in range(events)
    )  # fmt: skip


def _a_run(profile: SMTPProfile, number: int, user: AbstractBaseUser) -> TestRun:
    now = timezone.now()
    return TestRun(
        profile=profile, profile_uuid=profile.uuid, user_id=user.pk,
        state="failed" if number % 3 else "passed",
        fingerprint="f" * 64, settings=settings_of(profile), recipients=["inbox@example.com"],
        started_at=now, finished_at=now, ran_on="web", sentence="zz",
    )  # fmt: skip


#: Arguments that are no row's id.
WORDS = {
    "number": 1,
    "action": "retry",
    "app_label": "smtp_settings",
    "id": "zz",
    "token": "zz",
    "site_id": 1,
    "chapter": "providers",
}

#: Addresses that are not the admin's.
OUTSIDE = {"test-received"}

#: Named addresses that are no page of ours: scripts, and where links of other apps lead.
NO_PAGES = {"jsi18n", "view_on_site", "autocomplete"}


@dataclass(frozen=True, slots=True)
class Address:
    """One address below /admin/, by its name in the resolver."""

    name: str
    url: str


def every_address(house: House) -> list[Address]:
    """Return each named address, with arguments that exist in the house."""
    found = {}
    for pattern in _patterns(get_resolver().url_patterns):
        if pattern.name and pattern.name not in NO_PAGES:
            found[pattern.name] = Address(pattern.name, _reversed(pattern, house))
    return list(found.values())


def _patterns(patterns: list[Any]) -> Iterator[URLPattern]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _patterns(pattern.url_patterns)
        else:
            yield pattern


def _reversed(pattern: URLPattern, house: House) -> str:
    name = str(pattern.name)
    arguments = {key: _argument(name, key, converter, house) for key, converter in _wanted(pattern).items()}
    return reverse(name if name in OUTSIDE else f"admin:{name}", kwargs=arguments)


def _wanted(pattern: URLPattern) -> dict[str, str]:
    """Return the arguments of an address with the names of their kinds."""
    kinds = {key: type(one).__name__ for key, one in getattr(pattern.pattern, "converters", {}).items()}
    named = getattr(pattern.pattern, "regex", None)
    return kinds or (dict.fromkeys(named.groupindex, "") if named is not None else {})


def _argument(name: str, key: str, kind: str, house: House) -> int | str | UUID:
    row = next((row for start, row in house.ids.items() if name.startswith(start)), None)
    if row is not None and key in ("object_id", "pk", "id", "uuid", "run_id"):
        if isinstance(row, TestRun):
            return row.uuid if kind == "UUIDConverter" else row.pk
        return house.search.uuid if kind == "UUIDConverter" else row
    if key == "batch":
        return house.batch
    assert key in WORDS, f"Nothing in the house goes into <{key}> of {name}: name a value in tests/house.py"
    return WORDS[key]
