"""The list of profiles: what its columns say, read with a constant number of queries.

Profiles are few (hundreds at most), so the page reads all of them: health is held by no column, and the order
of use needs every live one.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from smtp_settings import facts
from smtp_settings.admin import health, words
from smtp_settings.admin.listing import order
from smtp_settings.admin.listing.chips import CHIPS, HealthChip, sites_of_all
from smtp_settings.facts import ProfileFacts
from smtp_settings.models import SMTPProfile, TestRun

#: Rows a page: forty leave room in the tenth of a second a page may take.
PAGE_SIZE = 40


class ProfileList(ChangeList):
    """The page of profiles, each with its facts and its last test beside it."""

    def get_queryset(self, *args: Any, **kwargs: Any) -> QuerySet[SMTPProfile]:  # Any: ChangeList's own
        """Leave the sites to the chips, which read those of all profiles."""
        rows: QuerySet[SMTPProfile] = super().get_queryset(*args, **kwargs)
        return rows.prefetch_related(None)

    def get_results(self, request: HttpRequest) -> None:
        """Fetch all rows at once, keep those of the chosen health, and cut the page out."""
        rows: list[Any] = list(self.queryset)  # Any: profiles that get more attributes
        sites = sites_of_all(request)
        for row in rows:
            row.listed_sites = sites.get(row.pk, [])
        known = facts.facts_for([row.pk for row in rows])
        lines = {row.pk: health.line_of(row, known[row.pk]) for row in rows}
        self.is_narrowed = bool(self.query) or any(spec.value() is not None for spec in self._chips())
        self.order_of_use = order.lines(rows, known, lines) if not self.is_narrowed else []
        if (wanted := self._wanted_health()) is not None:
            rows = [row for row in rows if lines[row.pk].kind == wanted]
        self._cut(rows)
        self.result_list = list(self.result_list)
        self._put_beside(request, self.result_list, known, lines)

    def _chips(self) -> list[Any]:  # Any: a SimpleListFilter of ours
        return [spec for spec in self.filter_specs if isinstance(spec, CHIPS)]

    def _wanted_health(self) -> str | None:
        return next((spec.value() for spec in self._chips() if isinstance(spec, HealthChip)), None)

    def _cut(self, rows: list[SMTPProfile]) -> None:
        """Set what a change list shows of its rows."""
        self.paginator = Paginator(rows, self.list_per_page)
        self.result_count = self.full_result_count = len(rows)
        self.show_full_result_count, self.show_admin_actions = False, True
        self.can_show_all, self.multi_page = False, len(rows) > self.list_per_page
        page = self.paginator.get_page(self.page_num)
        self.page_num, self.result_list = page.number, page.object_list

    def _put_beside(
        self,
        request: HttpRequest,
        rows: list[Any],  # Any: profiles that get more attributes
        known: Mapping[int, ProfileFacts],
        lines: Mapping[int, health.Line],
    ) -> None:
        tests = last_tests(rows)
        may = {
            name: request.user.has_perm(f"smtp_settings.{name}_smtpprofile")
            for name in ("test", "pause", "add")
        }
        for row in rows:
            row.listed_facts, row.listed_line = known[row.pk], lines[row.pk]
            row.listed_test = tests.get(row.uuid)
            row.listed_buttons = list(_buttons(row, may))


def last_tests(profiles: Iterable[SMTPProfile]) -> dict[UUID, TestRun]:
    """Return the newest test email of each profile, also one from before its first save; one query."""
    runs = TestRun.objects.filter(
        profile_uuid__in=[profile.uuid for profile in profiles], kind=TestRun.Kind.SEND
    )
    newest = runs.order_by("profile_uuid", "-id").distinct("profile_uuid")
    return {
        run.profile_uuid: run for run in newest.only("profile_uuid", "state", "finished_at", "created_at")
    }


def _buttons(profile: Any, may: Mapping[str, bool]) -> Iterable[tuple[str, str, str]]:  # Any: as above
    """Yield what this person may do with a profile: act, label, and the label for screen readers."""
    known: ProfileFacts = profile.listed_facts
    names = {"name": profile.name}
    if may["test"] and not profile.is_draft:
        yield "test", _("Test"), _("Test %(name)s") % names
    if may["pause"] and known.can_try_now:
        yield "try_now", _("Try now"), _("Try %(name)s now") % names
    if may["pause"] and known.can_forget:
        yield "forget", _("Forget limits"), _("Forget what was learned of %(name)s") % names
    if may["pause"] and known.paused:
        yield "resume", _("Resume"), _("Resume %(name)s") % names
    elif may["pause"] and profile.enabled and facts.acts() is not None:
        yield "pause", _("Pause"), _("Pause %(name)s") % names
    if may["add"]:
        yield "duplicate", _("Duplicate"), _("Duplicate %(name)s") % names


@lru_cache(maxsize=32)  # a name is looked up in a tenth of a millisecond, and a page has two hundred buttons
def _address(act: str) -> str:
    """Return the address of an act on profile 0."""
    return reverse(f"admin:smtp_settings_smtpprofile_{act}", args=[0])


class Columns(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """The columns of the list. Rows come from `ProfileList`."""

    list_display = (
        "name_and_note",
        "server",
        "security_badge",
        "health",
        "rank",
        "site_names",
        "last_test",
        "sent",
        "waiting",
        "enabled_word",
        "buttons",
    )
    list_filter = CHIPS
    list_per_page = PAGE_SIZE
    search_fields = ("name", "host", "username")
    search_help_text = gettext_lazy("Name, server or user name")
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    ordering = ("name",)

    def get_changelist(
        self, request: HttpRequest, **kwargs: Any
    ) -> type[ProfileList]:  # Any: ModelAdmin's own
        """Use the list that reads its facts at once."""
        return ProfileList

    def get_queryset(self, request: HttpRequest) -> QuerySet[SMTPProfile]:
        """Fetch what the pages name along with the rows."""
        rows: QuerySet[SMTPProfile] = super().get_queryset(request)
        return rows.select_related(
            "oauth_credential", "created_by", "changed_by", "secret_set_by"
        ).prefetch_related("sites")

    @admin.display(description=gettext_lazy("Select"))
    def action_checkbox(self, obj: SMTPProfile) -> SafeString:
        """Return Django's box with Django's label, without a template for each row."""
        return format_html(
            '<input type="checkbox" name="{}" value="{}" class="action-select" aria-label="{}">',
            ACTION_CHECKBOX_NAME,
            obj.pk,
            _("Select %(name)s") % {"name": obj.name},
        )

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
        line: health.Line = profile.listed_line
        badge, note = words.badge(line.words, line.tone), words.note(profile, known=profile.listed_facts)
        return format_html('{}<span class="mc-row-note">{}</span>', badge, note) if note else badge

    @admin.display(description=gettext_lazy("Priority"), ordering="priority")
    def rank(self, profile: SMTPProfile) -> SafeString | str:
        """Return the tier, and mark the profile that is used first."""
        tier = profile.get_priority_display()
        return (
            format_html("{} {}", tier, words.badge(_("Default"), "is-info is-plain"))
            if profile.is_default
            else tier
        )

    @admin.display(description=gettext_lazy("Enabled"), ordering="enabled")
    def enabled_word(self, profile: SMTPProfile) -> str:
        """Say whether it may be used at all."""
        return _("Yes") if profile.enabled else _("No")

    @admin.display(description=gettext_lazy("Sites"))
    def site_names(self, profile: Any) -> str:  # Any: as in `health`
        """Return the sites' domains; none means every site."""
        return ", ".join(domain for _id, domain in profile.listed_sites) or _("Every site")

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

    @admin.display(description=gettext_lazy("Sent 24 h"))
    def sent(self, profile: Any) -> str:  # Any: as in `health`
        """Return how many messages it carried in the last day."""
        return f"{profile.listed_facts.sent_24h:,}"

    @admin.display(description=gettext_lazy("Waiting"))
    def waiting(self, profile: Any) -> str:  # Any: as in `health`
        """Return how many messages wait for this profile."""
        return f"{profile.listed_facts.waiting:,}"

    @admin.display(description=gettext_lazy("Actions"), empty_value="")
    def buttons(self, profile: Any) -> SafeString | str:  # Any: as in `health`
        """Offer what may be done; the list is one form, so each button names its own address."""
        buttons = format_html_join(
            "",
            '<button type="submit" class="mc-button is-small" formaction="{}" aria-label="{}">{}</button>',
            (
                (_address(act).replace("/0/", f"/{profile.pk}/"), described, label)
                for act, label, described in profile.listed_buttons
            ),
        )
        return format_html('<span class="mc-row-buttons">{}</span>', buttons) if buttons else ""
