"""What becomes of a message that no server judged: each reason, and what is written."""

from datetime import timedelta

import pytest

from delivery.composing import CannotCompose
from delivery.dispatcher.connections import unsent
from delivery.dispatcher.connections.preparing import NobodyLeft, Overdue
from delivery.dispatcher.servers.sizes import TooLarge
from delivery.queue import AttemptResult, SmallState
from tests.delivery.works import a_work


class Others:
    """Two further servers; only the third takes large messages."""

    def next_server(self, work, *, is_too_large=False):
        return 3 if is_too_large else 2

    def sizes_in_words(self, work):
        return "20 MB, and the largest takes 10 MB."


class NoOthers(Others):
    def next_server(self, work, *, is_too_large=False):
        return None


@pytest.mark.parametrize(
    ("why", "others", "ends_as", "cause", "tried", "elsewhere"),
    [
        (Overdue(), Others(), SmallState.EXPIRED, "expires_at", None, None),
        (NobodyLeft(), Others(), SmallState.SENT, "", None, None),
        (CannotCompose("No From."), Others(), None, "", AttemptResult.RELEASED, 2),
        (TooLarge(), Others(), None, "", AttemptResult.RELEASED, 3),
        (CannotCompose("No From."), NoOthers(), SmallState.FAILED, "compose", AttemptResult.FAILED, None),
        (TooLarge(), NoOthers(), SmallState.FAILED, "too_large", AttemptResult.FAILED, None),
    ],
)
def test_an_unfit_message_ends_or_goes_to_the_next_server(why, others, ends_as, cause, tried, elsewhere):
    result = unsent.unfit(a_work(), why, lease=1, others=others)
    finished = result.finished
    assert (finished and finished.state, finished.cause if finished else "") == (ends_as, cause)
    assert (result.tried and result.tried.outcome, result.elsewhere) == (tried, elsewhere)
    assert (result.settled is None) == (finished is not None)


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (lambda work, **dot: unsent.interrupted(work, lease=1, **dot), "stopped before the server answered"),
        (lambda work, **dot: unsent.broken(work, KeyError("a"), lease=1, **dot), "Internal error: KeyError"),
    ],
)
def test_a_message_whose_dot_was_written_may_have_arrived(end, words):
    result = end(a_work(), is_dot_written=True)
    assert (result.settled.uncertain, result.tried.outcome) == (True, AttemptResult.UNCERTAIN)
    assert words in result.tried.reply


def test_a_message_cut_off_before_its_dot_goes_back_and_nothing_is_noted():
    result = unsent.interrupted(a_work(), is_dot_written=False, lease=1)
    assert result == unsent.released(result.work)
    assert (result.tried, result.settled.counted, result.settled.dropped) == (None, 0, 0)


@pytest.mark.parametrize(("earlier", "is_held"), [(0, False), (1, False), (2, True)])
def test_a_message_that_breaks_our_code_is_held_at_the_third_time(earlier, is_held):
    result = unsent.broken(a_work(drops=earlier), KeyError("a"), is_dot_written=False, lease=1)
    assert (result.finished is not None) == is_held
    if is_held:
        assert (result.finished.state, result.finished.cause) == (SmallState.HELD, "internal_error")
    else:
        assert (result.settled.dropped, result.settled.delay) == (1, timedelta(minutes=1))
