"""What people edit (SMTP profiles, OAuth credentials) and what the gate remembers (test runs, events)."""

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
from smtp_settings.models.event import Event
from smtp_settings.models.installation import KeyCheck, Whereabouts
from smtp_settings.models.notification import NotificationSettings
from smtp_settings.models.policy import DebugMode, SendingPolicy, SimulatedFailure
from smtp_settings.models.profile import SMTPProfile
from smtp_settings.models.test_run import TestRun

__all__ = [
    "Auth",
    "Backoff",
    "DebugMode",
    "DeliveryMethod",
    "Event",
    "FileStyle",
    "FromPolicy",
    "IPVersion",
    "KeyCheck",
    "LineEnds",
    "Mechanism",
    "MinimumTLS",
    "NotificationSettings",
    "OAuthCredential",
    "OnUncertain",
    "Pipelining",
    "Priority",
    "SMTPProfile",
    "Security",
    "SendingPolicy",
    "SimulatedFailure",
    "TestRun",
    "Verification",
    "Whereabouts",
]
