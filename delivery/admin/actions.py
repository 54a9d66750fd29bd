"""What people may do with messages: one table of actions, and one function that does them.

The list, the message page and the jobs all come here, so the permission, the states an action is for and the
question about uncertain messages are the same everywhere.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from django.db import transaction
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext, ngettext_lazy

from delivery import jobs, queue, tasks
from delivery.admin.moving import WHY_LEFT
from delivery.admin.states import Standing, State, standings
from delivery.models import Message

#: Does it for these ids and returns those it was done to. The second argument is the user's id.
Move = Callable[[Sequence[int], int | None], Iterable[int]]


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a person may do.

    `moves` says per state what is called; other states are skipped. `asks` marks an action that may deliver
    an uncertain message twice. `any_uncertain` is called for such a message in any state but *sending*.
    `asks_where`: it is done with a destination only (`towards`). `title` heads its question where the label
    does not, and `for_all` is the label for all messages of a list.
    """

    name: str
    label: Promise
    permission: str
    done: object  # ngettext_lazy: the sentence with %(n)d
    moves: dict[State, Move] = field(repr=False)
    asks: bool = False
    is_danger: bool = False
    any_uncertain: Move | None = None
    asks_where: bool = False
    title: Promise | None = None
    for_all: Promise | None = None
    why_left: jobs.WhyLeft | None = field(default=None, repr=False)

    @property
    def heading(self) -> str:
        """What its question is called."""
        return str(self.title or self.label)

    @property
    def label_for_all(self) -> str:
        """What it is called for all messages of a list."""
        return str(self.for_all or _("%(act)s all…") % {"act": self.label})

    def towards(self, to: jobs.Destination) -> "Action":
        """Return the same with a destination."""
        act = jobs.moving_to(to)
        by_hand = {move: _by_hand(move) for move in act.moves.values()}
        moves = {State(state.value): by_hand[move] for state, move in act.moves.items()}
        return replace(self, moves=moves, why_left=act.why_left)

    @property
    def permission_name(self) -> str:
        """What the permission is called, for those who lack it."""
        names = dict(Message._meta.permissions)  # public in all but name
        return str(names[self.permission.removeprefix("delivery.")])

    def is_for(self, state: State) -> bool:
        """Whether it may be done with some message in this state."""
        return state in self.moves or (self.any_uncertain is not None and state is not State.SENDING)

    def move_for(self, standing: Standing) -> Move | None:
        """Return what to call for a message that stands so, or None to skip it."""
        move = self.moves.get(standing.state)
        if move is None and standing.is_uncertain and standing.state is not State.SENDING:
            return self.any_uncertain
        return move


def _by_hand(move: jobs.Move) -> Move:
    return lambda ids, user_id: move(ids, user_id=user_id)


#: One for each function of the queue: equal moves are done together.
_BY_HAND = {move: _by_hand(move) for act in jobs.ACTS.values() for move in act.moves.values()}


def _moves_of(name: str) -> dict[State, Move]:
    """Return what a job of that name does, for messages chosen by hand."""
    return {State(state.value): _BY_HAND[move] for state, move in jobs.ACTS[name].moves.items()}


def _send_again(ids: Sequence[int], user_id: int | None) -> Iterable[int]:
    return queue.send_again(ids, user_id=user_id)


_AGAIN_STATES = (State.SENT, State.FAILED, State.EXPIRED, State.CANCELLED)

#: In the order of the buttons.
ACTIONS = (
    Action(
        name="retry",
        label=_("Retry now"),
        permission="delivery.retry_message",
        done=ngettext_lazy(
            "%(n)d message will be tried again now.", "%(n)d messages will be tried again now.", "n"
        ),
        moves=_moves_of("retry"),
        asks=True,
    ),
    Action(
        name="send_again",
        label=_("Send again as a copy"),
        permission="delivery.resend_message",
        done=ngettext_lazy(
            "%(n)d message was queued again as a copy.", "%(n)d messages were queued again as copies.", "n"
        ),
        moves=dict.fromkeys(_AGAIN_STATES, _send_again),
        asks=True,
        any_uncertain=_send_again,
    ),
    Action(
        name="release",
        label=_("Release"),
        permission="delivery.hold_message",
        done=ngettext_lazy("%(n)d message was released.", "%(n)d messages were released.", "n"),
        moves=_moves_of("release"),
        asks=True,
    ),
    Action(
        name="hold",
        label=_("Hold"),
        permission="delivery.hold_message",
        done=ngettext_lazy("%(n)d message is held now.", "%(n)d messages are held now.", "n"),
        moves=_moves_of("hold"),
    ),
    Action(
        name="cancel",
        label=_("Cancel"),
        permission="delivery.cancel_message",
        done=ngettext_lazy("%(n)d message was cancelled.", "%(n)d messages were cancelled.", "n"),
        moves=_moves_of("cancel"),
        is_danger=True,
    ),
    Action(
        name="move",
        label=_("Move to another profile…"),
        permission="delivery.move_message",
        done=ngettext_lazy("%(n)d message was moved.", "%(n)d messages were moved.", "n"),
        moves=_moves_of("move"),
        asks_where=True,
        title=_("Move to another profile"),
        for_all=_("Move all to another profile…"),
    ),
)
BY_NAME = {action.name: action for action in ACTIONS}


def allowed(request: HttpRequest) -> list[Action]:
    """Return the actions this user may use."""
    return [action for action in ACTIONS if request.user.has_perm(action.permission)]


def allowed_on_tab(request: HttpRequest) -> list[Action]:
    """Return those for the rows of the list's tab; what was ticked there is taken, whatever it has become."""
    state = request.GET.get("state")
    if request.method == "POST" or state not in State.values:
        return allowed(request)
    return [action for action in allowed(request) if action.is_for(State(state))]


def allowed_for_all(request: HttpRequest, state: State | None) -> list[Action]:
    """Return those that a job may do with all messages in a state; None is any state."""
    return [
        action
        for action in allowed(request)
        if action.name in jobs.ACTS and (state is None or state in action.moves)
    ]


@dataclass(frozen=True, slots=True)
class Plan:
    """Which of the chosen messages an action is for. `skipped` counts the others by the word for why."""

    action: Action
    ids: dict[Move, list[int]]
    uncertain: int
    skipped: "Counter[str]"

    @property
    def needs_confirmation(self) -> bool:
        """Whether doing it may deliver a message twice."""
        return self.action.asks and self.uncertain > 0

    @property
    def count(self) -> int:
        """How many messages it is for."""
        return sum(map(len, self.ids.values()))


def plan(action: Action, messages: Iterable[Message]) -> Plan:
    """Sort the chosen messages by what the action does with each; nothing is changed."""
    ids: dict[Move, list[int]] = {}
    skipped: Counter[str] = Counter()
    uncertain = 0
    for message_id, standing in standings(messages).items():
        move = action.move_for(standing)
        if move is None:
            skipped[str(standing.state.label).lower()] += 1
            continue
        ids.setdefault(move, []).append(message_id)
        uncertain += standing.is_uncertain
    return Plan(action, ids, uncertain, skipped)


def carry_out(chosen: Plan, user_id: int | None) -> tuple[int, "Counter[str]"]:
    """Do it, all or nothing; return how many were done and the skipped by reason.

    Workers are rung after commit. What changed since the plan was made (a worker took it) is not forced, but
    counted as skipped.
    """
    skipped = Counter(chosen.skipped)
    done = 0
    with transaction.atomic():
        for move, ids in chosen.ids.items():
            moved = set(move(ids, user_id))
            done += len(moved)
            if len(moved) < len(ids):
                skipped.update(_why_left(chosen.action, [pk for pk in ids if pk not in moved]))
        if done:
            transaction.on_commit(partial(tasks.ring), robust=True)
    return done, skipped


def _why_left(action: Action, ids: Sequence[int]) -> "Counter[str]":
    if action.why_left is None:
        return Counter({str(_("changed meanwhile or without content")): len(ids)})
    known = action.why_left(ids)
    return Counter(str(WHY_LEFT[known[pk]] if pk in known else _("changed meanwhile")) for pk in ids)


def reasons(skipped: "Counter[str]") -> str:
    """Say why messages are skipped, each reason with its count; "" for none."""
    return ", ".join(f"{count} {reason}" for reason, count in skipped.most_common())


def report(action: Action, done: int, skipped: "Counter[str]") -> str:
    """Say what was done and what was not; never nothing."""
    parts = [str(action.done % {"n": done})] if done else []  # type: ignore[operator]  # a lazy ngettext
    if total := skipped.total():
        parts.append(
            ngettext("%(n)d was skipped: %(reasons)s.", "%(n)d were skipped: %(reasons)s.", total)
            % {"n": total, "reasons": reasons(skipped)}
        )
    if not parts:
        return str(_("Nothing was done: the chosen messages are not in this list any more."))
    return " ".join(parts)
