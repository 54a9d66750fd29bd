"""The sending policy, for all sites and for each that differs."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.sites.models import Site
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _


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
