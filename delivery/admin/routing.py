"""The routing simulator's page: which server would take a message now, and why each other would not.

A question is an address: nothing is handed over, and a link to an answer can be passed on.
"""

from collections.abc import Sequence
from email.utils import parseaddr
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib.sites.models import Site
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from delivery import stats
from delivery.admin.blind import Blind
from delivery.admin.waiting import lines
from delivery.composing import readable
from delivery.fitting import MEGABYTE, Size
from delivery.models import Message, MessagePriority
from delivery.simulator import Question, Simulation, simulate
from delivery.waiting_words import Telling
from delivery.waiting_words.telling import count
from smtp_settings.models import SMTPProfile

PERMISSION = "smtp_settings.view_smtpprofile"
_MOST_MB = 10_000


class RouteForm(forms.Form):
    """What would be handed over. Choices are given, so that the page reads each table once."""

    sender = forms.EmailField(
        label=gettext_lazy("From address"),
        max_length=254,
        error_messages={"required": gettext_lazy("Enter the address it is from.")},
    )
    site = forms.TypedChoiceField(label=gettext_lazy("Site"), required=False, coerce=int, empty_value=None)
    priority = forms.TypedChoiceField(
        label=gettext_lazy("Priority"),
        required=False,
        coerce=int,
        choices=MessagePriority.choices,
        empty_value=MessagePriority.NORMAL.value,  # type: ignore[arg-type]  # the stubs: a str or None
    )
    profile = forms.TypedChoiceField(
        label=gettext_lazy("Only through"), required=False, coerce=int, empty_value=None
    )
    size = forms.FloatField(
        label=gettext_lazy("Attachments, MB"), required=False, min_value=0, max_value=_MOST_MB
    )

    def __init__(
        self, asked: QueryDict | None, *, sites: Sequence[Site], profiles: Sequence[SMTPProfile]
    ) -> None:
        default = next((one.from_address for one in profiles if one.is_default), "")
        initial = {"priority": MessagePriority.NORMAL.value, "sender": default}
        super().__init__(asked, initial=initial, label_suffix="")
        of_sites = [("", _("No site")), *((str(site.pk), site.domain) for site in sites)]
        of_profiles = [("", _("Any that may")), *((str(one.pk), one.name) for one in profiles)]
        self.fields["site"].choices = of_sites  # type: ignore[attr-defined]  # of a choice field
        self.fields["profile"].choices = of_profiles  # type: ignore[attr-defined]  # of a choice field

    def question(self) -> Question:
        """Return the question of a valid form."""
        given = self.cleaned_data
        return Question(
            from_address=given["sender"],
            site_id=given["site"],
            priority=given["priority"],
            profile_id=given["profile"],
            size=None if given["size"] is None else Size(*(2 * [round(given["size"] * MEGABYTE)])),
        )


def context_for(asked: QueryDict) -> dict[str, Any]:  # Any: template context
    """Return the form, and the answer where a question was asked."""
    profiles = sorted(stats.all_profiles(), key=lambda profile: profile.name)
    sites = list(Site.objects.order_by("domain"))
    form = RouteForm(asked or None, sites=sites, profiles=profiles)
    context = {"title": _("Which server takes a message?"), "form": form}
    if form.is_bound and form.is_valid():
        context |= _answer(simulate(form.question(), profiles=profiles))
    return context


def query_of(message: Message) -> str:
    """Return the question about a message like this one, as the page's address has it."""
    asked = {
        "sender": parseaddr(readable(message.from_header))[1],
        "site": message.site_id,
        "priority": message.priority,
        "profile": message.pinned_profile_id,
    }
    return urlencode({name: value for name, value in asked.items() if value})


def _answer(simulation: Simulation) -> dict[str, Any]:  # Any: template context
    chosen = simulation.routing.chosen
    telling = Telling(simulation.names, simulation.snapshot.now)
    return {
        "simulation": simulation,
        "chosen": telling.name(chosen) if chosen is not None else "",
        "ahead": count(simulation.ahead),
        "servers": lines(simulation.routing.answers, telling, Blind(())),
    }
