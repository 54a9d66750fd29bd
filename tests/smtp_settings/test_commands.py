"""generate_key, set_profile and test_profile as they are called."""

import io
import json
import stat
import sys

import pytest
from django.contrib.sites.models import Site
from django.core.management import CommandError, call_command, load_command_class
from django.core.management.base import SystemCheckError

from smtp_settings import sealing
from smtp_settings.clearance import activation
from smtp_settings.clearance.candidate import stored_secret
from smtp_settings.models import OAuthCredential, SMTPProfile, TestRun
from smtp_settings.sealing import parse_keys
from tests.builders import a_draft, a_profile, a_user
from tests.servers import smtp_server

CANARY = " c4nary-pa55:word "
TO = ("--test-to", "inbox@example.com")
SIGNS_IN = {"auth": "password", "username": "shop", "accepts_clear_auth": "yes"}


def call(command, *args, password=None, monkeypatch=None):
    """Run a command; returns (exit code, JSON or text printed, sentence of the error)."""
    out = io.StringIO()
    if password is not None:
        monkeypatch.setattr(sys, "stdin", io.StringIO(password + "\n"))
    try:
        call_command(command, *args, stdout=out, stderr=io.StringIO())
        code, fault = 0, ""
    except CommandError as error:
        code, fault = error.returncode, str(error)
    text = out.getvalue()
    return code, json.loads(text) if text.startswith("{") else text, fault


# generate_key


def test_a_key_file_is_readable_for_its_owner_only(tmp_path):
    path = tmp_path / "keys"
    code, printed, _fault = call("generate_key", "--file", str(path))
    assert code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert parse_keys(path.read_text(), secret_key="-")
    assert path.read_text().strip().partition(":")[2] not in printed


def test_a_key_file_is_never_overwritten(tmp_path):
    path = tmp_path / "keys"
    path.write_text("precious")
    code, _printed, fault = call("generate_key", "--file", str(path))
    assert code == 1
    assert "loses every password" in fault
    assert path.read_text() == "precious"


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path):
    code, _printed, fault = call("generate_key", "--file", str(tmp_path / "absent" / "keys"))
    assert code == 1
    assert "No such file" in fault


# set_profile


def values(server, **more):
    fields = {"host": server.host, "port": server.port, "security": "none", "auth": "none"}
    fields |= {"from_address": "shop@example.com"} | more
    return [f"{name}={value}" for name, value in fields.items()]


@pytest.mark.django_db
def test_a_profile_is_made_tested_and_live():
    with smtp_server() as server:
        code, printed, _fault = call("set_profile", "Shop", *values(server, is_default="yes"), *TO)
        [message] = server.wait_for(1)
    assert code == 0
    assert message.rcpt_to == ("inbox@example.com",)
    assert (printed["profile"], printed["verdict"]) == ("Shop", "passed")
    assert (printed["saved"], printed["live"], printed["created"]) == (True, True, True)
    assert [step["phase"] for step in printed["steps"]][:2] == ["dns", "connect"]
    profile = SMTPProfile.objects.get()
    assert activation.is_live(profile)
    assert profile.is_default


@pytest.mark.django_db
def test_a_password_comes_from_standard_input_exactly(monkeypatch):
    with smtp_server(auth=("shop", CANARY)) as server:
        code, printed, _fault = call(
            "set_profile",
            "Shop",
            *values(server, **SIGNS_IN),
            *TO,
            "--password-stdin",
            password=CANARY,
            monkeypatch=monkeypatch,
        )
    assert (code, printed["live"]) == (0, True)
    assert stored_secret(SMTPProfile.objects.get()).reveal() == CANARY
    assert CANARY not in json.dumps(printed)


@pytest.mark.django_db
def test_a_failed_test_saves_nothing_and_exits_1():
    with smtp_server(answers={"RCPT": "550 5.1.1 no such user"}) as server:
        code, printed, fault = call("set_profile", "Shop", *values(server), *TO)
    assert code == 1
    assert (printed["saved"], printed["live"], printed["verdict"]) == (False, False, "failed")
    assert fault == printed["sentence"]
    assert printed["reply"].startswith("550")
    assert not SMTPProfile.objects.exists()


@pytest.mark.django_db
def test_a_failed_change_leaves_the_live_settings_alone():
    with smtp_server() as server:
        call("set_profile", "Shop", *values(server), *TO)
        server.answers["MAIL"] = "550 no"
        code, _printed, _fault = call("set_profile", "Shop", "from_address=new@example.com", *TO)
    profile = SMTPProfile.objects.get()
    assert code == 1
    assert profile.from_address == "shop@example.com"
    assert activation.is_live(profile)


@pytest.mark.django_db
def test_a_change_keeps_the_other_values_and_the_password(monkeypatch):
    with smtp_server(auth=("shop", CANARY)) as server:
        profile = a_profile(name="Shop", password=CANARY, port=server.port)
        code, printed, _fault = call("set_profile", "Shop", "max_connections=9", *TO)
    profile.refresh_from_db()
    assert (code, printed["created"], profile.max_connections) == (0, False, 9)
    assert stored_secret(profile).reveal() == CANARY


@pytest.mark.django_db
def test_a_moved_server_needs_the_password_again():
    with smtp_server(auth=("shop", CANARY)) as server:
        a_profile(name="Shop", password=CANARY)
        code, _printed, fault = call("set_profile", "Shop", f"port={server.port}", *TO)
        assert server.verbs() == []
    assert code == 2
    assert "Enter the password again" in fault


@pytest.mark.django_db
def test_a_draft_is_saved_without_a_test_and_without_a_server():
    code, printed, _fault = call("set_profile", "Later", "--draft", "notes=soon")
    assert (code, printed["saved"], printed["live"]) == (0, True, False)
    assert SMTPProfile.objects.get().is_draft


@pytest.mark.django_db
def test_a_draft_drops_a_password_of_another_server():
    profile = a_profile(name="Shop", password=CANARY)
    assert call("set_profile", "Shop", "host=127.0.0.2", "--draft")[0] == 0
    profile.refresh_from_db()
    assert profile.password is None


@pytest.mark.django_db
def test_every_kind_of_value_can_be_given():
    Site.objects.create(domain="shop.example")
    user = a_user(username="ann")
    credential = OAuthCredential.objects.create(
        name="Contoso", provider="microsoft", flow="browser", client_id="1"
    )
    code, _printed, fault = call(
        "set_profile", "All", "--draft", "sites=shop.example", "notify_user=ann", "oauth_credential=Contoso",
        "debug_recipients=a@example.com, b@example.com", "sender_domains=Example.com,bücher.example",
        "max_retries=", "classification_overrides=[]", "send_offset=5", "priority=high",
        "host= SMTP.Example.com ",
    )  # fmt: skip
    assert (code, fault) == (0, "")
    profile = SMTPProfile.objects.get()
    assert [site.domain for site in profile.sites.all()] == ["shop.example"]
    assert (profile.notify_user, profile.oauth_credential) == (user, credential)
    assert profile.debug_recipients == ["a@example.com", "b@example.com"]
    assert profile.sender_domains == ["example.com", "xn--bcher-kva.example"]
    assert (profile.max_retries, profile.send_offset, profile.priority) == (None, 5, "high")
    assert profile.host == "smtp.example.com"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["password=s3cret"], "only read from standard input"),
        (["nonsense=1"], "nonsense: There is no such field."),
        (["cleared_fingerprint=ffff"], "There is no such field"),
        (["is_draft=no"], "There is no such field"),
        (["id=7"], "There is no such field"),
        (["uuid=7d444840-9dc0-11d1-b245-5ffdce74fad2"], "There is no such field"),
        (["version=1"], "There is no such field"),
        (["test_runs=1"], "There is no such field"),
        (["port"], "not of the form field=value"),
        (["port=1", "port=2"], "given twice"),
        (["port=abc"], "port: "),
        (["port=0"], "port: "),
        (["port=70000"], "port: "),
        (["security=ssl"], "security: “ssl” is not one of starttls, tls, none."),
        (["priority=urgent"], "priority: “urgent” is not one of high, normal, low."),
        (["auth=magic"], "auth: “magic” is not one of none, password, oauth2."),
        (["enabled=maybe"], "Enter yes or no"),
        (["host=smtp://smtp.example.com"], "Enter only the host name: smtp.example.com"),
        (["from_address=not an address"], "is not a mail address"),
        (["from_address=a@example.com\nBcc: b@example.com"], "is not a mail address"),
        (["subject_prefix=[A]\r\nBcc: b@example.com"], "Line breaks"),
        (["sites=nowhere.example"], "There is no site “nowhere.example”"),
        (["notify_user=nobody"], "does not exist"),
        (["oauth_credential=none"], "does not exist"),
        (["classification_overrides={"], "not JSON"),
        (["max_connections=0"], "max_connections: "),
        (["name="], "name: "),
        (["max_connections="], "max_connections: "),
        (["retry_delay=100", "retry_cap=50"], "cannot be less"),
        (["auth=password"], "Enter the user name"),
        (["auth=password", "username=shop"], "accepts_clear_auth: "),
        (["security=starttls", "verification=none"], "accepts_unverified: "),
        (["from_policy=force", "from_address="], "from_address: "),
        (["host="], "Enter the server"),
        (["transport=mailgun"], "api_domain: Enter the domain you send from at Mailgun."),
        (["auth=oauth2", "username=a@b.example"], "oauth_credential: Choose the OAuth credential"),
        (["auth=password", "username=shop", "security=starttls"], "--password-stdin"),
        ([], "--test-to"),
    ],
)
def test_bad_input_is_one_sentence_no_row_and_exit_2(arguments, words):
    named = [argument.partition("=")[0] for argument in arguments]
    base = {"host": "127.0.0.1", "port": "2525", "security": "none", "auth": "none"}
    rest = [f"{name}={value}" for name, value in base.items() if name not in named]
    code, _printed, fault = call("set_profile", "Shop", *arguments, *rest)
    assert code == 2
    assert words in fault
    assert not SMTPProfile.objects.exists()
    assert not TestRun.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("to", ["nobody", "a@example.com,b@example.com"])
def test_a_bad_recipient_is_exit_2(to):
    with smtp_server() as server:
        code, _printed, fault = call("set_profile", "Shop", *values(server), "--test-to", to)
        assert server.verbs() == []
    assert (code, "is not a mail address" in fault) == (2, True)


@pytest.mark.django_db
@pytest.mark.parametrize("password", ["", "a\0b", "x" * 1025])
def test_an_impossible_password_is_exit_2(monkeypatch, password):
    with smtp_server() as server:
        code, _printed, fault = call(
            "set_profile",
            "Shop",
            *values(server, **SIGNS_IN),
            *TO,
            "--password-stdin",
            password=password,
            monkeypatch=monkeypatch,
        )
    assert code == 2
    assert fault


@pytest.mark.django_db
def test_without_a_key_it_is_a_sentence_and_exit_2(settings, monkeypatch):
    settings.MAILCONF_KEYS = settings.MAILCONF_KEYS_FILE = ""
    with smtp_server() as server:
        code, _printed, fault = call("set_profile", "Shop", *values(server), *TO)
    assert code == 2
    assert "generate_key" in fault


# test_profile


@pytest.mark.django_db
def test_a_saved_profile_is_tested_as_it_is():
    with smtp_server() as server:
        profile = a_profile(name="Shop", port=server.port)
        before = SMTPProfile.objects.values().get()
        code, printed, _fault = call("test_profile", "Shop", "--to", "inbox@example.com")
        [message] = server.wait_for(1)
    assert code == 0
    assert message.rcpt_to == ("inbox@example.com",)
    assert "connect" in printed
    assert "accepted the email" in printed
    assert SMTPProfile.objects.values().get() == before
    assert activation.is_live(profile)


@pytest.mark.django_db
def test_a_test_of_a_saved_profile_as_json():
    with smtp_server() as server:
        a_profile(name="Shop", port=server.port)
        code, printed, _fault = call("test_profile", "Shop", "--json")
        [message] = server.wait_for(1)
    assert (code, printed["verdict"], printed["profile"]) == (0, "passed", "Shop")
    assert message.rcpt_to == ("shop@example.com",)


@pytest.mark.django_db
def test_a_failed_test_of_a_saved_profile_exits_1():
    with smtp_server(answers={"BANNER": "554 go away"}) as server:
        a_profile(name="Shop", port=server.port)
        code, printed, fault = call("test_profile", "Shop", "--json")
    assert (code, printed["verdict"], printed["sentence"]) == (1, "failed", fault)
    assert (printed["cause"], printed["reply"]) == ("banner10", "554 go away")
    assert "Ask the server's owner to allow 127.0.0.1." in printed["advice"]


@pytest.mark.django_db
def test_a_failed_test_prints_the_servers_words_and_what_to_try():
    with smtp_server(answers={"RCPT": "550 5.1.1 User unknown"}) as server:
        a_profile(name="Shop", port=server.port)
        code, printed, fault = call("test_profile", "Shop")
    assert (code, fault) == (1, "The test recipient does not exist.")
    assert "The server said: 550 5.1.1 User unknown" in printed
    assert "  - Settings are fine up to here.\n  - Send to another address." in printed


@pytest.mark.django_db
def test_a_test_does_not_bring_an_edited_profile_back():
    with smtp_server() as server:
        profile = a_profile(name="Shop", port=2525)
        SMTPProfile.objects.update(port=server.port)
        assert call("test_profile", "Shop")[0] == 0
    profile.refresh_from_db()
    assert not activation.is_live(profile)


@pytest.mark.django_db
def test_a_profile_without_a_from_address_asks_for_a_recipient():
    a_draft(name="Later", from_address="")
    code, _printed, fault = call("test_profile", "Later")
    assert code == 2
    assert fault == (
        "from_address: The profile has none to send the test email to. Name who gets it: --to ADDRESS."
    )


@pytest.mark.django_db
@pytest.mark.parametrize("command", [("test_profile", "Shop"), ("set_profile", "Shop", "notes=new", *TO)])
def test_a_missing_key_is_named_with_what_to_do(settings, command):
    kid = sealing.current_keyring().primary.kid
    with smtp_server(auth=("shop", CANARY)) as server:
        a_profile(name="Shop", password=CANARY, port=server.port)
        settings.MAILCONF_KEYS_FILE, settings.MAILCONF_KEYS = "", sealing.new_key()
        code, _printed, fault = call(*command)
        assert server.verbs() == []
    assert code == 2
    assert f"“{kid}”" in fault
    assert "Put the file with that key back, or enter the password again" in fault
    assert "--password-stdin" in fault


@pytest.mark.django_db
@pytest.mark.parametrize("command", ["set_profile", "test_profile"])
def test_the_checks_of_the_keys_do_not_keep_from_entering_the_password_again(settings, command):
    a_profile(name="Shop")
    settings.MAILCONF_KEYS_FILE = settings.MAILCONF_KEYS = ""
    words = ["Shop", *(TO if command == "set_profile" else ("--to", "inbox@example.com"))]
    as_from_the_shell = load_command_class("smtp_settings", command)  # `call_command` would skip the checks
    options = vars(as_from_the_shell.create_parser("manage.py", command).parse_args(words))
    with pytest.raises(CommandError, match="generate_key") as refused:
        as_from_the_shell.execute(**options)
    assert not isinstance(refused.value, SystemCheckError)


@pytest.mark.django_db
def test_an_unknown_profile_is_exit_2():
    code, _printed, fault = call("test_profile", "Nobody")
    assert (code, fault) == (2, "There is no profile “Nobody”.")


@pytest.mark.django_db
def test_a_password_that_does_not_open_is_exit_2_and_nothing_is_sent():
    with smtp_server(auth=("shop", CANARY)) as server:
        a_profile(name="Shop", password=CANARY)
        SMTPProfile.objects.update(port=server.port)
        code, _printed, fault = call("test_profile", "Shop")
        assert server.verbs() == []
    assert (code, "does not open" in fault) == (2, True)


# test_profile --all


class Terminal(io.StringIO):
    """Standard error where a person looks on."""

    def isatty(self):
        return True


def call_all(*args, stderr=None):
    """Test every profile; returns (exit code, lines printed, sentence of the error)."""
    out = io.StringIO()
    try:
        call_command("test_profile", "--all", *args, stdout=out, stderr=stderr or io.StringIO())
        code, fault = 0, ""
    except CommandError as error:
        code, fault = error.returncode, str(error)
    return code, out.getvalue().splitlines(), fault


@pytest.mark.django_db
def test_all_enabled_profiles_are_tested_and_the_others_are_not():
    with smtp_server() as server:
        for name in ("Second", "First"):
            a_profile(name=name, port=server.port)
        a_profile(name="Off", port=server.port, enabled=False)
        a_draft(name="Draft", port=server.port)
        code, lines, fault = call_all("--to", "inbox@example.com")
        assert len(server.wait_for(2)) == 2
    assert (code, fault) == (0, "")
    assert [line.partition(":")[0] for line in lines] == ["First", "Second"]
    assert all("passed in" in line for line in lines)


@pytest.mark.django_db
def test_one_failure_of_all_is_exit_1_and_the_others_are_tested():
    with smtp_server() as server, smtp_server(answers={"RCPT": "550 5.1.1 no"}) as refusing:
        a_profile(name="First", port=refusing.port)
        a_profile(name="Second", port=server.port)
        code, lines, fault = call_all("--json")
        assert len(server.wait_for(1)) == 1
    first, second = map(json.loads, lines)
    assert (code, fault) == (1, "1 of 2 profiles failed.")
    assert (first["profile"], first["verdict"], second["verdict"]) == ("First", "failed", "passed")
    assert first["reply"].startswith("550")
    assert first["test_run"] == str(TestRun.objects.get(state="failed").uuid)


@pytest.mark.django_db
def test_a_profile_that_cannot_be_tested_has_failed_and_the_others_are_tested():
    with smtp_server() as server:
        a_profile(name="First", port=server.port, from_address="")
        torn = a_profile(name="Second", password=CANARY)
        SMTPProfile.objects.filter(pk=torn.pk).update(port=server.port)
        a_profile(name="Third", port=server.port)
        code, lines, fault = call_all("--json")
    first, second, third = map(json.loads, lines)
    assert (code, fault) == (1, "2 of 3 profiles failed.")
    assert (first["test_run"], second["test_run"]) == (None, None)
    assert "--to ADDRESS" in first["sentence"]
    assert "does not open" in second["sentence"]
    assert third["verdict"] == "passed"


@pytest.mark.django_db
def test_a_terminal_shows_which_profile_is_tested():
    with smtp_server() as server:
        a_profile(name="First", port=server.port)
        a_profile(name="Second", port=server.port)
        terminal = Terminal()
        code, lines, _fault = call_all(stderr=terminal)
    shown = terminal.getvalue()
    assert (code, len(lines)) == (0, 2)
    assert "1 of 2: First" in shown
    assert "2 of 2: Second, connect done" in shown
    assert shown.endswith("\r\x1b[K")


@pytest.mark.django_db
@pytest.mark.parametrize("words", [[], ["Shop", "--all"]])
def test_a_name_or_all_is_needed(words):
    code, _printed, fault = call("test_profile", *words)
    assert (code, fault) == (2, "Name one profile, or --all.")


@pytest.mark.django_db
def test_no_profile_to_test_is_exit_2():
    a_draft(name="Later")
    assert call_all() == (2, [], "There is no enabled profile.")


@pytest.mark.django_db
def test_the_steps_of_one_test_are_printed_as_they_come():
    with smtp_server() as server:
        printed = io.StringIO()

        def answer(_argument):
            seen.append(printed.getvalue())

        seen = []
        server.answers["DOT"] = answer
        a_profile(name="Shop", port=server.port)
        call_command("test_profile", "Shop", stdout=printed)
    assert "connect" in seen[0]
    assert "accepted the email" not in seen[0]
    assert "accepted the email" in printed.getvalue()
