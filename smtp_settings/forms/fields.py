"""The fields of the profile form: how each is shown, and what may be typed into it."""

import copy
from collections.abc import Callable
from typing import Any, ClassVar, cast
from uuid import UUID

from django import forms
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.contrib.sites.models import Site
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy

from smtp_settings import methods
from smtp_settings.advice.notes import Note, password_note
from smtp_settings.entries import judges, pasted
from smtp_settings.entries.rules import AVAILABLE_AUTH, AVAILABLE_METHODS
from smtp_settings.forms.acts import Act
from smtp_settings.forms.bound import RowField
from smtp_settings.forms.inputs import (
    ListField,
    ReplyRulesField,
    SomeUnavailable,
    SomeUnavailableRadio,
    machine_text,
)
from smtp_settings.forms.presets import AboutPreset, Filled, PresetSelect, about, preset_choices
from smtp_settings.forms.showing import describe
from smtp_settings.forms.texts import from_header
from smtp_settings.gate import EVIDENCE_AGE
from smtp_settings.models import SMTPProfile, TestRun
from smtp_settings.sealing import Secret
from smtp_settings.test_send import recipients_for

#: The shortest reason for saving without a test.
MINIMUM_REASON = 10


class ProfileFields(forms.ModelForm):  # type: ignore[type-arg]  # ModelForm is not generic at run time
    """Edits one profile. The class attributes are set on the subclass the admin makes for one request."""

    #: Who fills the form in.
    user: ClassVar[User]
    #: What was asked for.
    act: ClassVar[Act] = Act.SAVE
    #: The test this very request made: the page carries it from now on.
    fresh_run: ClassVar[TestRun | None] = None
    #: True on the pass that shows a finished test: valid or not, nothing may be saved (trap 6).
    held_back: ClassVar[bool] = False

    #: What a button for filling in has just done; None for nothing.
    filled: ClassVar[Filled | None] = None

    #: The fields that the cause of the shown test names.
    named: frozenset[str] = frozenset()

    #: Knows what its row says around it.
    bound_field_class = RowField

    preset = forms.ChoiceField(
        label=gettext_lazy("Provider preset"), required=False, choices=preset_choices, widget=PresetSelect
    )
    preset_region = forms.CharField(label=gettext_lazy("Region"), required=False, max_length=60)
    _preset_before = forms.CharField(required=False, max_length=50, widget=forms.HiddenInput)
    password = forms.CharField(
        label=gettext_lazy("Password"),
        required=False,
        strip=False,
        widget=forms.PasswordInput(
            attrs={
                "class": "vTextField",
                "autocomplete": "new-password",
                "data-1p-ignore": "",
                "data-lpignore": "true",
                "data-bwignore": "",
            }
        ),
    )
    remove_password = forms.BooleanField(label=gettext_lazy("Remove the saved password"), required=False)
    debug_recipients = ListField(
        label=gettext_lazy("Debug recipients"),
        help_text=gettext_lazy(
            "Copies of every message go here, password resets too. Separate addresses with commas."
        ),
        widget=forms.TextInput(attrs=machine_text() | {"placeholder": "qa@example.com"}),
    )
    sender_domains = ListField(
        label=gettext_lazy("Sender domains"),
        help_text=gettext_lazy(
            "Only for messages whose sender is in one of these domains. Empty: every sender."
        ),
        widget=forms.TextInput(attrs=machine_text()),
    )
    classification_overrides = ReplyRulesField(
        label=gettext_lazy("Rules about replies"),
        help_text=mark_safe(  # noqa: S308  # it holds markup, and nothing that anybody entered
            gettext_lazy(
                "For refusals this server means in its own way; the first rule that fits decides. One rule a "
                "line: stage, code, if wanted an enhanced code and words of the reply, an arrow, the "
                "meaning: retry, fail, another_server, too_many_connections, server_trouble or pause, with a "
                "wait if wanted. "
                'Example: <code>rcpt 450 4.2.1 "mailbox busy" -&gt; retry 10m</code>'
            )
        ),
        widget=forms.Textarea(attrs=machine_text("vLargeTextField") | {"rows": 5}),
    )
    sites = forms.ModelMultipleChoiceField(
        queryset=Site.objects.order_by("domain"),
        required=False,
        label=gettext_lazy("Sites"),
        help_text=gettext_lazy("None ticked: every site."),
        widget=forms.CheckboxSelectMultiple,
    )
    notify_user = forms.ModelChoiceField(
        queryset=get_user_model()._default_manager.filter(is_active=True, is_staff=True),
        required=False,
        label=gettext_lazy("Notify user"),
        help_text=gettext_lazy("Told when a message is given up or the server pauses."),
    )
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)
    _test_run = forms.UUIDField(required=False, widget=forms.HiddenInput)
    _password_typed = forms.BooleanField(required=False, widget=forms.HiddenInput)
    test_to = ListField(
        label=gettext_lazy("Send the test email to"),
        widget=forms.TextInput(attrs=machine_text()),
    )
    anyway_reason = forms.CharField(
        label=gettext_lazy("Why can no test be made?"),
        required=False,
        max_length=500,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
    )

    #: Part of the page, not of the profile.
    NOT_SAVED = frozenset(
        {
            "version", "_test_run", "_password_typed", "_preset_before", "preset_region", "test_to",
            "anyway_reason",
        }
    )  # fmt: skip

    class Meta:
        model = SMTPProfile
        fields = ()  # the admin names them
        widgets = {
            "transport": SomeUnavailable(AVAILABLE_METHODS),
            "security": forms.RadioSelect,
            "auth": SomeUnavailableRadio(AVAILABLE_AUTH),
            "priority": forms.RadioSelect,
            "from_policy": forms.RadioSelect,
            "backoff": forms.RadioSelect,
            "on_uncertain": forms.RadioSelect,
            "verification": forms.RadioSelect,
            "ip_version": forms.RadioSelect,
            "host": forms.TextInput(attrs=machine_text() | {"placeholder": "smtp.example.com"}),
            "port": forms.NumberInput(attrs={"min": 1, "max": 65535, "inputmode": "numeric"}),
            "username": forms.TextInput(attrs=machine_text() | {"autocomplete": "off"}),
            "from_address": forms.TextInput(attrs=machine_text() | {"placeholder": "shop@example.com"}),
            "reply_to": forms.TextInput(attrs=machine_text()),
            "bounce_address": forms.TextInput(attrs=machine_text()),
            "program": forms.TextInput(attrs=machine_text()),
            "program_arguments": forms.TextInput(attrs=machine_text()),
            "line_ends": forms.RadioSelect,
            "directory": forms.TextInput(attrs=machine_text() | {"placeholder": "/srv/mail/pickup"}),
            "file_style": forms.RadioSelect,
            "api_domain": forms.TextInput(attrs=machine_text() | {"placeholder": "mg.example.com"}),
            "region": forms.TextInput(attrs=machine_text()),
            "configuration_set": forms.TextInput(attrs=machine_text()),
            "ca": forms.Textarea(attrs={"rows": 5, "spellcheck": "false"}),
            "notes": forms.Textarea(attrs={"rows": 4}),
        }
        error_messages: ClassVar = {"name": {"required": gettext_lazy("Enter a name.")}}
        help_texts: ClassVar = {
            "priority": gettext_lazy("Used after the default server, High first."),
            "from_address": gettext_lazy("Must be an address this account may send as."),
            "from_policy": gettext_lazy(
                "With “Always this one” the address a message came with becomes its Reply-to."
            ),
            "reply_to": gettext_lazy("Where answers go when a message does not say."),
            "subject_prefix": gettext_lazy("Put before every subject, once."),
            "ca": gettext_lazy("In PEM form, for a server whose certificate your own authority has signed."),
            "source_address": gettext_lazy("One of this machine's addresses. Empty: the system chooses."),
            "program": gettext_lazy("One of those the operator allows."),
            "program_arguments": gettext_lazy("Usually none: sender and recipients are added."),
            "line_ends": gettext_lazy("Of the message that the program is given."),
            "directory": gettext_lazy("As the worker sees it. Files appear in it whole or not at all."),
            "region": mark_safe(  # noqa: S308  # our own markup: profile.css shows the method's own sentence
                format_lazy(
                    '<span class="mc-of is-mailgun">{}</span> <span class="mc-of is-ses">{}</span>',
                    gettext_lazy("us or eu: where the domain was made."),
                    gettext_lazy("Such as eu-west-1."),
                )
            ),
            "uses_machine_role": gettext_lazy("No key is stored; the role must be allowed to send email."),
            "ehlo_name": gettext_lazy("The name given to the server. Empty: this machine's address."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: ModelForm's own signature
        super().__init__(*args, **kwargs)
        if self.is_bound:
            self.data = taken_apart(self.data)
        #: What is worth knowing about the present values, as HTML by field; the page fills it in.
        self.hints: dict[str, SafeString] = {}
        #: The row as it is in the database; None while it is not there.
        self.saved: SMTPProfile | None = copy.copy(self.instance) if self.instance.pk else None
        if "preset" in self.fields and self.instance.preset:
            self._keep_preset(self.instance.preset)
        if self.saved is None or self.saved.is_draft:
            self.initial["enabled"] = True
        self.initial["version"] = self.instance.version
        self.initial["_preset_before"] = self.instance.preset
        if "subject_prefix" in self.fields:
            cast("forms.CharField", self.fields["subject_prefix"]).strip = False  # its last space counts
        describe(self)

    def _keep_preset(self, key: str) -> None:
        """Offer the saved preset though nobody knows it any more: it came from a file that is gone."""
        field = cast("forms.ChoiceField", self.fields["preset"])
        if not field.valid_value(key):
            field.choices = [*preset_choices(), (key, key)]

    @property
    def about_preset(self) -> AboutPreset | None:
        """What to say of the chosen provider."""
        return about(str(self["preset"].value() or ""), str(self["host"].value() or ""))

    @property
    def is_in_container(self) -> bool:
        """Whether this machine's own programs and directories are out of sight."""
        return methods.is_in_container()

    @property
    def reminder(self) -> Note | None:
        """What to say of a password in use for too long."""
        return password_note(self.saved, timezone.now()) if self.saved is not None else None

    @property
    def from_header(self) -> str:
        """The From header as recipients see it."""
        return from_header({name: str(self[name].value() or "") for name in ("from_address", "from_name")})

    @property
    def media(self) -> forms.Media:
        """Nothing: the page loads its own scripts, and Django would ask each of seventy widgets for some."""
        return forms.Media()

    def is_kept(self, name: str) -> bool:
        """Whether an empty field keeps what is there: a saved or a just tested password."""
        if name != "password":
            return False
        run = self.carried_run
        if run is not None and run.secret is not None:
            return True
        return self.saved is not None and self.saved.password is not None

    @cached_property
    def carried_run(self) -> TestRun | None:
        """Return the run the page names: this user's own, of this profile, and not too old."""
        if self.fresh_run is not None:
            return self.fresh_run
        try:
            uuid = UUID(self.data.get("_test_run", ""))
        except ValueError:
            return None
        runs = TestRun.objects.filter(
            uuid=uuid, user=self.user, created_at__gte=timezone.now() - EVIDENCE_AGE
        )
        if self.saved is not None:
            return runs.filter(profile_uuid=self.saved.uuid).first()
        return runs.exclude(profile_uuid__in=SMTPProfile.objects.values("uuid")).first()

    @property
    def changed_data(self) -> list[str]:
        """Leave the page's own fields out of what counts as a change."""
        return [name for name in super().changed_data if name not in self.NOT_SAVED]

    # One field at a time

    def clean(self) -> dict[str, Any]:
        """Make each value canonical, or refuse it where it stands."""
        data: dict[str, Any] = super().clean() or self.cleaned_data  # Any: values of every field
        own: dict[str, Callable[[Any], Any]] = {  # Any: as `_replace`
            "test_to": judges.addresses,
            "password": self._password,
        }
        for name, judge in {**judges.JUDGES, **own}.items():
            if data.get(name):
                self._replace(name, judge)
        if data.get("test_to") is not None and self.act is Act.TEST:
            self._replace("test_to", lambda typed: recipients_for(self.user, typed))
        return data

    def _password(self, text: str) -> Secret | None:
        meant = pasted.password(judges.password(text), str(self.cleaned_data.get("host") or ""))
        return Secret(meant) if meant else None

    def _replace(self, name: str, judge: Callable[[Any], Any]) -> None:  # Any: a value and its canonical form
        try:
            self.cleaned_data[name] = judge(self.cleaned_data[name])
        except ValidationError as error:
            self.add_error(name, error)


def taken_apart(data: Any) -> Any:  # Any: QueryDict, or what a test passes
    """Return submitted values with a server pasted together with its port in both fields."""
    server = pasted.server(str(data.get("host", "")))
    data = data.copy()
    data["host"] = server.host
    if server.port:
        data["port"] = server.port
    return data
