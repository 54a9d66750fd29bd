"""The choices of a profile."""

from django.db import models
from django.utils.translation import gettext_lazy as _


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


class LineEnds(models.TextChoices):
    """How the lines end that a sendmail program gets."""

    LF = "lf", _("LF (usual)")
    CRLF = "crlf", _("CRLF")


class FileStyle(models.TextChoices):
    """The form of files in a pickup directory."""

    EML = "eml", _("Plain .eml")
    X_SENDER = "x-sender", _("With X-Sender and X-Receiver lines")
