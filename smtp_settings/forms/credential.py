"""The form of an OAuth credential: values made whole, the secret that is meant, and the gate.

As with profiles nothing new goes live untested: where the secret or what it is for is new, the form asks the
provider for a token, and is refused with the provider's words when there is none.
"""

from datetime import datetime, time
from typing import Any, ClassVar, cast

from django import forms
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from smtp_settings import sealing
from smtp_settings.entries import judges
from smtp_settings.forms.inputs import machine_text
from smtp_settings.forms.showing import MASK
from smtp_settings.models import OAuthCredential
from smtp_settings.oauth import saving
from smtp_settings.oauth.asking import opened
from smtp_settings.oauth.providers import FLOWS, check_tenant, endpoints_of
from smtp_settings.oauth.words import explanation_of, reply_of
from smtp_settings.sealing import Secret
from transports.errors import TransportError
from transports.oauth_assertions import certificate_ends, facts_of_service_account, is_key
from transports.posting import parse_url

Provider, Flow = OAuthCredential.Provider, OAuthCredential.Flow

#: A key with its certificate has about four thousand characters, Google's file two.
_LONGEST = 12_000

_NOT_OFFERED = {"autocomplete": "off", "data-1p-ignore": "", "data-lpignore": "true", "data-bwignore": ""}


class CredentialForm(forms.ModelForm):  # type: ignore[type-arg]  # ModelForm is not generic at run time
    """Edits one credential. `user` is set on the subclass the admin makes for one request."""

    #: Who fills the form in.
    user: ClassVar[User]

    client_secret = forms.CharField(
        label=gettext_lazy("Client secret"),
        required=False,
        strip=True,
        max_length=1024,
        widget=forms.PasswordInput(
            attrs={"class": "vTextField", **_NOT_OFFERED, "autocomplete": "new-password"}
        ),
    )
    client_key = forms.CharField(
        label=gettext_lazy("Or a key"),
        required=False,
        strip=True,
        max_length=_LONGEST,
        help_text=gettext_lazy(
            "In place of a secret: a private key with its certificate in PEM form, or the JSON file of a "
            "service account. It is not shown again."
        ),
        widget=forms.Textarea(attrs=machine_text("vLargeTextField") | _NOT_OFFERED | {"rows": 3}),
    )
    remove_secret = forms.BooleanField(label=gettext_lazy("Remove the saved secret"), required=False)
    accepts_stop = forms.BooleanField(
        label=gettext_lazy("Stop these profiles until each has passed a test"), required=False
    )
    client_secret_expires_at = forms.DateField(
        label=gettext_lazy("Client secret expires"),
        required=False,
        help_text=gettext_lazy(
            "The provider does not tell. Enter the day, and you are reminded 30 days before."
        ),
        widget=forms.DateInput(attrs={"type": "date", "class": "vTextField"}, format="%Y-%m-%d"),
    )
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = OAuthCredential
        fields = saving.EDITED
        widgets = {
            "provider": forms.RadioSelect,
            "flow": forms.RadioSelect,
            "tenant": forms.TextInput(attrs=machine_text() | {"placeholder": "contoso.onmicrosoft.com"}),
            "client_id": forms.TextInput(attrs=machine_text() | {"autocomplete": "off"}),
            "scope": forms.TextInput(attrs=machine_text()),
            "token_url": forms.TextInput(attrs=machine_text() | {"placeholder": "https://"}),
            "authorize_url": forms.TextInput(attrs=machine_text() | {"placeholder": "https://"}),
            "account": forms.TextInput(attrs=machine_text() | {"placeholder": "shop@example.com"}),
        }
        help_texts: ClassVar = {
            "flow": gettext_lazy(
                "With a browser a person agrees once; application only: an administrator of the provider's "
                "directory has agreed."
            ),
            "tenant": gettext_lazy("The id or a domain of the directory. Empty: whoever signs in brings it."),
            "client_id": gettext_lazy(
                "Microsoft: “Application (client) ID”. For a service account its email address."
            ),
            "scope": gettext_lazy("What the token is for; several are separated by spaces."),
            "account": gettext_lazy(
                "The mailbox that sends. Empty with a sign-in by browser: whoever signs in first."
            ),
        }
        error_messages: ClassVar = {"name": {"required": gettext_lazy("Enter a name.")}}

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: ModelForm's own signature
        super().__init__(*args, **kwargs)
        pk = self.instance.pk
        #: The row as it is in the database; None for a new one.
        self.saved = OAuthCredential.objects.filter(pk=pk).first() if pk else None
        #: The profiles that sign in with it.
        self.used_by: list[str] = (
            list(self.saved.profiles.order_by("name").values_list("name", flat=True)) if self.saved else []
        )
        #: What passed every check, to be saved.
        self.entry: saving.Entry | None = None
        if not self.is_bound:
            self.initial["version"] = self.instance.version
        if (ends_at := self.instance.client_secret_expires_at) is not None:
            self.initial["client_secret_expires_at"] = timezone.localdate(ends_at)
        for name, choices, usual in (
            ("provider", Provider.choices, Provider.MICROSOFT),
            ("flow", Flow.choices, Flow.APPLICATION),
        ):
            if name in self.fields:
                cast("forms.TypedChoiceField", self.fields[name]).choices = choices  # no dashes among radios
                if self.saved is None and not self.initial.get(name):
                    self.initial[name] = usual
        if "client_id" in self.fields:
            self.fields["client_id"].required = False  # a service account's file tells it
        self._describe()

    def _describe(self) -> None:
        """Say what depends on the row."""
        has_secret = self.saved is not None and self.saved.client_secret is not None
        if not has_secret and "remove_secret" in self.fields:
            self.fields["remove_secret"].widget = forms.HiddenInput()
        if has_secret and "client_secret" in self.fields:
            self.fields["client_secret"].widget.attrs["placeholder"] = _("%(mask)s saved") % {"mask": MASK}
            self.fields["client_secret"].help_text = _kept(cast("OAuthCredential", self.saved))
        if "accepts_stop" not in self.fields:
            return
        if self.used_by:
            self.fields["accepts_stop"].help_text = _(
                "Only needed for another provider, flow, tenant, client ID, scope, token URL or account."
            )
        else:
            self.fields["accepts_stop"].widget = forms.HiddenInput()

    # Checks

    def clean(self) -> dict[str, Any]:  # Any: values of every field
        """Make the values whole: what the provider fixes is filled in, what is not used is emptied."""
        data: dict[str, Any] = super().clean() or self.cleaned_data  # Any: as above
        if (day := data.get("client_secret_expires_at")) is not None:
            data["client_secret_expires_at"] = timezone.make_aware(datetime.combine(day, time()))
        provider, flow = data.get("provider"), data.get("flow")
        if not provider or not flow:
            return data
        if flow not in FLOWS[provider]:
            names = ", ".join(f"“{Flow(one).label}”" for one in FLOWS[provider])
            self.add_error("flow", _("This provider has: %(names)s.") % {"names": names})
            return data
        self._judge("tenant", lambda text: check_tenant(text or "", provider=provider, flow=flow))
        self._judge("account", lambda text: judges.JUDGES["from_address"](text) if text else "")
        self._fill_addresses(data, provider, flow)
        self._fill_from_key(data)
        if not data.get("client_id"):
            self.add_error("client_id", _("Enter the client ID."))
        if flow == Flow.SERVICE_ACCOUNT and not data.get("account"):
            self.add_error("account", _("Enter the mailbox that the service account speaks for."))
        if self.saved is not None and data.get("version") != self.saved.version:
            self.add_error(None, _("Somebody changed this credential after you opened it. Open it again."))
        return data

    def _judge(self, name: str, judge: Any) -> None:  # Any: a text and its canonical form
        try:
            self.cleaned_data[name] = judge(self.cleaned_data.get(name))
        except ValidationError as error:
            self.add_error(name, error)

    def _fill_addresses(self, data: dict[str, Any], provider: str, flow: str) -> None:  # Any: as above
        known = endpoints_of(provider, flow, tenant=data.get("tenant") or "")
        if known is not None:
            data.update(token_url=known.token_url, authorize_url=known.authorize_url, scope=known.scope)
            return
        self._judge("token_url", _address)
        if flow == Flow.BROWSER:
            self._judge("authorize_url", _address)
        else:
            data["authorize_url"] = ""

    def _fill_from_key(self, data: dict[str, Any]) -> None:  # Any: as above
        """Take from a key what it tells: whose it is, and when its certificate ends."""
        text = data.get("client_key") or ""
        if not text:
            return
        if data.get("client_secret"):
            self.add_error("client_key", _("Enter a client secret or a key, not both."))
            return
        key = Secret(text)
        facts = facts_of_service_account(key)
        if not facts and not is_key(key):
            self.add_error("client_key", _("This is no key in PEM form, and no file of a service account."))
        if facts:
            data["client_id"] = data.get("client_id") or facts["client_email"]
        if (ends_at := certificate_ends(key)) is not None:
            data["client_secret_expires_at"] = ends_at

    # The gate

    def full_clean(self) -> None:
        """Check everything; then, where something new would go live, get a token with it."""
        super().full_clean()
        if not self.is_bound or self.errors:
            return
        try:
            entry = saving.entry_of(
                self.instance,
                self.saved,
                typed=self._typed(),
                remove=bool(self.cleaned_data["remove_secret"]),
            )
        except (ValidationError, sealing.SealingError) as error:
            self.add_error("client_secret", error if isinstance(error, ValidationError) else str(error))
            return
        if entry.stops_profiles and self.used_by and not self.cleaned_data.get("accepts_stop"):
            self.add_error("accepts_stop", stops_sentence(self.used_by))
            return
        try:
            self.entry = saving.tried(entry)
        except TransportError as error:
            self.add_error(None, no_token(error, self.instance))
        except sealing.SealingError as error:
            self.add_error("client_secret", str(error))

    def _typed(self) -> Secret | None:
        text = self.cleaned_data.get("client_key") or self.cleaned_data.get("client_secret") or ""
        return Secret(text) if text else None


def stops_sentence(names: list[str]) -> str:
    """Say which profiles stop."""
    return ngettext(
        "%(n)d profile signs in with this credential: %(names)s. It stops sending until it has passed a "
        "test. Tick this if that is meant.",
        "%(n)d profiles sign in with this credential: %(names)s. They stop sending until each has passed a "
        "test. Tick this if that is meant.",
        len(names),
    ) % {"n": len(names), "names": ", ".join(names)}


def no_token(error: TransportError, credential: OAuthCredential) -> SafeString:
    """Say why no token was received: the cause, what to try, the provider's own words."""
    found = explanation_of(error, credential)
    said = reply_of(error)
    return format_html(
        "{} {} {}{}",
        _("Not saved: no token was received."),
        found.cause,
        " ".join(found.advice),
        format_html(" <code>{}</code>", said) if said else "",
    )


def _address(text: str | None) -> str:
    try:
        parse_url(text or "", allow_http=settings.MAILCONF_OAUTH_ALLOW_HTTP)
    except ValueError as error:
        raise ValidationError(
            _("Enter an address that begins with https://, without a user name.")
        ) from error
    return text or ""


def _kept(saved: OAuthCredential) -> str:
    try:
        opened(saved, "client_secret")
    except sealing.SealingError:
        return _("The saved secret cannot be read with the current key. Enter it again.")
    if saved.secret_set_at is None:
        return _("Leave empty to keep the saved secret. Enter a new one to replace it.")
    day = date_format(timezone.localtime(saved.secret_set_at), "j F Y")
    who = saved.secret_set_by.get_username() if saved.secret_set_by else _("somebody")
    return _(
        "Leave empty to keep the saved secret (set %(day)s by %(who)s). Enter a new one to replace it."
    ) % {"day": day, "who": who}
