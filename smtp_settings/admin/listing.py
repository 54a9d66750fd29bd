"""The list of profiles: what its columns say, read with a constant number of queries."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from smtp_settings import facts
from smtp_settings.admin import words
from smtp_settings.models import SMTPProfile, TestRun


class ProfileList(ChangeList):
    """The page of profiles, each with its facts and its last test beside it."""

    def get_results(self, request: HttpRequest) -> None:
        """Fetch the page, then what the columns need for all of its rows at once."""
        super().get_results(request)
        rows = list(self.result_list)
        known = facts.facts_for([row.pk for row in rows])
        tests = last_tests(rows)
        may_test = request.user.has_perm("smtp_settings.test_smtpprofile")
        for row in rows:
            row.listed_facts = known.get(row.pk)
            row.listed_test = tests.get(row.uuid)
            row.listed_button = may_test and not row.is_draft
        self.result_list = rows


def last_tests(profiles: Iterable[SMTPProfile]) -> dict[UUID, TestRun]:
    """Return the newest run of each profile, also one from before its first save; one query."""
    runs = TestRun.objects.filter(profile_uuid__in=[profile.uuid for profile in profiles])
    newest = runs.order_by("profile_uuid", "-id").distinct("profile_uuid")
    return {
        run.profile_uuid: run for run in newest.only("profile_uuid", "state", "finished_at", "created_at")
    }


class Columns:
    """The columns of the list. Rows come from `ProfileList`."""

    @admin.display(description=gettext_lazy("Name"), ordering="name")
    def name_and_note(self, profile: SMTPProfile) -> SafeString | str:
        """Return the name, with the description below."""
        if not profile.description:
            return profile.name
        return format_html('{}<span class="mc-row-note">{}</span>', profile.name, profile.description)

    @admin.display(description=gettext_lazy("Server"), ordering="host")
    def server(self, profile: SMTPProfile) -> SafeString:
        """Return host and port, or what another method has instead."""
        return format_html('<span class="mc-mono">{}</span>', words.server(profile))

    @admin.display(description=gettext_lazy("Security"), ordering="security")
    def security_badge(self, profile: SMTPProfile) -> SafeString:
        """Return when TLS begins."""
        return words.security_badge(profile)

    @admin.display(description=gettext_lazy("Health"))
    def health(self, profile: Any) -> SafeString:  # Any: a row with what `ProfileList` put beside it
        """Return how the profile is doing, always as text."""
        health = words.health(profile, known=profile.listed_facts)
        note = words.note(profile, known=profile.listed_facts)
        return format_html('{}<span class="mc-row-note">{}</span>', health, note) if note else health

    @admin.display(description=gettext_lazy("Default"), ordering="is_default", empty_value="")
    def default_word(self, profile: SMTPProfile) -> SafeString | str:
        """Mark the profile that is used first."""
        return words.badge(_("Default"), "is-info is-plain") if profile.is_default else ""

    @admin.display(description=gettext_lazy("Enabled"), ordering="enabled")
    def enabled_word(self, profile: SMTPProfile) -> str:
        """Say whether it may be used at all."""
        return _("Yes") if profile.enabled else _("No")

    @admin.display(description=gettext_lazy("Sites"))
    def site_names(self, profile: SMTPProfile) -> str:
        """Return the sites' domains; none means every site."""
        return ", ".join(site.domain for site in profile.sites.all()) or _("Every site")

    @admin.display(description=gettext_lazy("Last test"))
    def last_test(self, profile: Any) -> SafeString | str:  # Any: as in `health`
        """Return how the newest test ended, and when."""
        run: TestRun | None = profile.listed_test
        if run is None:
            return _("Never")
        return format_html(
            '{}<span class="mc-row-note">{}</span>',
            run.get_state_display(),
            words.when(run.finished_at or run.created_at),
        )

    @admin.display(description=gettext_lazy("Waiting"))
    def waiting(self, profile: Any) -> str:  # Any: as in `health`
        """Return how many messages wait for this profile."""
        return f"{profile.listed_facts.waiting:,}" if profile.listed_facts else "-"

    @admin.display(description=gettext_lazy("Test"), empty_value="")
    def test_button(self, profile: Any) -> SafeString | str:  # Any: as in `health`
        """Offer a test of the saved settings; the list is one form, so the button names its own address."""
        if not profile.listed_button:
            return ""
        return format_html(
            '<button type="submit" class="mc-button" formaction="{}" aria-label="{}">{}</button>',
            reverse("admin:smtp_settings_smtpprofile_test", args=[profile.pk]),
            _("Test %(name)s") % {"name": profile.name},
            _("Test"),
        )
