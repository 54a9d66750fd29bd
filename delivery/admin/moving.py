"""Move messages to another profile: the question where to, and the words for what is left where it is."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from delivery import jobs, stats
from delivery.queue import NotMoved
from delivery.waiting import Breaker, PausedBy, ServerFacts, Use

#: The value of "any that serves it", beside the profiles' numbers.
ANY = "any"
_PROFILES = "smtp_settings.view_smtpprofile"

#: Why a message was left, by the word of the queue.
WHY_LEFT: dict[str, Promise] = {
    NotMoved.THERE: gettext_lazy("on that way already"),
    NotMoved.NO_FROM: gettext_lazy("without a From address, and that profile has none either"),
    NotMoved.NO_PROFILE: gettext_lazy("for a profile that is no more"),
}


class MoveForm(forms.Form):
    """Where messages are moved to; `servers` are the profiles offered, `asked` is what a link has chosen."""

    to = forms.ChoiceField(
        label=gettext_lazy("Where to"),
        help_text=gettext_lazy(
            "Moved to one profile, a message waits for that server alone and leaves by it, also when it"
            " serves other sites or senders. Any server that serves its site: as if it were handed over now."
        ),
        error_messages={
            "required": gettext_lazy("Choose where the messages go."),
            "invalid_choice": gettext_lazy(
                "That profile cannot be chosen any more: it was deleted, disabled or is not live."
                " Choose again."
            ),
        },
    )

    def __init__(
        self, posted: Any, *, servers: Sequence[ServerFacts], asked: str = ""
    ) -> None:  # Any: as forms.Form
        is_answer = posted is not None and "to" in posted
        super().__init__(posted if is_answer else None, label_suffix="", initial={"to": asked})
        offered = [(str(server.profile_id), _label(server)) for server in servers]
        groups = [(_("Only through"), offered)] if offered else []
        self.fields["to"].choices = [  # type: ignore[attr-defined]  # of a choice field
            ("", _("Choose")),
            (ANY, _("Any server that serves its site")),
            *groups,
        ]

    @property
    def destination(self) -> jobs.Destination:
        """Where a valid form says."""
        to = self.cleaned_data["to"]
        return jobs.Destination(None if to == ANY else int(to))


def form_for(request: HttpRequest) -> MoveForm:
    """Return the question, and the answer of a POST that has one.

    Who may not see profiles is offered none, and can name none.
    """
    servers: Sequence[ServerFacts] = ()
    if request.user.has_perm(_PROFILES):
        live = [server for server in stats.snapshot().servers if server.use is Use.LIVE]
        servers = sorted(live, key=lambda server: server.name.lower())
    posted = request.POST if request.method == "POST" else None
    return MoveForm(posted, servers=servers, asked=request.GET.get("to", ""))


def _label(server: ServerFacts) -> str:
    """Name a profile, and what keeps it from sending now."""
    if server.paused is not PausedBy.NOBODY:
        return _("%(name)s (paused)") % {"name": server.name}
    if server.breaker is Breaker.OPEN:
        return _("%(name)s (breaker open)") % {"name": server.name}
    return server.name


def destination_words(to: jobs.Destination, name: str) -> str:
    """Say where messages go; `name` is the profile's, "" where none is told."""
    if to.profile_id is None:
        return _("Any server that serves its site")
    return _("Only through %(name)s") % {"name": name or f"#{to.profile_id}"}
