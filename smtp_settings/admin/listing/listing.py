"""The list of profiles: what its columns say, read with a constant number of queries.

Profiles are few (hundreds at most), so the page reads all of them: health is held by no column, and the order
of use needs every live one.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from smtp_settings import facts
from smtp_settings.addresses import address_of
from smtp_settings.admin import health, words
from smtp_settings.admin.listing import order
from smtp_settings.admin.listing.chips import CHIPS, HealthChip, sites_of_all
from smtp_settings.facts import ProfileFacts
from smtp_settings.models import Priority, SMTPProfile, TestRun

#: Rows a page: forty leave room in the tenth of a second a page may take.
PAGE_SIZE = 40


def bare(rows: QuerySet[SMTPProfile]) -> QuerySet[SMTPProfile]:
    """Return rows with what their health depends on, and no more: two hundred are read for a page."""
    return rows.prefetch_related(None).select_related(None).select_related("oauth_credential")


class ProfileList(ChangeList):
    """The page of profiles, each with its facts and its last test beside it."""

    def get_queryset(self, *args: Any, **kwargs: Any) -> QuerySet[SMTPProfile]:  # Any: ChangeList's own
        """Leave out what no column names; the sites are read by the chips, for all rows."""
        return bare(super().get_queryset(*args, **kwargs))

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
        labels = {act: (escape(label), str(described)) for act, (label, described) in _ACTS.items()}
        addresses = {act: address_of(f"admin:smtp_settings_smtpprofile_{act}") for act in _ACTS}
        for row in rows:
            row.listed_facts, row.listed_line = known[row.pk], lines[row.pk]
            row.listed_test = tests.get(row.uuid)
            row.listed_buttons = [
                (addresses[act](row.pk), described % {"name": row.name}, label)
                for act in _offered(row, may)
                for label, described in [labels[act]]
            ]


def last_tests(profiles: Iterable[SMTPProfile]) -> dict[UUID, TestRun]:
    """Return the newest test email of each profile, also one from before its first save; one query."""
    runs = TestRun.objects.filter(
        profile_uuid__in=[profile.uuid for profile in profiles], kind=TestRun.Kind.SEND
    )
    newest = runs.order_by("profile_uuid", "-id").distinct("profile_uuid")
    return {
        run.profile_uuid: run for run in newest.only("profile_uuid", "state", "finished_at", "created_at")
    }


#: The label of each act, and the one for screen readers.
_ACTS = {
    "test": (gettext_lazy("Test"), gettext_lazy("Test %(name)s")),
    "try_now": (gettext_lazy("Try now"), gettext_lazy("Try %(name)s now")),
    "forget": (gettext_lazy("Forget limits"), gettext_lazy("Forget what was learned of %(name)s")),
    "resume": (gettext_lazy("Resume"), gettext_lazy("Resume %(name)s")),
    "pause": (gettext_lazy("Pause"), gettext_lazy("Pause %(name)s")),
    "duplicate": (gettext_lazy("Duplicate"), gettext_lazy("Duplicate %(name)s")),
}


def _offered(profile: Any, may: Mapping[str, bool]) -> Iterable[str]:  # Any: as above
    """Yield the acts this person may do with a profile."""
    known: ProfileFacts = profile.listed_facts
    if may["test"] and not profile.is_draft:
        yield "test"
    if may["pause"] and known.can_try_now:
        yield "try_now"
    if may["pause"] and known.can_forget:
        yield "forget"
    if may["pause"] and known.paused:
        yield "resume"
    elif may["pause"] and profile.enabled and facts.acts() is not None:
        yield "pause"
    if may["add"]:
        yield "duplicate"


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
        label = escape(_("Select %(name)s") % {"name": obj.name})
        return SafeString(
            f'<input type="checkbox" name="{ACTION_CHECKBOX_NAME}" value="{obj.pk}" class="action-select" '
            f'aria-label="{label}">'
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
        # In a narrow column the port goes to a line of its own, whole.
        shown = escape(words.server(profile)).replace(":", "<wbr>:")
        return SafeString(f'<span class="mc-mono">{shown}</span>')

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
        tier = str(Priority(profile.priority).label)
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
        ended, when = TestRun.State(run.state).label, words.when(run.finished_at or run.created_at)
        return SafeString(f'{escape(ended)}<span class="mc-row-note">{escape(when)}</span>')

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
        buttons = "".join(
            f'<button type="submit" class="mc-button is-small" formaction="{address}" '
            f'aria-label="{escape(described)}">{label}</button>'
            for address, described, label in profile.listed_buttons
        )
        return SafeString(f'<span class="mc-row-buttons">{buttons}</span>') if buttons else ""
