"""OAuth credentials: how profiles get access tokens."""

import uuid

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from smtp_settings.fields import SealedField


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
