"""What the broker's settings do to our promises: pure, on what Redis says of itself. Never mail is lost."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from django.core.checks import CheckMessage, Info
from django.core.checks import Warning as CheckWarning
from django.utils.translation import gettext as _


@dataclass(frozen=True, slots=True)
class BrokerFacts:
    """What Redis says (the fields of its INFO), and two settings of Celery's, in seconds."""

    info: Mapping[str, object] = field(default_factory=dict)
    visibility_timeout: float = 3600
    task_time_limit: float = 1200


def away() -> CheckMessage:
    """Say that the broker did not answer."""
    return Info(
        _("The broker does not answer: mail is taken, but sent late, when workers look by themselves."),
        hint=_("Start Redis, or correct REDIS_URL."),
        id="mailconf.I021",
    )


def judge(facts: BrokerFacts) -> Iterator[CheckMessage]:
    """Yield what breaks a promise, each with what to do."""
    policy = str(facts.info.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        yield CheckWarning(
            _("Redis drops keys when its memory is full (%(policy)s): rings are lost, and mail is late.")
            % {"policy": policy},
            hint=_("Set maxmemory-policy noeviction, and share this Redis with no cache."),
            id="mailconf.W021",
        )
    if facts.info.get("role") in ("slave", "replica"):
        yield CheckWarning(
            _("Redis is a replica: it takes no rings, and mail is late."),
            hint=_("Let REDIS_URL name the primary server."),
            id="mailconf.W022",
        )
    if facts.info.get("rdb_last_bgsave_status", "ok") != "ok":
        yield CheckWarning(
            _("Redis could not save to its disk, and then refuses rings: mail is late."),
            hint=_("Free its disk, or turn saving off: mailconf needs none of what is in Redis."),
            id="mailconf.W023",
        )
    if facts.visibility_timeout <= facts.task_time_limit:
        yield CheckWarning(
            _(
                "Redis gives a task to a second worker after %(timeout)d s (visibility_timeout), and one may "
                "run for %(limit)d s: people's tasks may be done twice."
            )
            % {"timeout": facts.visibility_timeout, "limit": facts.task_time_limit},
            hint=_("Raise visibility_timeout in broker_transport_options above task_time_limit."),
            id="mailconf.W024",
        )
    if not facts.info.get("aof_enabled") and not facts.info.get("rdb_last_save_time"):
        yield Info(
            _("Redis keeps nothing on disk; a restart loses rings only, and workers look by themselves."),
            hint=_("Nothing needs to be done."),
            id="mailconf.I022",
        )
