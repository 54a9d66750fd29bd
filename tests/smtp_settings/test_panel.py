"""The test panel in words: its states, its steps and what a run looks like while it runs."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from smtp_settings.admin.panel import panel, panel_data, states, steps
from smtp_settings.admin.panel.states import Facts, State
from smtp_settings.gate import EVIDENCE_AGE, RunState
from smtp_settings.models import SMTPProfile, TestRun
from tests.builders import a_profile, a_user, evidence, unsaved_profile
from tests.servers import smtp_server
from tests.submitting import form_of

ADD = "/admin/smtp_settings/smtpprofile/add/"

PASSED = Facts(run=RunState.PASSED)


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        (Facts(), State.NEVER),
        (Facts(is_draft=True), State.DRAFT),
        (Facts(is_unchanged=True), State.UNCHANGED),
        (Facts(is_unchanged=True, always=True), State.ALWAYS),
        (Facts(has_errors=True), State.INCOMPLETE),
        (Facts(has_errors=True, is_unchanged=True), State.INCOMPLETE),
        (Facts(run=RunState.WAITING), State.WAITING),
        (Facts(run=RunState.RUNNING, is_unchanged=True), State.RUNNING),
        (Facts(run=RunState.STOPPED), State.STOPPED),
        (Facts(run=RunState.FAILED), State.FAILED),
        (Facts(run=RunState.FAILED, differs=True), State.FAILED),
        # The gate lets saved and cleared values through, whatever a later test said.
        (Facts(run=RunState.FAILED, is_unchanged=True), State.UNCHANGED),
        (PASSED, State.PASSED),
        (replace(PASSED, has_errors=True), State.PASSED),
        (replace(PASSED, is_unchanged=True, always=True), State.PASSED),
        (replace(PASSED, has_notes=True), State.NOTES),
        (replace(PASSED, differs=True), State.STALE),
        (replace(PASSED, differs=True, is_expired=True), State.STALE),
        (replace(PASSED, differs=True, is_unchanged=True), State.UNCHANGED),
        (replace(PASSED, is_expired=True), State.EXPIRED),
        (replace(PASSED, is_expired=True, is_unchanged=True), State.UNCHANGED),
    ],
)
def test_the_state_is_the_test_under_way_then_what_opens_save_then_what_is_missing(facts, state):
    assert states.state_of(facts) is state


def test_save_is_open_in_three_states_only():
    assert {state for state in State if states.panel_of(state).is_open} == {
        State.UNCHANGED, State.PASSED, State.NOTES,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("state", "badge", "line"),
    [
        (State.UNCHANGED, "Saved settings passed", "Connection settings are unchanged. You can save."),
        (
            State.NEVER, "Not tested",
            "Save is available after a test email with these settings has succeeded.",
        ),
        (State.DRAFT, "Draft", "This profile is a draft and is not used. Send a test email, then save."),
        (State.INCOMPLETE, "Not tested", "Not tested: Enter the server."),
        (State.RUNNING, "Testing…", "The test is running. Save becomes available when it succeeds."),
        (State.STOPPED, "Stopped", "The test was stopped. Send another test email to enable Save."),
        (
            State.FAILED, "Failed",
            "The test failed. Fix the settings and send another test email to enable Save.",
        ),
        (State.PASSED, "Passed", "The test succeeded. You can save now."),
        (
            State.STALE, "Test again",
            "You changed Server, Port and 3 more after the test. Send another test email to enable Save.",
        ),
        (
            State.EXPIRED, "Test again",
            "The test is older than 30 minutes. Send another test email to enable Save.",
        ),
    ],
)  # fmt: skip
def test_each_state_says_what_the_design_says(state, badge, line):
    said = states.panel_of(
        state, fields=("host", "port", "security", "ca", "secret"), problem="Enter the server."
    )
    assert (said.badge, said.line) == (badge, line)


# Runs


def a_step(phase, verdict="done", ms=12.0, started_ms=0.0, **more):
    """One step as a run keeps it."""
    return {"phase": phase, "verdict": verdict, "started_ms": started_ms, "ms": ms, **more}


def a_run(state="running", *told, **fields):
    """A run that is not in the database, with these steps."""
    run = TestRun(
        state=state,
        settings={"transport": "smtp", "security": "starttls", "host": "smtp.example.com"}
        | fields.pop("settings", {}),
        recipients=["alex@example.com"],
        steps=list(told),
        created_at=timezone.now(),
        started_at=timezone.now(),
    )
    for name, value in fields.items():
        setattr(run, name, value)
    return run


def tones(run):
    return [row.tone for row in steps.step_rows(run)]


def test_nine_steps_are_listed_before_the_first_has_ended():
    rows = steps.step_rows(a_run("waiting"))
    assert [row.name for row in rows] == [
        "Look up the server name", "Connect", "Server greeting", "EHLO", "STARTTLS and certificate",
        "Sign in", "MAIL FROM", "RCPT TO", "Send the message",
    ]  # fmt: skip
    assert {row.word for row in rows} == {"waiting"}


def test_tls_from_the_first_byte_comes_before_the_greeting():
    rows = steps.step_rows(a_run("waiting", settings={"security": "tls"}))
    assert [row.name for row in rows][:4] == [
        "Look up the server name", "Connect", "TLS and certificate", "Server greeting",
    ]  # fmt: skip


def test_the_step_after_the_last_finished_one_runs():
    assert tones(a_run("running", a_step("dns"), a_step("connect"))) == [
        "done", "done", "running", *["waiting"] * 6,
    ]  # fmt: skip


def test_after_a_failed_step_the_others_were_not_tried():
    run = a_run("failed", a_step("dns"), a_step("connect", "failed"), failed_phase="connect")
    assert tones(run) == ["done", "failed", *["untried"] * 7]


def test_a_run_that_ended_at_its_limit_failed_where_it_hung():
    run = a_run("failed", a_step("dns"), a_step("connect"), failed_phase="banner")
    assert tones(run) == ["done", "done", "failed", *["untried"] * 6]


def test_a_stopped_run_failed_nowhere():
    assert tones(a_run("stopped", a_step("dns"))) == ["done", *["untried"] * 8]


def test_the_content_and_the_final_dot_are_one_step():
    run = a_run("failed", *map(a_step, ("dns", "connect", "banner", "ehlo", "tls", "auth", "mail", "rcpt")),
                a_step("data", "failed"), failed_phase="data")  # fmt: skip
    assert tones(run)[-1] == "failed"
    assert len(tones(run)) == 9


def test_a_second_ehlo_that_failed_is_not_hidden_by_the_first():
    run = a_run("failed", a_step("ehlo"), a_step("tls"), a_step("ehlo", "failed"), failed_phase="ehlo")
    assert tones(run)[3:5] == ["failed", "done"]


def test_a_connection_check_says_that_it_sends_nothing():
    rows = steps.step_rows(
        a_run("passed", *map(a_step, ("dns", "connect", "banner", "ehlo", "tls", "auth")), kind="connect")
    )
    assert [row.word for row in rows[-3:]] == ["skipped"] * 3
    assert rows[-1].detail == "Connection check: no email is sent"


def test_evidence_is_told_in_words():
    run = a_run(
        "passed",
        a_step("connect", evidence={"address": "192.0.2.7", "port": "587"}),
        a_step("ehlo", evidence={"size": "10240000", "mechanisms": "PLAIN LOGIN"}),
        a_step(
            "tls",
            evidence={
                "tls_version": "TLSv1.3",
                "certificate_subject": "CN=smtp.example.com,O=Example\\, Inc.",
                "certificate_issuer": "CN=R11,O=Let's Encrypt,C=US",
                "certificate_starts_at": "2020-01-01T00:00:00+00:00",
                "certificate_expires_at": "2031-03-04T00:00:00+00:00",
                "certificate_sha256": "3A:9F",
            },
        ),
        a_step("auth", "skipped", detail="No sign-in."),
        a_step("dot", reply="250 2.0.0 Ok: queued as 4F1C2A", evidence={"size_bytes": "2345"}),
    )
    told = {row.phase: row for row in steps.step_rows(run)}
    assert told["connect"].evidence == (("", "192.0.2.7, port 587"),)
    assert told["ehlo"].evidence == (("largest message", "10.2 MB"), ("sign-in with", "PLAIN LOGIN"))
    assert told["tls"].evidence == (
        ("", "TLSv1.3"), ("certificate", "smtp.example.com"), ("issued by", "R11"), ("until", "4 March 2031"),
        ("SHA-256", "3A:9F"),
    )  # fmt: skip
    assert (told["auth"].word, told["auth"].detail, told["auth"].ms) == ("skipped", "Skipped: no sign-in", "")
    assert told["dot"].evidence == (("size", "2.3 kB"), ("queue id", "4F1C2A"))


@pytest.mark.parametrize(
    ("reply", "name"),
    [
        ("250 2.0.0 Ok: queued as 4F1C2A", "4F1C2A"),
        ("250 OK id=1rXyZ-0001ab-2c", "1rXyZ-0001ab-2c"),
        ("250 2.0.0 4AL0x1Yz012345 Message accepted for delivery", "4AL0x1Yz012345"),
        ("250 Ok 0100018bd2f3a1b2-7c1d-000000", "0100018bd2f3a1b2-7c1d-000000"),
        ("250 2.0.0 OK  1700000000 d9443c01a7336-1cc29a.4 - gsmtp", "d9443c01a7336-1cc29a.4"),
        ("250 2.0.0 Ok", ""),
        ("", ""),
    ],
)
def test_the_queue_id_is_read_as_common_servers_tell_it(reply, name):
    assert steps.queue_id(reply) == name


@pytest.mark.parametrize(
    ("told", "late", "said"),
    [
        ([], 4, ""),
        ([a_step("dns")], 8.5, "Still connecting (8 s of at most 10 s)…"),
        ([a_step("dns"), a_step("connect")], 20, "Still waiting for the greeting (19 s of at most 30 s)…"),
        # No step may outlast the whole test.
        (
            [a_step("dns"), a_step("connect", ms=20_000)],
            26,
            "Still waiting for the greeting (6 s of at most 25 s)…",
        ),
    ],
)
def test_a_step_that_takes_long_says_how_long_it_may(told, late, said):
    run = a_run("running", *told, settings={"connect_timeout": 10, "command_timeout": 30})
    assert steps.still(run, run.started_at + timedelta(seconds=late)) == said


@pytest.mark.parametrize(
    ("seconds", "line"),
    [
        (0.5, "The test begins…"),
        (2, "Waiting for a mail worker…"),
        (6, "No worker took the test. Running it on the web server."),
    ],
)
def test_a_waiting_run_says_what_it_waits_for(seconds, line):
    run = a_run("waiting")
    assert panel.run_panel(run, run.created_at + timedelta(seconds=seconds)).line == line


def test_every_change_people_see_makes_the_number_of_a_run_larger():
    run = a_run("waiting")
    found = [panel.seq(run)]
    for change in (
        {"state": "running"}, {"steps": [a_step("dns")]}, {"stop_asked_at": timezone.now()},
        {"steps": [a_step("dns"), a_step("connect")]}, {"state": "passed"}, {"received_at": timezone.now()},
    ):  # fmt: skip
        for name, value in change.items():
            setattr(run, name, value)
        found.append(panel.seq(run))
    assert found == sorted(set(found))


@pytest.mark.django_db
def test_a_run_tells_its_owner_the_tested_values_and_nobody_a_secret():
    owner, other = a_user("administrator"), a_user("administrator")
    run = evidence(unsaved_profile(host="smtp.example.com", port=2525), user=owner)

    told = panel.run_state(run, owner)

    assert told["values"]["host"] == "smtp.example.com"
    assert told["values"]["port"] == "2525"
    assert told["values"]["accepts_clear_auth"] == ""
    assert "password" not in told["values"]
    assert panel.run_state(run, other)["values"] == {}


@pytest.mark.django_db
def test_a_passed_run_says_how_long_it_counts_and_what_accepted_means():
    user = a_user()
    run = evidence(unsaved_profile(host="smtp.example.com", security="tls"), user=user)
    run.ran_on, run.reply = "worker mail-2", "250 Ok: queued as 4F1C2A"

    told = panel.run_state(run, user)

    assert told["status"] == "passed"
    assert told["badge"] == "Passed"
    assert 1790 <= told["expires_in"] <= 1800
    assert "as <code>4F1C2A</code> in" in told["html"]
    assert "Accepted is not the same as delivered" in told["html"]
    assert "Ran on worker mail-2, where your mail leaves." in told["html"]


@pytest.mark.django_db
def test_an_old_pass_has_expired():
    user = a_user()
    run = evidence(
        unsaved_profile(), user=user, finished_at=timezone.now() - EVIDENCE_AGE - timedelta(minutes=1)
    )
    told = panel.run_state(run, user)
    assert (told["expires_in"], told["badge"]) == (0, "Test again")


@pytest.mark.django_db
def test_what_a_person_should_know_of_a_pass_is_a_note():
    user = a_user()
    run = evidence(unsaved_profile(security="tls"), user=user)
    run.ran_on = "web"
    ends = {"certificate_expires_at": (run.finished_at + timedelta(days=5)).isoformat()}
    unchecked = "The certificate was not checked (as configured)."
    run.steps = [a_step("tls", "warning", detail=unchecked, evidence=ends)]

    told = panel.run_state(run, user)

    assert told["badge"] == "Passed with notes"
    assert told["line"] == "The test succeeded with 3 notes. You can save now."
    for note in ("The certificate was not checked", "expires in 5 days, on ", "Ran on the web server"):
        assert note in told["html"]


@pytest.mark.django_db
def test_that_nothing_is_encrypted_is_one_note():
    run = evidence(unsaved_profile(security="none"))
    run.ran_on = "worker mail-2"
    run.steps = [a_step("tls", "warning", detail="Not encrypted (as configured).")]
    assert len(panel.notes(run)) == 1


@pytest.mark.django_db
def test_a_connection_check_does_not_open_save_and_says_so():
    user = a_user()
    run = evidence(unsaved_profile(), user=user)
    run.kind = "connect"
    told = panel.run_state(run, user)
    assert told["expires_in"] is None
    assert told["line"] == "The connection works. It does not open Save: send a test email for that."
    assert told["line"] in told["html"]


@pytest.mark.django_db
def test_a_hostile_banner_is_text():
    user = a_user()
    run = evidence(unsaved_profile(), user=user, state="failed")
    run.steps = [a_step("banner", "failed", reply="220 <script>alert(1)</script>")]
    run.transcript = [{"direction": "server", "text": "220 <script>alert(1)</script>"}]
    html = panel.run_state(run, user)["html"]
    assert "<script" not in html
    assert "220 &lt;script&gt;alert(1)&lt;/script&gt;" in html


# The page


@pytest.mark.django_db
def test_the_password_of_a_passed_test_is_not_asked_for_again_when_another_field_is_wrong(client):
    user = a_user()
    client.force_login(user)
    with smtp_server(security="none", auth=("shop", "korrekt")) as server:
        values = form_of(client.get(ADD)) | {
            "name": "EU relay", "host": server.host, "port": str(server.port), "security": "none",
            "auth": "password", "username": "shop", "password": "korrekt", "accepts_clear_auth": "on",
            "from_address": "shop@example.com",
        }  # fmt: skip
        tested = client.post(ADD, values | {"_send_test": "1"})
        carried = form_of(tested)["_test_run"]
        wrong = client.post(ADD, values | {"_test_run": carried, "name": "", "_save": "1"})

    assert wrong.context["panel"].badge == "Passed with notes"
    entries = form_of(wrong)
    assert (entries.get("password", ""), entries["_password_typed"]) == ("", "")
    saved = client.post(ADD, entries | {"name": "EU relay", "_save": "1"})
    assert saved.status_code == 302
    assert SMTPProfile.objects.get().password is not None


@pytest.mark.django_db
def test_a_password_typed_after_the_test_is_asked_for_again(client):
    user = a_user()
    client.force_login(user)
    profile = a_profile(password="korrekt", user=user)
    url = f"/admin/smtp_settings/smtpprofile/{profile.pk}/change/"
    page = client.post(url, form_of(client.get(url)) | {"password": "another", "name": ""})
    assert form_of(page)["_password_typed"] == "on"


@pytest.mark.django_db
def test_the_data_of_the_page_holds_texts_and_no_secret(client):
    user = a_user()
    client.force_login(user)
    profile = a_profile(password="kanarienvogel", user=user)
    page = client.get(f"/admin/smtp_settings/smtpprofile/{profile.pk}/change/")
    data = page.context["script"]
    assert data["live"]
    assert data["saved"]["port"] == "2525"
    assert "password" in data["fields"]["smtp"]
    assert "password" not in data["saved"]
    assert "kanarienvogel" not in page.content.decode()


@pytest.mark.django_db
def test_every_field_that_counts_has_a_control_on_the_page(client):
    client.force_login(a_user())
    entries = client.get(ADD).content.decode()
    for name in panel_data.form_fields("smtp"):
        if name not in {"oauth_credential", "accepts_clear_auth"}:
            assert f'name="{name}"' in entries, name
