import pytest

from tests.wire.clients import Recorder
from transports.base import Phase, Reply, StepVerdict
from transports.errors import ConnectionLost, ReplyRefused
from transports.smtp.transcript import MAX_LINE, Trace, escape, stage


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"250 Ok", "250 Ok"),
        ("250 café".encode(), "250 café"),
        (b"250 \x1b[31m \x00", r"250 \x1b[31m \x00"),
        ("250 \u202egnp".encode(), r"250 \u202egnp"),
        (b"250 \xff\xfe", r"250 \xff\xfe"),
        (b"250 a\rb", r"250 a\rb"),
    ],
)
def test_what_cannot_be_seen_is_escaped(line, text):
    assert escape(line) == text


def test_a_line_keeps_1000_characters():
    assert len(escape(b"x" * 5000)) == MAX_LINE
    assert len(escape(b"\x00" * 5000)) == MAX_LINE


def test_a_stage_becomes_a_step_with_its_time():
    recorder = Recorder()
    with stage(Trace(recorder), Phase.EHLO) as it:
        it.reply = Reply(250)
        it.evidence["size"] = "10"
    [step] = recorder.steps
    assert (step.phase, step.verdict, step.reply, step.evidence) == (
        Phase.EHLO, StepVerdict.DONE, Reply(250), {"size": "10"},
    )  # fmt: skip
    assert step.ms >= 0
    assert step.started_ms >= 0


def test_an_error_makes_the_step_failed_in_the_errors_own_phase():
    recorder = Recorder()
    with pytest.raises(ReplyRefused), stage(Trace(recorder), Phase.EHLO):
        raise ReplyRefused("The server refused.", phase=Phase.TLS, reply=Reply(454))
    [step] = recorder.steps
    assert (step.phase, step.verdict, step.detail) == (Phase.TLS, StepVerdict.FAILED, "The server refused.")


def test_without_an_observer_a_stage_only_passes_the_error_on():
    with pytest.raises(ConnectionLost), stage(None, Phase.EHLO):
        raise ConnectionLost("Gone.", phase=Phase.EHLO)
