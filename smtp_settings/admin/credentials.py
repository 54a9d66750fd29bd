"""The pages of OAuth credentials: the list, the form, and getting a token."""

from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters

from smtp_settings.admin import connecting
from smtp_settings.forms.credential import CredentialForm, stops_sentence
from smtp_settings.models import OAuthCredential, SMTPProfile
from smtp_settings.oauth import keeping, saving
from smtp_settings.oauth.standing import standing_of

#: What the list reads: no secret and no token, only whether there is one.
_TITLES = {
    "who": gettext_lazy("Provider"),
    "app": gettext_lazy("Application"),
    "mailbox": gettext_lazy("Account"),
}

_EDIT = (
    (_TITLES["who"], {"fields": ("name", "provider", "flow")}),
    (
        _TITLES["app"],
        {
            "fields": (
                "tenant", "client_id", "client_secret", "client_key", "remove_secret",
                "client_secret_expires_at", "scope", "token_url", "authorize_url",
            ),
        },
    ),
    (_TITLES["mailbox"], {"fields": ("account", "accepts_stop")}),
)  # fmt: skip
_VIEW = (
    (_TITLES["who"], {"fields": ("name", "provider", "flow")}),
    (
        _TITLES["app"],
        {"fields": ("tenant", "client_id", "secret_state", "client_secret_expires_at", "scope", "token_url")},
    ),
    (_TITLES["mailbox"], {"fields": ("account",)}),
)


def badge(credential: OAuthCredential) -> SafeString:
    """Return how a credential does, as a badge."""
    found = standing_of(credential, timezone.now())
    code = format_html(": <code>{}</code>", found.code) if found.code else ""
    return format_html('<span class="mc-badge {}">{}{}</span>', found.tone, found.phrase, code)


@admin.register(OAuthCredential)
class OAuthCredentialAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """Lists, edits and connects credentials."""

    form = CredentialForm
    empty_title = gettext_lazy("No OAuth credential yet")
    empty_text = gettext_lazy(
        "Some providers want OAuth 2.0 instead of a password, Microsoft 365 and Google among them."
    )
    list_display = ("name", "provider", "account_shown", "state", "used_by")
    list_display_links = ("name",)
    search_fields = ("name", "account", "client_id")
    actions = None
    readonly_fields = ("secret_state",)
    view_on_site = False
    change_form_template = "admin/smtp_settings/oauthcredential/change_form.html"

    # The list

    def get_queryset(self, request: HttpRequest) -> QuerySet[OAuthCredential]:
        """Read the names of the profiles along."""
        profiles = SMTPProfile.objects.only("name", "oauth_credential_id").order_by("name")
        return super().get_queryset(request).prefetch_related(Prefetch("profiles", queryset=profiles))

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Allow no lookup in the address: nothing about secrets (E20)."""
        return lookup in {"id", "pk", "id__exact"}

    @admin.display(description=gettext_lazy("Account"), ordering="account")
    def account_shown(self, credential: OAuthCredential) -> str:
        """Return the mailbox."""
        return credential.account or "-"

    @admin.display(description=gettext_lazy("State"))
    def state(self, credential: OAuthCredential) -> SafeString:
        """Return how it does."""
        return badge(credential)

    @admin.display(description=gettext_lazy("Used by"))
    def used_by(self, credential: OAuthCredential) -> SafeString | str:
        """Return links to the profiles."""
        links = [
            (reverse("admin:smtp_settings_smtpprofile_change", args=[profile.pk]), profile.name)
            for profile in credential.profiles.all()
        ]
        return format_html_join(", ", '<a href="{}">{}</a>', links) if links else "-"

    # The form

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:  # Any: as Django types it
        """Show inputs to those who may change, and values to those who may look."""
        may_edit = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        return _EDIT if may_edit else _VIEW

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:  # Any: the class made for this request
        """Tell the form who asks; its own fields are no columns."""
        kwargs["fields"] = [name for name in kwargs.get("fields") or saving.EDITED if name in saving.EDITED]
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        form.user = request.user
        return form

    @admin.display(description=gettext_lazy("Client secret"))
    def secret_state(self, credential: OAuthCredential) -> str:
        """Say whether a secret is saved, never anything of it."""
        return _("saved") if credential.client_secret is not None else _("None")

    @method_decorator(sensitive_post_parameters("client_secret", "client_key"))
    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Let Django handle the form; the gate is in the form."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except saving.StaleCredential:
            messages.error(request, _("Somebody changed this credential meanwhile. Nothing was saved."))
            return HttpResponseRedirect(request.get_full_path())

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add how it does, and what can be done."""
        credential: OAuthCredential | None = context.get("original")
        may_change = credential is not None and self.has_change_permission(request, credential)
        context |= {
            "badge": badge(credential) if credential else "",
            "standing": standing_of(credential, timezone.now()) if credential else None,
            "fault_words": credential.fault_words if credential and may_change else "",
            "may_get_token": may_change,
            "redirect_uri": connecting.redirect_uri(request),
            "is_browser": credential is not None and credential.flow == OAuthCredential.Flow.BROWSER,
            "is_connected": credential is not None and credential.refresh_token is not None,
            "used_by_names": [one.name for one in credential.profiles.all()] if credential else [],
            "title": credential.name if credential else context["title"],
            "subtitle": None,
            "show_save_and_add_another": False,
        }
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:  # Any: as Django's
        """Hand over to `saving`, which writes the secret with the token that was received."""
        entry = cast("CredentialForm", form).entry
        if entry is None:  # a form that passed has one
            raise PermissionDenied
        saving.save(entry, user=cast("User", request.user))
        if entry.stops_profiles and form.used_by:
            messages.warning(request, stops_sentence(form.used_by).rpartition(". ")[0] + ".")
        if entry.tokens is not None:
            messages.success(request, _("A token was received with these values."))
        elif obj.flow == OAuthCredential.Flow.BROWSER and obj.refresh_token is None:
            messages.info(request, _("Saved. Now choose “Connect…” and sign in as the mailbox."))

    def response_add(
        self, request: HttpRequest, obj: OAuthCredential, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Stay with a credential that somebody has to sign in for."""
        if obj.flow == OAuthCredential.Flow.BROWSER and "_popup" not in request.POST:
            return HttpResponseRedirect(reverse("admin:smtp_settings_oauthcredential_change", args=[obj.pk]))
        return super().response_add(request, obj, post_url_continue)

    # Deleting

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Refuse while a profile signs in with it."""
        credential = self.get_object(request, unquote(object_id))
        if credential is None or not self.has_delete_permission(request, credential):
            return super().delete_view(request, object_id, extra_context)
        names = [profile.name for profile in credential.profiles.all()]
        if not names:
            return super().delete_view(request, object_id, extra_context)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Not deleted"),
            "object": credential,
            "sentence": _("This credential cannot be deleted: %(names)s sign in with it.")
            % {"names": ", ".join(names)},
            "profiles": credential.profiles.all(),
        }
        return TemplateResponse(request, "admin/smtp_settings/oauthcredential/delete_refused.html", context)

    def delete_model(self, request: HttpRequest, obj: OAuthCredential) -> None:
        """Delete it, and write down who did."""
        with transaction.atomic():
            keeping.record("oauth.deleted", obj, level="warning", user_id=request.user.pk)
            super().delete_model(request, obj)

    def get_urls(self) -> list[URLPattern]:
        """Add the sign-in and the token."""
        return [*connecting.urls(self), *super().get_urls()]
