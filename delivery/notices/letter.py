"""What a notice says, as text and as HTML. No server's words, no address, no subject of sensitive mail."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from delivery.composing import readable
from delivery.queue import DueNotice, NoticeFacts, SmallState
from delivery.reading import one_line

#: Why a message was given up, by the stable word of its outcome.
_WHY: Mapping[str, Promise] = {
    "too_large": gettext_lazy("its attachments are too large"),
    "size": gettext_lazy("it is too large for the server"),
    "recipient": gettext_lazy("the recipient was refused"),
    "mailbox_full": gettext_lazy("the recipient's mailbox is full"),
    "sender": gettext_lazy("the sender was refused"),
    "relay": gettext_lazy("the server does not relay for this sender"),
    "content": gettext_lazy("its content was refused"),
    "policy": gettext_lazy("the server refused it by its own rules"),
    "compose": gettext_lazy("it could not be put together"),
    "expires_at": gettext_lazy("it could not be sent in time"),
    "gave_up": gettext_lazy("it could not be sent for too long"),
    "retries": gettext_lazy("it was put off too often"),
    "not_retried": gettext_lazy("it could not be sent at once, and the queue is switched off"),
}
#: Characters of a subject: enough to know the message again.
_MOST_SUBJECT = 100


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the letter, and the page that says more; `link` is "" where no address is known."""

    text: str
    link: str


@dataclass(frozen=True, slots=True)
class Letter:
    """The parts of the email."""

    subject: str
    items: tuple[tuple[str, tuple[Item, ...]], ...]  #: each group under its opening
    closing: str

    def text(self) -> str:
        """Return it as plain text."""
        groups = [
            "\n".join([opening, "", *(_as_text(item) for item in items)]) for opening, items in self.items
        ]
        return "\n\n".join([*groups, self.closing]) + "\n"

    def html(self) -> str:
        """Return it as HTML without anything a mail program would have to load."""
        groups = "".join(
            f"<p>{escape(opening)}</p>\n<ul>\n{''.join(map(_as_html, items))}</ul>\n"
            for opening, items in self.items
        )
        return f"<html><body>\n{groups}<p>{escape(self.closing)}</p>\n</body></html>\n"


def letter_of(
    due: DueNotice, facts: Sequence[NoticeFacts], *, profiles: Mapping[int, str], base: str
) -> Letter:
    """Return the letter; `profiles` are the names of those told of, `base` this installation's address."""
    groups = []
    if due.paused_ids:
        opening = _servers_opening(len(due.paused_ids))
        groups.append((opening, tuple(_servers(due.paused_ids, profiles, base))))
    if due.refusing_ids:
        opening = _refusals_opening(len(due.refusing_ids))
        groups.append((opening, tuple(_servers(due.refusing_ids, profiles, base))))
    if due.given_up:
        groups.append((_messages_opening(due.given_up), tuple(_messages(due, facts, base))))
    return Letter(
        subject=_("mailconf: %(what)s") % {"what": _subject(due, profiles)},
        items=tuple(groups),
        closing=_(
            "You get this email because you are a notify user of mailconf. What happens in the next "
            "15 minutes comes in one email. This message needs no answer."
        ),
    )


def _subject(due: DueNotice, profiles: Mapping[int, str]) -> str:
    if due.given_up:
        return ngettext("%(n)d message was not sent", "%(n)d messages were not sent", due.given_up) % {
            "n": due.given_up
        }
    if due.paused_ids and due.refusing_ids:
        return _("%(n)d servers do not work") % {"n": len({*due.paused_ids, *due.refusing_ids})}
    if len(due.refusing_ids) > 1:
        return _("%(n)d servers refuse this machine") % {"n": len(due.refusing_ids)}
    if due.refusing_ids:
        return _("the server %(name)s refuses this machine") % {"name": _name(profiles, due.refusing_ids[0])}
    if len(due.paused_ids) > 1:
        return _("%(n)d servers are paused") % {"n": len(due.paused_ids)}
    return _("the server %(name)s is paused") % {"name": _name(profiles, due.paused_ids[0])}


def _messages_opening(count: int) -> str:
    return ngettext(
        "%(n)d message was given up. It was not sent, or not to everybody.",
        "%(n)d messages were given up. They were not sent, or not to everybody.",
        count,
    ) % {"n": count}


def _servers_opening(count: int) -> str:
    return ngettext(
        "A server is paused: its settings, its password or its certificate do not work any more. Its mail "
        "waits or goes through other servers. Correct the profile and test it.",
        "Servers are paused: their settings, passwords or certificates do not work any more. Their mail "
        "waits or goes through other servers. Correct the profiles and test them.",
        count,
    )


def _refusals_opening(count: int) -> str:
    return ngettext(
        "A server refuses this machine before it hears what is to be sent. Its mail waits or goes through "
        "other servers, and it is tried again by itself. Ask its owner to allow this machine's address.",
        "Servers refuse this machine before they hear what is to be sent. Their mail waits or goes through "
        "other servers, and they are tried again by themselves. Ask their owners to allow this machine's "
        "address.",
        count,
    )


def _servers(profile_ids: Sequence[int], profiles: Mapping[int, str], base: str) -> Iterator[Item]:
    for profile_id in profile_ids:
        yield Item(
            _name(profiles, profile_id), _link(base, "admin:smtp_settings_smtpprofile_change", profile_id)
        )


def _messages(due: DueNotice, facts: Sequence[NoticeFacts], base: str) -> Iterator[Item]:
    for fact in facts:
        yield Item(_line(fact), _link(base, "admin:delivery_message_change", fact.message_id))
    left_out = due.given_up - len(facts)
    if left_out > 0:
        more = ngettext("and %(n)d more", "and %(n)d more", left_out) % {"n": left_out}
        yield Item(more, base and base + reverse("admin:delivery_message_changelist"))


def _line(fact: NoticeFacts) -> str:
    """Name a message and say why it ended; the subject only where anybody may know it."""
    subject = "" if fact.sensitive else one_line(readable(fact.subject), _MOST_SUBJECT)
    name = f"#{fact.message_id} {subject}".rstrip()
    why = _WHY.get(fact.cause) or SmallState(fact.state).label
    return _("%(message)s: %(why)s") % {"message": name, "why": why}


def _name(profiles: Mapping[int, str], profile_id: int) -> str:
    return one_line(profiles.get(profile_id) or _("a removed profile"), _MOST_SUBJECT)


def _link(base: str, page: str, pk: int) -> str:
    return base and base + reverse(page, args=[pk])


def _as_text(item: Item) -> str:
    return f"- {item.text}\n  {item.link}" if item.link else f"- {item.text}"


def _as_html(item: Item) -> str:
    text = escape(item.text)
    return f'<li><a href="{escape(item.link)}">{text}</a></li>\n' if item.link else f"<li>{text}</li>\n"
