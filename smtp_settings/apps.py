"""The settings app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SmtpSettingsConfig(AppConfig):
    """Names the app."""

    name = "smtp_settings"
    verbose_name = _("SMTP settings")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks, and who carries out a search."""
        from smtp_settings import checks  # noqa: F401, PLC0415  # models are needed first
        from smtp_settings.finding import searching  # noqa: PLC0415
        from smtp_settings.models import TestRun  # noqa: PLC0415
        from smtp_settings.test_send import carriers  # noqa: PLC0415

        carriers.provide(TestRun.Kind.SEARCH, searching.carry_out)
