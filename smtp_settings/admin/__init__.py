"""The pages of the settings: profiles with their test panel, test runs and the event log."""

from smtp_settings.admin.credentials import OAuthCredentialAdmin
from smtp_settings.admin.policy.admin import SendingPolicyAdmin
from smtp_settings.admin.profiles import SMTPProfileAdmin
from smtp_settings.admin.records.events import EventAdmin
from smtp_settings.admin.records.test_runs import TestRunAdmin

__all__ = ["EventAdmin", "OAuthCredentialAdmin", "SMTPProfileAdmin", "SendingPolicyAdmin", "TestRunAdmin"]
