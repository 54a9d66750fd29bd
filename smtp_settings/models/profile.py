"""SMTP profiles: the ways out, as people set them up."""

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.sites.models import Site
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from smtp_settings.fields import SealedField
from smtp_settings.models.choices import (
    Auth,
    Backoff,
    DeliveryMethod,
    FileStyle,
    FromPolicy,
    IPVersion,
    LineEnds,
    Mechanism,
    MinimumTLS,
    OnUncertain,
    Pipelining,
    Priority,
    Security,
    Verification,
)
from smtp_settings.models.credential import OAuthCredential
from smtp_settings.models.validating import at_least


class SMTPProfile(models.Model):
    """The stored, named settings for one way out.

    A profile is live only while `cleared_fingerprint` equals the fingerprint of its present settings; only
    `smtp_settings.clearance.activation` writes that column.
    """

    id = models.AutoField(primary_key=True)  # four bytes: the queue's rows carry it
    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    # Profile
    name = models.CharField(_("name"), max_length=100, unique=True, help_text=_("Shown in logs and alerts."))
    description = models.CharField(_("description"), max_length=250, blank=True)
    notes = models.TextField(_("notes"), blank=True)
    preset = models.CharField(_("provider preset"), max_length=50, blank=True)
    transport = models.CharField(
        _("delivery method"), max_length=20, choices=DeliveryMethod, default=DeliveryMethod.SMTP
    )
    enabled = models.BooleanField(_("enabled"), default=True)
    is_draft = models.BooleanField(_("draft"), default=False, editable=False)
    is_default = models.BooleanField(_("default"), default=False)
    priority = models.CharField(_("priority"), max_length=10, choices=Priority, default=Priority.NORMAL)
    sites = models.ManyToManyField(Site, verbose_name=_("sites"), blank=True, related_name="smtp_profiles")
    sender_domains = ArrayField(
        models.CharField(max_length=253), verbose_name=_("sender domains"), default=list, blank=True
    )
    # Server and sign-in
    host = models.CharField(_("server"), max_length=253, blank=True)
    port = models.PositiveIntegerField(
        _("port"), default=587, validators=[MinValueValidator(1), MaxValueValidator(65535)]
    )
    security = models.CharField(_("security"), max_length=10, choices=Security, default=Security.STARTTLS)
    auth = models.CharField(_("sign-in"), max_length=10, choices=Auth, default=Auth.PASSWORD)
    username = models.CharField(_("user name"), max_length=320, blank=True)
    password = SealedField(_("password"), null=True)
    oauth_credential = models.ForeignKey(
        OAuthCredential,
        models.PROTECT,
        null=True,
        blank=True,
        verbose_name=_("OAuth credential"),
        related_name="profiles",
    )
    secret_version = models.PositiveIntegerField(default=0, editable=False)
    secret_set_at = models.DateTimeField(null=True, editable=False)
    secret_set_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False, related_name="+"
    )
    accepts_clear_auth = models.BooleanField(
        _("I understand that the password is sent without encryption."), default=False
    )
    # Sender
    from_address = models.CharField(_("From address"), max_length=320, blank=True)
    from_name = models.CharField(_("From name"), max_length=64, blank=True)
    from_policy = models.CharField(
        _("From policy"), max_length=10, choices=FromPolicy, default=FromPolicy.MESSAGE
    )
    reply_to = models.CharField(_("Reply-to"), max_length=320, blank=True)
    bounce_address = models.CharField(
        _("bounce address"), max_length=320, blank=True, help_text=_("Empty: same as the From address.")
    )
    subject_prefix = models.CharField(_("subject prefix"), max_length=50, blank=True)
    debug_recipients = ArrayField(
        models.CharField(max_length=320),
        verbose_name=_("debug recipients"),
        default=list,
        blank=True,
        help_text=_("Copies of every message go here, password resets too."),
    )
    # Limits and retries
    max_connections = models.PositiveSmallIntegerField(
        _("connections at once"), default=4, validators=at_least(1)
    )
    messages_per_connection = models.PositiveIntegerField(
        _("messages per connection"), default=100, validators=at_least(1)
    )
    per_minute = models.PositiveIntegerField(_("per minute"), default=0, help_text=_("0 means no limit."))
    per_hour = models.PositiveIntegerField(_("per hour"), default=0, help_text=_("0 means no limit."))
    per_day = models.PositiveIntegerField(_("per day"), default=0, help_text=_("0 means no limit."))
    send_offset = models.PositiveIntegerField(
        _("send offset, seconds"), default=0, help_text=_("Least time between two sends, over all workers.")
    )
    max_retries = models.PositiveSmallIntegerField(
        _("max retries"), null=True, blank=True, help_text=_("Temporary errors only. Empty: until given up.")
    )
    retry_delay = models.PositiveIntegerField(_("retry delay, seconds"), default=60, validators=at_least(1))
    backoff = models.CharField(_("backoff"), max_length=12, choices=Backoff, default=Backoff.EXPONENTIAL)
    retry_cap = models.PositiveIntegerField(_("retry cap, seconds"), default=14400, validators=at_least(1))
    give_up_hours = models.PositiveSmallIntegerField(
        _("give up after, hours"),
        default=48,
        validators=at_least(1),
        help_text=_("Counted from when the message was due. An outage alone gives up nothing."),
    )
    max_size = models.PositiveIntegerField(
        _("max attachments size, MB"), default=10, help_text=_("All together, as sent. 0 means no limit.")
    )
    on_uncertain = models.CharField(
        _("on uncertain"), max_length=10, choices=OnUncertain, default=OnUncertain.RESEND
    )
    notify_user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        verbose_name=_("notify user"),
        related_name="+",
        help_text=_("Told when a message is given up or the server pauses."),
    )
    # TLS and network details
    verification = models.CharField(
        _("certificate check"), max_length=10, choices=Verification, default=Verification.FULL
    )
    accepts_unverified = models.BooleanField(
        _("I understand that another machine could pretend to be this server."), default=False
    )
    minimum_tls = models.CharField(
        _("lowest TLS version"), max_length=5, choices=MinimumTLS, default=MinimumTLS.TLS_1_2
    )
    ca = models.TextField(_("own CA certificates"), blank=True, help_text=_("PEM."))
    ip_version = models.CharField(_("IP version"), max_length=5, choices=IPVersion, default=IPVersion.ANY)
    source_address = models.CharField(_("source address"), max_length=45, blank=True)
    ehlo_name = models.CharField(_("EHLO name"), max_length=253, blank=True)
    mechanism = models.CharField(
        _("sign-in mechanism"), max_length=10, choices=Mechanism, default=Mechanism.AUTO
    )
    connect_timeout = models.PositiveSmallIntegerField(
        _("connect timeout, seconds"), default=10, validators=at_least(1)
    )
    command_timeout = models.PositiveSmallIntegerField(
        _("command timeout, seconds"), default=60, validators=at_least(1)
    )
    pipelining = models.CharField(
        _("pipelining"),
        max_length=12,
        choices=Pipelining,
        default=Pipelining.AUTO,
        help_text=_(
            "Automatic starts with one group a message and goes to one round trip a message after ten clean "
            "ones. After an answer out of place the server is spoken to one command at a time for a day."
        ),
    )
    classification_overrides = models.JSONField(_("classification overrides"), default=list, blank=True)
    # Other methods (they reuse user name and password under other labels)
    program = models.CharField(_("program"), max_length=255, default="/usr/sbin/sendmail", blank=True)
    program_arguments = models.CharField(_("arguments"), max_length=255, blank=True)
    line_ends = models.CharField(_("line ends"), max_length=5, choices=LineEnds, default=LineEnds.LF)
    directory = models.CharField(_("directory"), max_length=500, blank=True)
    file_style = models.CharField(_("file style"), max_length=10, choices=FileStyle, default=FileStyle.EML)
    api_domain = models.CharField(_("domain"), max_length=253, blank=True)
    region = models.CharField(_("region"), max_length=30, blank=True)
    uses_machine_role = models.BooleanField(_("use this machine's role"), default=False)
    configuration_set = models.CharField(_("configuration set"), max_length=64, blank=True)
    # The gate
    cleared_fingerprint = models.CharField(
        max_length=64, blank=True, editable=False, serialize=False
    )  # not in fixtures: what is loaded has passed no test here
    cleared_key = models.CharField(  # the mark of the key of that fingerprint; "" when it is not known
        max_length=64, blank=True, default="", db_default="", editable=False, serialize=False
    )
    cleared_at = models.DateTimeField(null=True, editable=False)
    cleared_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False, related_name="+"
    )
    cleared_without_test = models.TextField(blank=True, editable=False)  # the reason a person typed
    # History
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False, related_name="+"
    )
    changed_at = models.DateTimeField(auto_now=True)
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False, related_name="+"
    )

    class Meta:
        verbose_name = _("SMTP profile")
        verbose_name_plural = _("SMTP profiles")
        ordering = ("name",)
        permissions = [
            ("test_smtpprofile", _("Can test saved SMTP profiles")),
            ("send_test_elsewhere", _("Can send test emails to other addresses")),
            ("pause_smtpprofile", _("Can pause and resume SMTP profiles")),
            ("save_untested_smtpprofile", _("Can save SMTP profiles without a passed test")),
            ("answer_leak_smtpprofile", _("Can take leaked passwords out of use")),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(port__gte=1, port__lte=65535), name="profile_port_in_range"),
            models.CheckConstraint(condition=Q(max_connections__gte=1), name="profile_has_a_connection"),
            models.CheckConstraint(
                condition=Q(messages_per_connection__gte=1), name="profile_connection_has_a_message"
            ),
            models.CheckConstraint(
                condition=Q(retry_delay__gte=1, retry_cap__gte=F("retry_delay")),
                name="profile_retry_cap_covers_delay",
            ),
            models.CheckConstraint(condition=Q(give_up_hours__gte=1), name="profile_gives_up_after_an_hour"),
            models.CheckConstraint(
                condition=Q(is_draft=False) | Q(enabled=False), name="profile_draft_is_disabled"
            ),
            models.CheckConstraint(
                condition=Q(is_draft=False) | Q(cleared_fingerprint=""), name="profile_draft_is_not_cleared"
            ),
            models.CheckConstraint(
                condition=Q(transport__in=DeliveryMethod.values), name="profile_transport_is_known"
            ),
            models.CheckConstraint(
                condition=Q(security__in=Security.values), name="profile_security_is_known"
            ),
            models.CheckConstraint(condition=Q(auth__in=Auth.values), name="profile_auth_is_known"),
            models.CheckConstraint(
                condition=Q(priority__in=Priority.values), name="profile_priority_is_known"
            ),
            models.CheckConstraint(
                condition=Q(is_draft=True) | ~Q(transport="smtp") | ~Q(host=""),
                name="profile_smtp_has_a_server",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def way(self) -> str:
        """What the profile leads to, whatever its method: a server, a program, a directory, a domain."""
        ways = {
            DeliveryMethod.SENDMAIL: self.program,
            DeliveryMethod.PICKUP: self.directory,
            DeliveryMethod.MAILGUN: f"{self.api_domain} ({self.region})",
            DeliveryMethod.SES: self.region,
        }
        return ways.get(DeliveryMethod(self.transport), self.host)
