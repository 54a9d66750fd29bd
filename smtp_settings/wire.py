"""The one place that turns a profile into a way out. Only live profiles come through here to the queue."""

import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from ipaddress import ip_network
from itertools import islice

from django.conf import settings
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from smtp_settings import methods, sealing
from smtp_settings.clearance.activation import fingerprint_of, is_live
from smtp_settings.clearance.candidate import stored_secret
from smtp_settings.entries.judges import rule_fault
from smtp_settings.entries.overrides import NO_OVERRIDES, Overrides, read_rows
from smtp_settings.models import Auth, DeliveryMethod, Pipelining, SMTPProfile, Verification
from smtp_settings.oauth import tokens
from transports.base import Secret, Security, Transport
from transports.resolve import AddressGuard
from transports.smtp import SMTPSettings, SMTPTransport, Timeouts

logger = logging.getLogger(__name__)

MethodNotAvailable = methods.MethodNotAvailable


#: The sign-in as the wire names it.
_SIGN_INS: dict[str, str] = {Auth.NONE: "none", Auth.PASSWORD: "password", Auth.OAUTH2: "oauth"}


class NotLive(Exception):
    """The profile, in this version, may not send (any more)."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Whose name a profile's messages carry."""

    from_address: str
    from_name: str
    from_policy: str
    reply_to: str
    bounce_address: str
    subject_prefix: str
    debug_recipients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WayOut:
    """A live profile as the dispatcher sees it: limits and route, no secret and no server.

    `version` changes with everything that shapes a session: a pool of sessions belongs to one. Empty
    `site_ids` means every site. Zero in a limit means none; delays are in seconds, `max_size` in MB;
    `max_retries` None means until given up, `give_up_hours` after it was due.
    """

    profile_id: int
    name: str
    version: str
    is_default: bool
    priority: str
    site_ids: frozenset[int]
    sender_domains: frozenset[str]
    max_connections: int
    messages_per_connection: int
    per_minute: int
    per_hour: int
    per_day: int
    send_offset: int
    max_retries: int | None
    retry_delay: int
    backoff: str
    retry_cap: int
    give_up_hours: int
    max_size: int
    on_uncertain: str
    notify_user_id: int | None
    sender: Sender
    overrides: Overrides = NO_OVERRIDES
    pipelining: str = Pipelining.AUTO

    @property
    def fingerprint(self) -> str:
        """What of `version` changes only with what shapes a session, not with a limit or a note."""
        return self.version.partition(".")[2]


def ways_out() -> list[WayOut]:
    """Return every enabled and live profile, by id; two queries however many there are.

    Without a usable key nothing is live: the mail waits, and the log says why.
    """
    try:
        sealing.current_keyring()
    except sealing.KeyMissing as error:
        logger.error("No profile can send. %s", error)  # noqa: TRY400  # the sentence says it; no traceback
        return []
    return [_way_out(row) for row in _cleared().prefetch_related("sites") if is_live(row)]


def live_senders(*, most: int) -> int:
    """Count the live profiles with a From address of their own, no further than to `most`; one query.

    Whether one is live takes its fingerprint, which is dear where there are hundreds.
    """
    rows = _cleared().exclude(from_address="")
    return sum(1 for _ in islice(filter(is_live, rows), most))


def _cleared() -> QuerySet[SMTPProfile]:
    """Return the profiles that may be live: what `is_live` says of them is the last word."""
    return (
        SMTPProfile.objects.filter(enabled=True, is_draft=False)
        .exclude(cleared_fingerprint="")
        .select_related("oauth_credential")
        .order_by("pk")
    )


def ways_of(profile_ids: Iterable[int]) -> dict[int, WayOut]:
    """Return these profiles live or not, to judge by them what was sent through them.

    `version` is empty: nothing may be sent with one. A profile that was deleted has the default settings.
    """
    ids = set(profile_ids)
    rows = SMTPProfile.objects.prefetch_related("sites").in_bulk(ids)
    return {pk: _way_out(rows.get(pk) or SMTPProfile(pk=pk), version="") for pk in ids}


def nobodys_way() -> WayOut:
    """Return the settings a profile has by default, for mail that no profile carries; nothing can be sent."""
    return _way_out(SMTPProfile(pk=0), version="", site_ids=frozenset())


def transport_of(profile_id: int, version: str) -> Transport:
    """Return the transport of a live profile, from its row as it is now.

    Raises NotLive when the row is not, or no longer, the version asked for.
    """
    row = SMTPProfile.objects.select_related("oauth_credential").filter(pk=profile_id, enabled=True).first()
    if row is None or not is_live(row) or _version(row) != version:
        raise NotLive(_("The settings of this profile differ from the tested ones."))
    return transport_for(row)


def transport_for(profile: SMTPProfile, *, secret: Callable[[], Secret] | None = None) -> Transport:
    """Return the transport these values describe, tested or not.

    For tests of candidates; the queue uses `transport_of`. `secret` is called at the sign-in; without it the
    row's own is opened there. Raises MethodNotAvailable.
    """
    if profile.transport != DeliveryMethod.SMTP:
        return methods.transport_for(profile, secret=secret or _opener(profile), guard=address_guard())
    signs_in = profile.auth == Auth.PASSWORD
    return SMTPTransport(
        SMTPSettings(
            host=profile.host,
            port=profile.port,
            security=Security(profile.security),
            verify=profile.verification == Verification.FULL,
            minimum_tls=profile.minimum_tls,
            ca_pem=profile.ca,
            ip_version=profile.ip_version,
            source_address=profile.source_address,
            ehlo_name=profile.ehlo_name,
            auth=_SIGN_INS[profile.auth],
            mechanism=profile.mechanism,
            username=profile.username if profile.auth != Auth.NONE else "",
            password=(secret or _opener(profile)) if signs_in else None,
            token=_token(profile, is_persons=secret is not None),
            renew_token=_renewer(profile),
            allow_clear_auth=profile.accepts_clear_auth,
            pipelining=profile.pipelining,
            timeouts=Timeouts(
                connect=profile.connect_timeout,
                banner=profile.command_timeout,
                ehlo=profile.command_timeout,
                auth=profile.command_timeout,
                mail=profile.command_timeout,
                rcpt=profile.command_timeout,
                data=profile.command_timeout,
            ),
            guard=address_guard(),
            looks_closer=secret is not None,  # a person waits for this one
        )
    )


def address_guard() -> AddressGuard:
    """Return what keeps profiles from reaching into this installation's own network (E21-E24)."""
    return AddressGuard(
        allowed_networks=tuple(
            ip_network(network, strict=False) for network in settings.MAILCONF_ALLOWED_NETWORKS
        ),
        allowed_ports=tuple(
            port if isinstance(port, int) else range(port[0], port[1] + 1)
            for port in settings.MAILCONF_ALLOWED_PORTS
        ),
        allow_private=settings.MAILCONF_ALLOW_PRIVATE,
    )


def _opener(profile: SMTPProfile) -> Callable[[], Secret]:
    def open_now() -> Secret:
        secret = stored_secret(profile)
        if secret is None:
            raise sealing.KeyMissing(_("No password is stored."))
        return secret

    return open_now


def _token(profile: SMTPProfile, *, is_persons: bool) -> Callable[[], Secret] | None:
    """Return what gets the access token of a session, in a thread where it may wait; None without OAuth."""
    if profile.auth != Auth.OAUTH2 or profile.oauth_credential_id is None:
        return None
    return partial(tokens.in_its_own_thread, profile.oauth_credential_id, asks_again=is_persons)


def _renewer(profile: SMTPProfile) -> Callable[[Secret], Secret] | None:
    """Return what gets another token than one a server refused; None without OAuth."""
    if profile.auth != Auth.OAUTH2 or (pk := profile.oauth_credential_id) is None:
        return None
    return lambda refused: tokens.in_its_own_thread(pk, refused=refused)


def _version(row: SMTPProfile) -> str:
    return f"{row.version}.{fingerprint_of(row)[:32]}"


def _way_out(
    row: SMTPProfile, *, version: str | None = None, site_ids: frozenset[int] | None = None
) -> WayOut:
    return WayOut(
        profile_id=row.pk,
        name=row.name,
        version=_version(row) if version is None else version,
        is_default=row.is_default,
        priority=row.priority,
        site_ids=frozenset(site.pk for site in row.sites.all()) if site_ids is None else site_ids,
        sender_domains=frozenset(domain.lower() for domain in row.sender_domains),
        max_connections=row.max_connections,
        messages_per_connection=row.messages_per_connection,
        per_minute=row.per_minute,
        per_hour=row.per_hour,
        per_day=row.per_day,
        send_offset=row.send_offset,
        max_retries=row.max_retries,
        retry_delay=row.retry_delay,
        backoff=row.backoff,
        retry_cap=row.retry_cap,
        give_up_hours=row.give_up_hours,
        max_size=row.max_size,
        on_uncertain=row.on_uncertain,
        notify_user_id=row.notify_user_id,
        sender=Sender(
            from_address=row.from_address,
            from_name=row.from_name,
            from_policy=row.from_policy,
            reply_to=row.reply_to,
            bounce_address=row.bounce_address,
            subject_prefix=row.subject_prefix,
            debug_recipients=tuple(row.debug_recipients),
        ),
        pipelining=row.pipelining,
        overrides=_overrides(row.name, json.dumps(row.classification_overrides)),
    )


@lru_cache(maxsize=256)  # profiles are read again and again, and their rules rarely change
def _overrides(name: str, rules: str) -> Overrides:
    """Read a profile's rules; one put there past the form that cannot be meant is told once and left out."""
    found, faults = read_rows(json.loads(rules))
    for n, fault in faults.items():
        logger.error("Rule %d about replies of profile %s is not used. %s", n, name, rule_fault(fault))
    return found
