"""Test runs: what was tried, and so the gate's evidence."""

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from smtp_settings.fields import SealedField
from smtp_settings.gate import RunState
from smtp_settings.models.profile import SMTPProfile


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
