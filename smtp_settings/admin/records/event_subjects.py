"""What an event is about, in words and as a link to where a person may look at it.

The log has no foreign keys, so what the rows of a page name is fetched for all of them at once. Who may not
see profiles is told no name of one, and nothing of its settings or its server's words; who may not read
messages is told no recipient.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.urls import reverse
from django.utils.translation import gettext as _

from smtp_settings.admin.records import event_words
from smtp_settings.models import Event, OAuthCredential, SMTPProfile, TestRun

#: What profiles are called in these kinds' `data`; their details are settings and servers' words.
_OF_PROFILES = ("profile.", "server.", "test.", "password.")
#: The details of these name profiles too.
_NAMING = (*_OF_PROFILES, "message.moved")
#: The details of a message that was moved name the profiles.
_MOVED = "message.moved"
#: These are about the notifications themselves.
_OF_NOTIFICATIONS = frozenset({"notifications.saved", "notifications.tested", "webhook.given_up"})
_VIEW_PROFILE = "smtp_settings.view_smtpprofile"
_VIEW_POLICY = "smtp_settings.view_sendingpolicy"
_VIEW_NOTIFICATIONS = "smtp_settings.view_notificationsettings"


@dataclass(frozen=True, slots=True)
class Subject:
    """What an event is about; `url` is "" where there is no page or not for this person."""

    text: str = ""
    url: str = ""


class Reader:
    """The person who looks: what may be named and opened; each is asked once for all rows."""

    def __init__(self, user: AbstractBaseUser | AnonymousUser) -> None:
        self._user = user
        self._lists: dict[str, str] = {}
        #: Whether profiles are named.
        self.may_see_profiles = self.may(_VIEW_PROFILE)

    def may(self, permission: str) -> bool:
        """Whether the person has a permission."""
        return bool(self._user.has_perm(permission))  # type: ignore[union-attr]  # has permissions

    def page(self, model: str, pk: object, permission: str, ending: str = "") -> str:
        """Return a row's page, without `pk` the list's, "" for those who may not open it.

        One address is looked up for all rows of a list: fifty would cost as much as the rest of the page.
        """
        prefix = self._lists.get(model)
        if prefix is None:
            prefix = reverse(f"admin:{model}_changelist") if self.may(permission) else ""
            self._lists[model] = prefix
        return f"{prefix}{pk}/{ending}" if prefix and pk else prefix


@dataclass(frozen=True, slots=True)
class _Found:
    """What the rows of a page name, by the keys they name it with."""

    profiles: dict[int, str]
    runs: dict[str, int]
    credentials: dict[str, int]


def name(events: list[Any], reader: Reader) -> None:  # Any: events that get more attributes
    """Put beside the rows who did it, what it is about, its details and its test; one query for each."""
    users = {event.user_id for event in events if event.user_id}
    people = get_user_model()._default_manager.in_bulk(users) if users else {}
    found = _find(events)
    for event in events:
        event.listed_who = people[event.user_id].get_username() if event.user_id in people else ""
        event.listed_about = _subject(event, found, reader)
        event.listed_details = _details(event, reader)
        event.listed_run = _run(event, found, reader)


def _find(events: Iterable[Event]) -> _Found:
    ids = {event.profile_id for event in events if event.profile_id}
    runs = {event.data["run"] for event in events if event.data.get("run")}
    names = {event.data["credential"] for event in events if event.data.get("credential")}
    return _Found(
        dict(SMTPProfile.objects.filter(pk__in=ids).values_list("pk", "name")) if ids else {},
        {str(uuid): pk for uuid, pk in TestRun.objects.filter(uuid__in=runs).values_list("uuid", "pk")}
        if runs
        else {},
        dict(OAuthCredential.objects.filter(name__in=names).values_list("name", "pk")) if names else {},
    )


def _subject(event: Event, found: _Found, reader: Reader) -> Subject:
    """Return what it is about, the nearest thing first."""
    if event.message_id:
        return _message(event, reader)
    if event.job_id:
        url = reader.page("delivery_bulkjob", event.job_id, "delivery.view_bulkjob")
        return Subject(_("Job %(id)s") % {"id": event.job_id}, url)
    if event.profile_id or event.kind.startswith(_OF_PROFILES):
        return _profile(event, found, reader)
    if credential := event.data.get("credential"):
        pk = found.credentials.get(credential)
        may = "smtp_settings.view_oauthcredential"
        return Subject(
            credential, reader.page("smtp_settings_oauthcredential", pk, may, "change/") if pk else ""
        )
    return _other(event, reader)


def _message(event: Event, reader: Reader) -> Subject:
    url = reader.page("delivery_message", event.message_id, "delivery.view_message")
    recipient = event.data.get("name") if reader.may("delivery.view_message_body") else ""
    return Subject(recipient or _("Message %(id)s") % {"id": event.message_id}, url)


def _profile(event: Event, found: _Found, reader: Reader) -> Subject:
    """Return the profile; its name of then, which its page may have changed since."""
    pk = event.profile_id
    is_there = pk in found.profiles
    url = reader.page("smtp_settings_smtpprofile", pk, _VIEW_PROFILE, "change/") if is_there else ""
    if not reader.may_see_profiles:
        return Subject(_("Profile %(id)s") % {"id": pk} if pk else "")
    named = event.data.get("name") or found.profiles.get(pk or 0)
    return Subject(named or (_("Profile %(id)s (deleted)") % {"id": pk} if pk else ""), url)


def _other(event: Event, reader: Reader) -> Subject:
    if event.kind == "policy.saved":
        site = event.data.get("site")
        url = reader.page("smtp_settings_sendingpolicy", f"site/{site}" if site else "", _VIEW_POLICY)
        return Subject(event.data.get("name", ""), url)
    if event.kind in _OF_NOTIFICATIONS:
        url = reader.page("smtp_settings_notificationsettings", "", _VIEW_NOTIFICATIONS)
        return Subject(_("Notifications"), url)
    if event.data.get("name"):
        return Subject(str(event.data["name"]))
    if event.worker_id:
        return Subject(_("Worker %(id)s") % {"id": event.worker_id}, f"{reverse('admin:index')}#mc-workers")
    return Subject()


def _details(event: Event, reader: Reader) -> list[str]:
    is_hidden = not reader.may_see_profiles and event.kind.startswith(_NAMING)
    return [] if is_hidden else event_words.details_of(event)


def _run(event: Event, found: _Found, reader: Reader) -> str:
    """Return the page of the test it tells of; those who see the event see the run."""
    if "run" not in event.data:
        return ""
    pk = found.runs.get(event.data["run"])
    may = "smtp_settings.view_testrun"
    if not reader.may(may):
        may = "smtp_settings.test_smtpprofile"  # one's own
    return reader.page("smtp_settings_testrun", pk, may, "change/") if pk else ""
