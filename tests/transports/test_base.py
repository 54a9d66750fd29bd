import copy
import json
import pickle

import pytest

from transports.base import Envelope, Outcome, Phase, Reply, Secret, deliverable

CANARY = "canary-4711"


def test_a_secret_does_not_show_itself():
    secret = Secret(CANARY)
    for text in (repr(secret), str(secret), f"{secret}", f"{secret:>20}", repr([secret])):
        assert CANARY not in text
    assert secret.reveal() == CANARY
    assert secret
    assert not Secret("")


@pytest.mark.parametrize(
    "copying",
    [pickle.dumps, copy.copy, copy.deepcopy, json.dumps],
    ids=["pickle", "copy", "deepcopy", "json"],
)
def test_a_secret_does_not_travel(copying):
    with pytest.raises(TypeError):
        copying(Secret(CANARY))


def test_a_reply_reads_as_on_the_wire():
    assert str(Reply(550, "No such user", "5.1.1")) == "550 5.1.1 No such user"
    assert str(Reply(250)) == "250"


@pytest.mark.parametrize(
    ("phase", "reply", "accepted"),
    [
        (Phase.DOT, Reply(250), True),
        (Phase.DOT, Reply(252), True),
        (Phase.DOT, Reply(554), False),
        (Phase.DOT, None, False),
        (Phase.RCPT, Reply(250), False),
        (Phase.QUIT, Reply(221), False),
    ],
)
def test_accepted_is_a_2xx_to_the_dot_and_nothing_else(phase, reply, accepted):
    assert Outcome(phase, reply).accepted is accepted


def test_an_address_needs_smtputf8_by_its_letters():
    assert Envelope("jörg@example.org", ("ann@example.org",)).needs_smtputf8
    assert not Envelope("", ("ann@example.org",)).needs_smtputf8


def test_one_accepted_recipient_is_enough():
    assert deliverable([Reply(550), None, Reply(251)])
    assert not deliverable([Reply(450), None])
