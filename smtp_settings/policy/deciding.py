"""What the policy means for the mail of one site. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

#: In a site's rules "" and None mean: as for all.
LOG_ONLY = "log"


class Course(StrEnum):
    """What happens to mail that is due."""

    SEND = "send"
    LOG = "log"
    OFF = "off"
    UNCONFIRMED = "unconfirmed"

    @property
    def waits(self) -> bool:
        """Whether it stays in the queue."""
        return self in (Course.OFF, Course.UNCONFIRMED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """One row of the policy as it stands in the database; `site_id` None is the row for all."""

    site_id: int | None = None
    emails_enabled: bool | None = None
    queue_enabled: bool | None = None
    debug_mode: str = ""
    simulated_failures: int | None = None
    simulated_kind: str = ""
    batch_size: int | None = None
    email_log: bool = True
    redirect_to: str = ""
    redirect_except: tuple[str, ...] = ()
    emails_off_at: datetime | None = None
    emails_off_by: str = ""
    version: int = 0


#: As usual: what holds where nobody said anything.
USUAL = Rules(emails_enabled=True, queue_enabled=True, debug_mode="off", simulated_failures=0)


@dataclass(frozen=True, slots=True)
class Simulation:
    """Invented failures: in so many of a hundred tries, and of this kind (a value of `SimulatedFailure`)."""

    percent: int
    kind: str


@dataclass(frozen=True, slots=True)
class Redirect:
    """Every message goes to this address instead, but for recipients of these domains (lower case)."""

    to: str
    except_domains: frozenset[str] = frozenset()

    def spares(self, address: str) -> bool:
        """Whether this recipient gets the message as usual.

        >>> Redirect("qa@example.com", frozenset({"example.com"})).spares("Ann@Example.COM")
        True
        """
        return address.rpartition("@")[2].lower() in self.except_domains


@dataclass(frozen=True, slots=True)
class Effective:
    """The policy of one site's mail, everything inherited filled in.

    `off_at` and `off_by` tell of the switch that keeps mail waiting; `simulation` is only with log only.
    """

    course: Course = Course.SEND
    queue_enabled: bool = True
    simulation: Simulation | None = None
    redirect: Redirect | None = None
    off_at: datetime | None = None
    off_by: str = ""


_AS_USUAL = Effective()


@dataclass(frozen=True, slots=True)
class Policies:
    """What holds for all mail, and for that of sites that differ, at one moment.

    `batch_size` None: the installation's own. `keeps_sent`: sent messages
    stay listed, and the email log is written. `mark` is another number whenever something changed.
    """

    overall: Effective = _AS_USUAL
    of_sites: Mapping[int, Effective] = field(default_factory=dict)
    batch_size: int | None = None
    keeps_sent: bool = True
    is_confirmed: bool = True
    mark: int = 0

    def of(self, site_id: int | None) -> Effective:
        """Return the policy of a site's mail; None is mail of no site."""
        return self.overall if site_id is None else self.of_sites.get(site_id, self.overall)


def decide(rules: Mapping[int | None, Rules], *, is_confirmed: bool, places: int = 0) -> Policies:
    """Return what all rows together mean.

    `is_confirmed`: mail may leave from where the database is; `places` counts those that are confirmed.
    """
    overall = rules.get(None, USUAL)
    return Policies(
        overall=effective(overall, None, is_confirmed=is_confirmed),
        of_sites={
            site_id: effective(overall, own, is_confirmed=is_confirmed)
            for site_id, own in rules.items()
            if site_id is not None
        },
        batch_size=overall.batch_size,
        keeps_sent=overall.email_log,
        is_confirmed=is_confirmed,
        mark=sum(one.version for one in rules.values()) + places,
    )


def effective(overall: Rules, own: Rules | None, *, is_confirmed: bool = True) -> Effective:
    """Return the policy of a site: what it says itself, else what is said for all.

    A place nobody confirmed comes first, then what is switched off, then log only: what is stricter wins.
    """
    own = own or Rules()
    sends = own.emails_enabled if own.emails_enabled is not None else overall.emails_enabled is not False
    switch = own if own.emails_enabled is not None else overall
    is_logged = (own.debug_mode or overall.debug_mode) == LOG_ONLY
    queued = own.queue_enabled if own.queue_enabled is not None else overall.queue_enabled is not False
    course = Course.LOG if is_logged else Course.SEND
    if not sends:
        course = Course.OFF
    if not is_confirmed:
        course = Course.UNCONFIRMED
    return Effective(
        course=course,
        queue_enabled=queued,
        simulation=_simulation(overall, own) if is_logged else None,
        redirect=_redirect(overall),
        off_at=None if sends else switch.emails_off_at,
        off_by="" if sends else switch.emails_off_by,
    )


def simulated(simulation: Simulation | None, dice: float) -> str | None:
    """Say which failure this try meets, None for none; `dice` is from 0 to below 100.

    >>> simulated(Simulation(25, "temporary"), 24.9), simulated(Simulation(25, "temporary"), 25.0)
    ('temporary', None)
    """
    return simulation.kind if simulation is not None and dice < simulation.percent else None


def _simulation(overall: Rules, own: Rules) -> Simulation | None:
    said = own if own.simulated_failures is not None else overall
    percent = said.simulated_failures or 0
    return Simulation(percent, said.simulated_kind) if percent else None


def _redirect(overall: Rules) -> Redirect | None:
    if not overall.redirect_to:
        return None
    return Redirect(overall.redirect_to, frozenset(domain.lower() for domain in overall.redirect_except))
