"""What people edit (SMTP profiles, OAuth credentials) and what the gate remembers (test runs, events)."""

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.contrib.sites.models import Site
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from smtp_settings import client_address
from smtp_settings.fields import SealedField
from smtp_settings.gate import RunState


class DeliveryMethod(models.TextChoices):
    """The transport: how a profile hands mail on."""

    SMTP = "smtp", _("SMTP")
    SENDMAIL = "sendmail", _("sendmail program")
    PICKUP = "pickup", _("Pickup directory")
    MAILGUN = "mailgun", _("Mailgun")
    SES = "ses", _("Amazon SES")


class Priority(models.TextChoices):
    """The tier of a server: after the default server, High is used first."""

    HIGH = "high", _("High")
    NORMAL = "normal", _("Normal")
    LOW = "low", _("Low")


class Security(models.TextChoices):
    """When TLS begins (values as `transports.base.Security`)."""

    STARTTLS = "starttls", _("STARTTLS (usually 587)")
    TLS = "tls", _("TLS from the first byte (usually 465)")
    NONE = "none", _("None, not encrypted (usually 25)")


class Verification(models.TextChoices):
    """What is asked of the server's certificate."""

    FULL = "full", _("Check certificate and name")
    NONE = "none", _("Encrypt only, do not check")


class MinimumTLS(models.TextChoices):
    """The lowest TLS version accepted."""

    TLS_1_2 = "1.2", "TLS 1.2"
    TLS_1_3 = "1.3", "TLS 1.3"


class IPVersion(models.TextChoices):
    """Which address families are tried."""

    ANY = "any", _("IPv4 and IPv6")
    IPV4 = "4", _("IPv4 only")
    IPV6 = "6", _("IPv6 only")


class Auth(models.TextChoices):
    """How the profile signs in."""

    NONE = "none", _("None")
    PASSWORD = "password", _("Password")  # the choice, not a password
    OAUTH2 = "oauth2", _("OAuth 2.0 credential")


class Mechanism(models.TextChoices):
    """The SASL mechanism; one is tried per session."""

    AUTO = "auto", _("Automatic")
    PLAIN = "plain", "PLAIN"
    LOGIN = "login", "LOGIN"
    CRAM_MD5 = "cram-md5", "CRAM-MD5"
    XOAUTH2 = "xoauth2", "XOAUTH2"


class FromPolicy(models.TextChoices):
    """Whose From address a message carries."""

    MESSAGE = "message", _("The message's own")
    FORCE = "force", _("Always this one")


class Backoff(models.TextChoices):
    """How the retry delay grows."""

    EXPONENTIAL = "exponential", _("Exponential")
    FIXED = "fixed", _("Fixed")


class Pipelining(models.TextChoices):
    """How much is put in one write (RFC 2920)."""

    AUTO = "auto", _("Automatic")
    GROUPED = "grouped", _("Grouped")
    SEQUENTIAL = "sequential", _("One command at a time")


class OnUncertain(models.TextChoices):
    """What becomes of a message whose final answer was lost."""

    RESEND = "resend", _("Send again after a pause")
    HOLD = "hold", _("Hold for a person")


class FileStyle(models.TextChoices):
    """The form of files in a pickup directory."""

    EML = "eml", _("Plain .eml")
    X_SENDER = "x-sender", _("With X-Sender and X-Receiver lines")


class OAuthCredential(models.Model):
    """What a profile needs to get access tokens; several profiles may share one."""

    class Provider(models.TextChoices):
        """Who issues the tokens."""

        MICROSOFT = "microsoft", _("Microsoft 365")
        GOOGLE = "google", _("Google")
        OTHER = "other", _("Other")

    class Flow(models.TextChoices):
        """How a token is obtained (RFC 6749)."""

        BROWSER = "browser", _("Sign in with a browser")
        APPLICATION = "application", _("Application only")
        SERVICE_ACCOUNT = "service_account", _("Service account")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(_("name"), max_length=100, unique=True)
    provider = models.CharField(_("provider"), max_length=20, choices=Provider)
    flow = models.CharField(_("flow"), max_length=20, choices=Flow)
    tenant = models.CharField(_("tenant"), max_length=253, blank=True)
    client_id = models.CharField(_("client ID"), max_length=255)
    client_secret = SealedField(_("client secret"), null=True)
    scope = models.CharField(_("scope"), max_length=500, blank=True)
    token_url = models.CharField(_("token URL"), max_length=500, blank=True)
    authorize_url = models.CharField(_("sign-in URL"), max_length=500, blank=True)
    account = models.CharField(_("account"), max_length=254, blank=True)
    access_token = SealedField(_("access token"), null=True)
    refresh_token = SealedField(_("refresh token"), null=True)
    access_token_expires_at = models.DateTimeField(null=True, editable=False)
    token_received_at = models.DateTimeField(null=True, editable=False)  # the last one
    refresh_token_expires_at = models.DateTimeField(null=True, editable=False)  # where the provider says so
    connected_at = models.DateTimeField(null=True, editable=False)  # by a person, in the browser
    client_secret_expires_at = models.DateTimeField(_("client secret expires"), null=True, blank=True)
    #: The last refusal that only a person can end: `transports.errors.TokenRefused.reason`, "" for none.
    fault = models.CharField(max_length=50, blank=True, default="", editable=False)
    fault_words = models.TextField(blank=True, default="", editable=False)  # the provider's, cleaned
    fault_at = models.DateTimeField(null=True, editable=False)
    retry_at = models.DateTimeField(null=True, editable=False)  # nobody asks the token URL before
    tries = models.PositiveSmallIntegerField(default=0, editable=False)  # without an answer, in a row
    secret_version = models.PositiveIntegerField(default=0, editable=False)
    secret_set_at = models.DateTimeField(null=True, editable=False)
    secret_set_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False, related_name="+"
    )
    version = models.PositiveIntegerField(default=1, editable=False)

    class Meta:
        verbose_name = _("OAuth credential")
        verbose_name_plural = _("OAuth credentials")
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


def _at_least(value: int) -> list[MinValueValidator]:
    return [MinValueValidator(value)]


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
        _("connections at once"), default=4, validators=_at_least(1)
    )
    messages_per_connection = models.PositiveIntegerField(
        _("messages per connection"), default=100, validators=_at_least(1)
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
    retry_delay = models.PositiveIntegerField(_("retry delay, seconds"), default=60, validators=_at_least(1))
    backoff = models.CharField(_("backoff"), max_length=12, choices=Backoff, default=Backoff.EXPONENTIAL)
    retry_cap = models.PositiveIntegerField(_("retry cap, seconds"), default=14400, validators=_at_least(1))
    give_up_hours = models.PositiveSmallIntegerField(
        _("give up after, hours"),
        default=48,
        validators=_at_least(1),
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
        _("connect timeout, seconds"), default=10, validators=_at_least(1)
    )
    command_timeout = models.PositiveSmallIntegerField(
        _("command timeout, seconds"), default=60, validators=_at_least(1)
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


class TestRun(models.Model):
    """One test send: the candidate settings, what happened, and so the evidence the gate looks for."""

    __test__ = False  # not a test class for pytest

    class State(models.TextChoices):
        """Where the run stands; the last three are final."""

        WAITING = RunState.WAITING, _("Waiting")
        RUNNING = RunState.RUNNING, _("Running")
        PASSED = RunState.PASSED, _("Passed")
        FAILED = RunState.FAILED, _("Failed")
        STOPPED = RunState.STOPPED, _("Stopped")

    class Kind(models.TextChoices):
        """What the run does; only a sent email is evidence for the gate."""

        SEND = "send", _("Test email")
        CONNECT = "connect", _("Connection check")
        SEARCH = "search", _("Search for settings")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    profile = models.ForeignKey(SMTPProfile, models.SET_NULL, null=True, related_name="test_runs")
    profile_uuid = models.UUIDField()  # of a profile not yet saved, too: the secret is bound to it
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    kind = models.CharField(_("kind"), max_length=10, choices=Kind, default=Kind.SEND)
    batch = models.UUIDField(null=True)  # runs of one order, "test all": they come one after another
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.WAITING)
    stop_asked_at = models.DateTimeField(null=True)
    fingerprint = models.CharField(max_length=64)
    settings = models.JSONField()  # the candidate's fields, no secret
    secret = SealedField(null=True)
    recipients = ArrayField(models.CharField(max_length=320))
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)  # of who runs it, by the database's clock
    finished_at = models.DateTimeField(null=True)
    ran_on = models.CharField(max_length=255, blank=True)  # "worker mail-2", "web", "shell"
    steps = models.JSONField(default=list)
    transcript = models.JSONField(default=list)
    failed_phase = models.CharField(max_length=10, blank=True)
    sentence = models.TextField(blank=True)  # the outcome for people
    reply = models.TextField(blank=True)
    symptom = models.JSONField(default=dict)  # what `diagnosis` reads; {} when nothing is wrong
    results = models.JSONField(default=list)  # of a search: what answered
    link_base = models.CharField(
        max_length=255, blank=True
    )  # "https://mail.example.com", for the email's link
    received_at = models.DateTimeField(null=True)  # when somebody followed that link

    class Meta:
        verbose_name = _("test run")
        verbose_name_plural = _("test runs")
        ordering = ("-id",)
        indexes = [models.Index(fields=["profile_uuid", "-id"], name="testrun_evidence")]  # the gate

    def __str__(self) -> str:
        moment = timezone.localtime(self.created_at or timezone.now())
        when = date_format(moment, "j M Y H:i")
        return gettext("Test of %(name)s, %(when)s") % {"name": self.name, "when": when}

    @property
    def name(self) -> str:
        """The profile's name as it was tested, saved or not."""
        return str(self.settings.get("name") or "-")


class Event(models.Model):
    """One line of the event log and audit: what people and recovery did, never a secret."""

    at = models.DateTimeField(auto_now_add=True)
    kind = models.CharField(max_length=50)
    level = models.CharField(max_length=10, default="info")
    message_id = models.BigIntegerField(null=True)
    profile_id = models.IntegerField(null=True)
    worker_id = models.BigIntegerField(null=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.DO_NOTHING, null=True, db_constraint=False, related_name="+"
    )
    job_id = models.BigIntegerField(null=True)
    ip = models.GenericIPAddressField(null=True, default=client_address.current)
    data = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        ordering = ("-id",)
        permissions = [("export_event", _("Can export the event log and the email log"))]
        indexes = [
            BrinIndex(fields=["at"], name="event_at_brin"),  # retention
            models.Index(  # the timeline of a message
                fields=["message_id"], condition=Q(message_id__isnull=False), name="event_message"
            ),
        ]

    def __str__(self) -> str:
        return self.kind


class NotificationSettings(models.Model):
    """Who is told when something begins or ends, and how; one row."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    recipients = ArrayField(
        models.CharField(max_length=320), verbose_name=_("recipients"), default=list, blank=True
    )
    muted = ArrayField(models.CharField(max_length=20), default=list, blank=True)  # kinds nobody is told of
    breaker_minutes = models.PositiveSmallIntegerField(
        _("breaker open, minutes"),
        default=10,
        validators=_at_least(1),
        help_text=_("A server that does not answer is told of after so long; most come back sooner."),
    )
    worker_minutes = models.PositiveSmallIntegerField(
        _("no worker, minutes"),
        default=5,
        validators=_at_least(2),
        help_text=_("Told of when no worker has reported for so long."),
    )
    webhook_url = models.CharField(
        _("webhook address"), max_length=500, blank=True, help_text=_("Empty: no webhook.")
    )
    accepts_clear_webhook = models.BooleanField(
        _("I understand that notifications are sent without encryption."), default=False
    )
    webhook_secret = SealedField(_("webhook secret"), null=True)
    secret_version = models.PositiveIntegerField(default=0, editable=False)
    secret_set_at = models.DateTimeField(null=True, editable=False)
    secret_set_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False, related_name="+"
    )
    version = models.PositiveIntegerField(default=1, editable=False)

    class Meta:
        verbose_name = _("notification settings")
        verbose_name_plural = _("notification settings")
        constraints = [models.CheckConstraint(condition=Q(id=1), name="notification_settings_are_one")]

    def __str__(self) -> str:
        return gettext("Notifications")


class DebugMode(models.TextChoices):
    """Whether mail is sent at all, or only recorded."""

    OFF = "off", _("Off")
    LOG = "log", _("Log only")


class SimulatedFailure(models.TextChoices):
    """What an invented failure looks like to the program that sent the message."""

    TEMPORARY = "temporary", _("Temporary: it is tried again")
    PERMANENT = "permanent", _("Permanent: it fails")
    UNCERTAIN = "uncertain", _("Uncertain: it may have arrived")


class SendingPolicy(models.Model):
    """Whether and how mail leaves: one row for all, and one for each site that differs.

    In a site's row None and "" mean: as the global row says. Without a row for all everything is as usual.
    """

    site = models.OneToOneField(
        Site, models.CASCADE, null=True, editable=False, related_name="sending_policy"
    )
    emails_enabled = models.BooleanField(_("emails enabled"), null=True)
    queue_enabled = models.BooleanField(_("queue enabled"), null=True)
    debug_mode = models.CharField(_("debug mode"), max_length=10, choices=DebugMode, blank=True)
    simulated_failures = models.PositiveSmallIntegerField(
        _("simulated failures, %"), null=True, blank=True, validators=[MaxValueValidator(100)]
    )
    simulated_kind = models.CharField(
        _("kind of failure"),
        max_length=10,
        choices=SimulatedFailure,
        default=SimulatedFailure.TEMPORARY,
    )
    # From here on for all sites only.
    batch_size = models.PositiveSmallIntegerField(
        _("batch size"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(1000)],
    )
    email_log = models.BooleanField(_("email log"), default=True)
    redirect_to = models.CharField(_("redirect all to"), max_length=320, blank=True)
    redirect_except = ArrayField(
        models.CharField(max_length=253), verbose_name=_("except domains"), default=list, blank=True
    )
    emails_off_at = models.DateTimeField(null=True, editable=False)
    emails_off_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False, related_name="+"
    )
    changed_at = models.DateTimeField(auto_now=True)
    version = models.PositiveIntegerField(default=1, editable=False)

    class Meta:
        verbose_name = _("sending policy")
        verbose_name_plural = _("sending policies")
        default_permissions = ("change", "view")
        constraints = [
            models.UniqueConstraint(Coalesce("site_id", 0), name="policy_one_a_site"),
            models.CheckConstraint(
                condition=Q(site__isnull=False)
                | Q(
                    emails_enabled__isnull=False,
                    queue_enabled__isnull=False,
                    simulated_failures__isnull=False,
                )
                & ~Q(debug_mode=""),
                name="policy_for_all_is_complete",
            ),
            models.CheckConstraint(
                condition=Q(site__isnull=True)
                | Q(batch_size__isnull=True, email_log=True, redirect_to="", redirect_except=[]),
                name="policy_of_a_site_is_narrow",
            ),
            models.CheckConstraint(
                condition=Q(simulated_failures__isnull=True) | Q(simulated_failures__lte=100),
                name="policy_percent_in_range",
            ),
            models.CheckConstraint(
                condition=Q(batch_size__isnull=True) | Q(batch_size__range=(1, 1000)),
                name="policy_batch_in_range",
            ),
        ]

    def __str__(self) -> str:
        return str(self.site) if self.site is not None else gettext("All sites")


class Whereabouts(models.Model):
    """A place this database was found at: server, address, environment. Mail leaves from confirmed ones only.

    `digest` is of `facts`, which are words for people and hold no secret. The first place is confirmed by
    itself; any other by a person, because it may be a copy.
    """

    digest = models.CharField(primary_key=True, max_length=64)
    facts = models.JSONField()
    key_ids = ArrayField(models.CharField(max_length=32), default=list)  # of the keys at hand there
    seen_at = models.DateTimeField(auto_now_add=True)
    seen_on = models.CharField(max_length=255, blank=True)  # the machine
    confirmed_at = models.DateTimeField(null=True)
    confirmed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")

    class Meta:
        verbose_name = _("place of the database")
        verbose_name_plural = _("places of the database")
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.facts.get("address", self.digest[:8]))


class KeyCheck(models.Model):
    """A key check value per key id: finds a wrong key at start, not at night."""

    kid = models.CharField(primary_key=True, max_length=32)
    value = models.BinaryField(max_length=8)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("key check value")

    def __str__(self) -> str:
        return self.kid
