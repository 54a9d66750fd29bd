"""The servers of the dashboard: each profile with what is known of it, in the order of the page."""

from dataclasses import dataclass

from django.utils.translation import gettext as _

from delivery import stats
from mailconf.numbers import available
from mailconf.servers import Health, health, limits_note, names_of
from smtp_settings.addresses import address_of
from smtp_settings.clearance import standing
from smtp_settings.clearance.standing import Standing
from smtp_settings.models import DeliveryMethod, Priority, SMTPProfile


@dataclass(frozen=True, slots=True)
class Server:
    """One profile with what is known of it; `rank` is its place, as the list of profiles calls it."""

    profile: SMTPProfile
    url: str
    where: str
    rank: str
    connections: str
    health: Health
    numbers: stats.ProfileNumbers
    standing: Standing

    @property
    def limits(self) -> str:
        """What was learned of the server, in a sentence; "" when nothing was."""
        return limits_note(self.numbers) if self.is_live and self.profile.enabled else ""

    @property
    def is_live(self) -> bool:
        """Whether the gate lets the profile send."""
        return self.standing.is_live


def servers() -> list[Server]:
    """Return every profile with its numbers, the default one first."""
    profiles = list(SMTPProfile.objects.select_related("oauth_credential").order_by("-is_default", "name"))
    numbers = available(lambda: stats.profile_facts([profile.pk for profile in profiles])) or {}
    people = names_of(numbers.values())
    address, used_of_all = address_of("admin:smtp_settings_smtpprofile_change"), _("%(used)s of %(all)s")
    default, ranks = _("Default"), {priority.value: str(priority.label) for priority in Priority}

    def server(profile: SMTPProfile) -> Server:
        known = numbers.get(profile.pk, stats.ProfileNumbers(profile.pk))
        how = standing.standing_of(profile)
        return Server(
            profile=profile,
            url=address(profile.pk),
            where=_where(profile),
            rank=default if profile.is_default else ranks[profile.priority],
            connections=used_of_all % {"used": known.connections_in_use, "all": profile.max_connections},
            health=_health(profile, known, people, how),
            numbers=known,
            standing=how,
        )

    return [server(profile) for profile in profiles]


def _health(
    profile: SMTPProfile, numbers: stats.ProfileNumbers, people: dict[int, str], how: Standing
) -> Health:
    if profile.is_draft:
        return Health(_("Draft"), "is-quiet", is_down=True)
    if not profile.enabled:
        return Health(_("Disabled"), "is-quiet", is_down=True)
    if not how.is_live:
        return Health(standing.line(how), "is-bad", is_down=True)
    return health(numbers, people)


def _where(profile: SMTPProfile) -> str:
    if profile.transport == DeliveryMethod.SMTP and not profile.host:
        return "-"
    if profile.transport == DeliveryMethod.SMTP:
        return f"{profile.host}:{profile.port}"
    return str(DeliveryMethod(profile.transport).label)
