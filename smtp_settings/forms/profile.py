"""The profile form: checks across fields, the secret that is meant, and the gate on every way of saving."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from smtp_settings import sealing
from smtp_settings.clearance import activation
from smtp_settings.clearance.candidate import NO_SECRET, EffectiveSecret, required_secret, settings_of
from smtp_settings.clearance.standing import UNREADABLE
from smtp_settings.clearance.verdicts import refusal
from smtp_settings.entries import rules
from smtp_settings.fingerprint import changed_fields, uses_secret
from smtp_settings.forms.acts import Act
from smtp_settings.forms.fields import MINIMUM_REASON, ProfileFields
from smtp_settings.forms.sentences import as_text
from smtp_settings.forms.texts import allowed_ports
from smtp_settings.gate import Reason, Verdict
from smtp_settings.hints import Known, stops
from smtp_settings.models import Auth, DeliveryMethod, SMTPProfile, TestRun
from smtp_settings.sealing import Secret
from smtp_settings.secret_source import PasswordMissing, PasswordNeeded, SecretSource

#: What is said of the password of a test when the settings have changed since.
ENTERED_FOR_OTHERS = gettext_lazy("Enter the password again: the tested one was entered for other settings.")


@dataclass(frozen=True)
class Conflict:
    """One field two people changed: the saved value and the one in the form, as text."""

    label: str
    saved: str
    entered: str


#: What a new profile has in its columns.
_EMPTY = settings_of(SMTPProfile())


class ProfileForm(ProfileFields):
    """Edits one profile.

    The order is: fields (`ProfileFields`), `clean` (checks across fields), Django builds the candidate row,
    then `full_clean` finds the candidate's secret and asks the gate. What a save writes is `activation`'s.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: ModelForm's own signature
        super().__init__(*args, **kwargs)
        #: The secret the candidate signs in with, and where it comes from.
        self.effective: EffectiveSecret = NO_SECRET
        #: What two people changed, after a refused save.
        self.conflicts: list[Conflict] = []
        #: What the gate said, when it was asked.
        self.verdict: Verdict | None = None
        #: What a save did beside saving, for people.
        self.notes: list[str] = []

    # Across fields

    def clean(self) -> dict[str, Any]:  # Any: values of every field
        """Check what needs more than one field."""
        data = super().clean()
        self._drop_unused(data)
        if self.act is Act.DRAFT:
            data["enabled"] = False
        for rule in rules.broken(data, is_draft=self.act is Act.DRAFT):
            self.add_error(rule.field, str(rule.sentence))
        if self.act is not Act.DRAFT:
            self._check_port(data)
        if self.act not in (Act.TEST, Act.CHECK):
            self._check_version(data)
        if self.act is Act.ANYWAY and len(data.get("anyway_reason", "").strip()) < MINIMUM_REASON:
            self.add_error("anyway_reason", _("Say in at least 10 characters why no test can be made."))
        return data

    def _drop_unused(self, data: dict[str, Any]) -> None:
        """Clear what the chosen method and sign-in do not use, so that no hidden value is saved (trap 14)."""
        self._drop_other_methods(data)
        if data.get("transport") == DeliveryMethod.SMTP:
            if data.get("auth") != Auth.PASSWORD:
                data.update(password=None)
            if data.get("auth") == Auth.NONE:
                data.update(username="")
        if data.get("auth") != Auth.OAUTH2:
            data["oauth_credential"] = None
        if not rules.signs_in_clear(data.get("security"), data.get("auth")):
            data["accepts_clear_auth"] = False
        if not rules.goes_unverified(data.get("verification"), data.get("security")):
            data["accepts_unverified"] = False

    def _drop_other_methods(self, data: dict[str, Any]) -> None:
        """Put what only other methods use at its default, and forget what was wrong with it."""
        method = str(data.get("transport", ""))
        for name in rules.unused_by(method, role=bool(data.get("uses_machine_role"))):
            if name in self.fields:
                data[name] = None if name == "password" else _EMPTY[name]
                self.errors.pop(name, None)
        if method and method != DeliveryMethod.SMTP:
            data["auth"] = Auth.NONE

    def _check_port(self, data: dict[str, Any]) -> None:
        """Refuse a port this installation does not let profiles use; a draft may hold it (E24)."""
        port = data.get("port")
        if port not in range(1, 65536):
            return  # the row's own check says so
        values = {"transport": str(data.get("transport", "")), "port": str(port)}
        for stop in stops(values, Known(allowed_ports=allowed_ports())):
            if stop.field == "port":
                self.add_error("port", stop.sentence)

    def _check_version(self, data: dict[str, Any]) -> None:
        """Refuse to overwrite what somebody else saved after this page was opened (E14)."""
        if self.saved is None or data.get("version") == self.saved.version:
            return
        self.conflicts = list(self._differences(data))
        who = self.saved.changed_by
        self.add_error(
            None,
            _(
                "%(who)s changed this profile at %(when)s, after you opened it. Your entries are below, the "
                "saved values next to them."
            )
            % {
                "who": who.get_username() if who else _("Somebody"),
                "when": date_format(timezone.localtime(self.saved.changed_at), "H:i"),
            },
        )

    def _differences(self, data: dict[str, Any]) -> Iterable[Conflict]:
        """Yield the fields whose saved value is not the entered one."""
        for name, field in self.fields.items():
            if name in self.NOT_SAVED or name not in data or not _is_column(name):
                continue
            saved = getattr(self.saved, name)
            if saved != data[name]:
                label = str(field.label or name)
                yield Conflict(label[:1].upper() + label[1:], as_text(saved), as_text(data[name]))

    # The candidate: its secret, and the gate

    def full_clean(self) -> None:
        """Check everything, then find the candidate's secret and ask the gate about both."""
        super().full_clean()
        if not self.is_bound or self.errors:
            return
        if self.saved is None and self.carried_run is not None:
            self.instance.uuid = (
                self.carried_run.profile_uuid
            )  # fingerprint and secret of a new profile are bound to it
        try:
            self.effective = self._find_secret()
            if not self.errors:
                self._ask_the_gate()
        except sealing.SealingError as error:
            self.add_error("password" if "password" in self.fields else None, str(error))

    def _find_secret(self) -> EffectiveSecret:
        """Return the secret that is meant; what is missing becomes an error, and a draft does without."""
        try:
            return self._meant_secret()
        except PasswordMissing as missing:
            found, sentence = NO_SECRET, str(missing)
            if isinstance(missing, PasswordNeeded):
                self.notes.append(_("The saved password was not kept: it was entered for other settings."))
        except sealing.SealingError:
            found = EffectiveSecret(SecretSource.STORED)  # a draft leaves it as it is
            sentence = str(UNREADABLE)
        if self.act is not Act.DRAFT:
            self._name_the_change()
            self.add_error("password", sentence)
        return found

    def _name_the_change(self) -> None:
        """Say first what was changed after the test, when that is why there is no password to save with."""
        run = self.carried_run
        if self.act is not Act.SAVE or run is None or run.state != TestRun.State.PASSED:
            return
        if changed := changed_fields(run.settings, settings_of(self.instance)):
            self.verdict = Verdict(Reason.STALE, changed)
            self.add_error(None, ValidationError(refusal(self.verdict), code="gate"))

    def _meant_secret(self) -> EffectiveSecret:
        """Return the secret that was typed, tested, kept, or is not needed."""
        typed: Secret | None = self.cleaned_data.get("password")
        was_typed = self.cleaned_data.get("_password_typed")
        if was_typed and not typed and uses_secret(settings_of(self.instance)):
            raise PasswordMissing(_("Enter the password again."))
        remove = bool(self.cleaned_data.get("remove_password"))
        try:
            return required_secret(self.instance, typed=typed, remove=remove, run=self.carried_run)
        except PasswordNeeded:
            raise
        except PasswordMissing:
            if remove or self.carried_run is None or self.carried_run.secret is None:
                raise
            raise PasswordMissing(str(ENTERED_FOR_OTHERS)) from None

    def _ask_the_gate(self) -> None:
        """Refuse an ordinary save of untested settings, whatever button names were posted."""
        if self.held_back:
            self.add_error(None, ValidationError("", code="held_back"))
        elif self.act is Act.SAVE:
            self.verdict = activation.verdict_for(self.instance, self.effective.secret, user_id=self.user.pk)
            if not self.verdict.is_open:
                self.add_error(None, ValidationError(refusal(self.verdict), code="gate"))


def _is_column(name: str) -> bool:
    """Whether a field of the form is an ordinary column of the row."""
    return name not in ("password", "remove_password", "sites") and hasattr(SMTPProfile, name)
