"""`manage.py import_settings` as it is called: other programs' mail settings become drafts."""

import io
import json
import sys
import types

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from smtp_settings import presets
from smtp_settings.clearance.candidate import stored_secret
from smtp_settings.importing import addresses, from_env
from smtp_settings.importing.elsewhere import ANYMAIL
from smtp_settings.models import Event, SMTPProfile
from tests.builders import a_profile

SMTP = "django.core.mail.backends.smtp.EmailBackend"
OURS = "delivery.email_backend.EmailBackend"
CANARY = "c4nary-pa55word"
SENDGRID = {
    "EMAIL_HOST": "smtp.sendgrid.net",
    "EMAIL_PORT": 587,
    "EMAIL_USE_TLS": True,
    "EMAIL_HOST_USER": "apikey",
    "EMAIL_HOST_PASSWORD": f"SG.{CANARY}",
    "DEFAULT_FROM_EMAIL": "Shop <noreply@shop.example>",
}

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop_settings(monkeypatch):
    """Put a settings module "shop_settings" in place."""

    def put(**names):
        module = types.ModuleType("shop_settings")
        vars(module).update(names)
        monkeypatch.setitem(sys.modules, "shop_settings", module)
        return ("--module", "shop_settings")

    return put


@pytest.fixture
def env_file(tmp_path):
    """Write a .env file."""

    def put(text):
        path = tmp_path / ".env"
        path.write_text(text, encoding="utf-8")
        return ("--env-file", str(path))

    return put


@pytest.fixture
def before_mailers(settings):
    """Settings as they were before Django 6.1, which takes EMAIL_* and warns, but not beside MAILERS."""
    if hasattr(settings, "MAILERS"):
        del settings.MAILERS


def run(*args):
    """Run the command; return (exit code, what it printed and said)."""
    out = io.StringIO()
    try:
        call_command("import_settings", *args, stdout=out, stderr=io.StringIO())
    except CommandError as error:
        return error.returncode, out.getvalue() + str(error)
    return 0, out.getvalue()


def told(*args):
    """Run the command with --json; return (exit code, the object)."""
    code, text = run(*args, "--json")
    return code, json.JSONDecoder().raw_decode(text)[0]


def test_a_projects_email_settings_become_a_draft_with_its_password_sealed(shop_settings):
    code, text = run(*shop_settings(**SENDGRID))
    assert code == 0
    profile = SMTPProfile.objects.get()
    assert (profile.host, profile.port, profile.security) == ("smtp.sendgrid.net", 587, "starttls")
    assert (profile.auth, profile.username, profile.preset) == ("password", "apikey", "sendgrid")
    assert (profile.from_address, profile.from_name) == ("noreply@shop.example", "Shop")
    assert (profile.name, profile.is_draft, profile.enabled) == ("SendGrid (shop.example)", True, False)
    assert stored_secret(profile).reveal() == f"SG.{CANARY}"
    assert CANARY not in bytes(profile.password).decode("latin-1")
    assert CANARY not in text
    assert CANARY not in json.dumps([event.data for event in Event.objects.all()])


def test_a_dry_run_shows_the_same_and_saves_nothing(shop_settings):
    given = shop_settings(**SENDGRID)
    code, told_dry = told(*given, "--dry-run")
    assert code == 0
    assert not SMTPProfile.objects.exists()
    assert not Event.objects.exists()
    code, told_then = told(*given)
    assert code == 0
    assert [one.pop("state") for one in (told_dry["profiles"][0], told_then["profiles"][0])] == [
        "would_be_saved",
        "saved",
    ]
    assert told_dry["profiles"] == told_then["profiles"]
    assert CANARY not in json.dumps([told_dry, told_then])


def test_a_second_import_doubles_nothing_and_names_the_profile(shop_settings):
    given = shop_settings(**SENDGRID)
    run(*given)
    code, result = told(*given)
    assert code == 0
    assert [(one["state"], one["profile"]) for one in result["profiles"]] == [
        ("exists", "SendGrid (shop.example)")
    ]
    assert SMTPProfile.objects.count() == 1


def test_a_live_profile_for_the_same_server_and_user_stays_as_it_is(shop_settings):
    live = a_profile(
        host="smtp.sendgrid.net", port=587, security="starttls", username="apikey", password="old"
    )
    before = SMTPProfile.objects.values().get()
    code, text = run(*shop_settings(**SENDGRID))
    assert code == 0
    assert f"is there already: profile “{live.name}”" in text
    assert SMTPProfile.objects.values().get() == before


def test_each_mailer_of_django_6_1_becomes_a_draft_of_its_own(shop_settings):
    mailers = {
        "default": {
            "BACKEND": SMTP,
            "OPTIONS": {"host": "mx.shop.example", "port": 465, "use_ssl": True, "username": "shop",
                        "password": CANARY, "timeout": 7, "colour": "red"},
        },
        "bulk": {"BACKEND": SMTP, "OPTIONS": {"host": "bulk.shop.example"}},
        "queue": {"BACKEND": OURS},
        "console": {"BACKEND": "django.core.mail.backends.console.EmailBackend"},
    }  # fmt: skip
    code, result = told(*shop_settings(MAILERS=mailers))
    assert code == 1
    first, bulk = SMTPProfile.objects.order_by("pk")
    assert (first.host, first.port, first.security) == ("mx.shop.example", 465, "tls")
    assert first.connect_timeout == 7
    assert (bulk.name, bulk.host, bulk.port, bulk.security, bulk.auth) == (
        "bulk", "bulk.shop.example", 25, "none", "none",
    )  # fmt: skip
    assert result["profiles"][0]["notes"] == ["The option “colour” is not known here; it was left out."]
    [left] = result["not_taken"]
    assert left["source"] == "MAILERS['console']"
    assert "prints mail" in left["sentence"]
    assert "“Sandbox”" in left["sentence"]


BACKENDS = {
    "django.core.mail.backends.console.EmailBackend": "Sandbox",
    "django.core.mail.backends.filebased.EmailBackend": "Pickup directory",
    "django.core.mail.backends.locmem.EmailBackend": "nothing to take over",
    "django.core.mail.backends.dummy.EmailBackend": "log-only",
    "django_ses.SESBackend": "Amazon SES",
    "anymail.backends.amazon_ses.EmailBackend": "Amazon SES",
    "anymail.backends.mailgun.EmailBackend": "delivery method “Mailgun”",
    "anymail.backends.postmark.EmailBackend": "provider preset “Postmark”",
    "anymail.backends.scaleway.EmailBackend": "SMTP settings its provider shows",
    "django_sendmail_backend.backends.EmailBackend": "sendmail program",
    "shop.mail.OurBackend": "does not know it",
}


@pytest.mark.parametrize(("backend", "advice"), BACKENDS.items())
def test_a_backend_that_is_no_smtp_is_named_with_what_to_choose_instead(shop_settings, backend, advice):
    code, text = run(*shop_settings(EMAIL_BACKEND=backend, EMAIL_HOST_PASSWORD=CANARY))
    assert code == 1
    assert f"“{backend}”" in text
    assert advice in text
    assert not SMTPProfile.objects.exists()
    assert CANARY not in text


def test_every_preset_that_is_proposed_for_anymail_exists():
    assert all(presets.by_key(key) for key in ANYMAIL.values() if key)


def test_behind_a_queue_the_real_settings_are_read_and_its_mail_is_pointed_at(shop_settings):
    code, text = run(*shop_settings(**SENDGRID, EMAIL_BACKEND="post_office.EmailBackend"))
    assert code == 0
    assert "manage.py import_queue post_office" in text
    assert SMTPProfile.objects.get().host == "smtp.sendgrid.net"


def test_what_is_not_understood_is_listed_in_a_sentence_each_and_never_with_its_value(shop_settings):
    given = shop_settings(
        EMAIL_HOST="mail.shop.example",
        EMAIL_PORT=CANARY,
        EMAIL_USE_TLS=True,
        EMAIL_HOST_PASSWORD=CANARY,
        EMAIL_SUBJECT_PREFIX="[Shop] ",
        EMAIL_SSL_CERTFILE="/etc/client.pem",
        EMAIL_TIMEOUT="soon",
        EMAIL_BATCH=CANARY,
        SERVER_EMAIL="root@shop.example",
    )
    code, text = run(*given)
    assert code == 0
    expected = ["port is no number", "password and no user name", "EMAIL_SUBJECT_PREFIX was left out"]
    expected += [
        "client certificate",
        "timeout is no number",
        "EMAIL_BATCH is no mail setting",
        "SERVER_EMAIL",
    ]
    assert [part for part in expected if part not in text] == []
    assert CANARY not in text
    assert SMTPProfile.objects.get().auth == "none"


def test_both_kinds_of_encryption_at_once_are_decided_by_the_port_and_said(shop_settings):
    given = shop_settings(EMAIL_HOST="a.example", EMAIL_PORT=465, EMAIL_USE_TLS=True, EMAIL_USE_SSL=True)
    assert "both asked for" in run(*given)[1]
    assert SMTPProfile.objects.get().security == "tls"


def test_a_password_that_would_go_in_clear_is_said_and_the_draft_is_not_ticked(shop_settings):
    given = shop_settings(EMAIL_HOST="a.example", EMAIL_HOST_USER="shop", EMAIL_HOST_PASSWORD=CANARY)
    assert "without encryption" in run(*given)[1]
    profile = SMTPProfile.objects.get()
    assert (profile.port, profile.security, profile.accepts_clear_auth) == (25, "none", False)


def test_a_token_that_is_the_user_name_too_is_not_printed(shop_settings):
    given = shop_settings(
        EMAIL_HOST="smtp.postmarkapp.com", EMAIL_HOST_USER=CANARY, EMAIL_HOST_PASSWORD=CANARY
    )
    assert CANARY not in run(*given, "--dry-run")[1] + run(*given)[1]
    assert SMTPProfile.objects.get().username == CANARY


def test_one_fault_saves_nothing_at_all(shop_settings):
    mailers = {
        "default": {"BACKEND": "", "OPTIONS": {"host": "a.example"}},
        "other": {"BACKEND": "", "OPTIONS": {"host": "b.example", "username": "u", "password": CANARY}},
    }
    with override_settings(MAILCONF_KEYS="", MAILCONF_KEYS_FILE=""):
        code, text = run(*shop_settings(MAILERS=mailers))
    assert code == 2
    assert CANARY not in text
    assert not SMTPProfile.objects.exists()


@pytest.mark.filterwarnings("ignore:The EMAIL_")
def test_the_current_settings_are_read_when_no_others_are_named(before_mailers):
    with override_settings(**SENDGRID, EMAIL_BACKEND=OURS):
        code, result = told("--dry-run")
    assert code == 0
    assert result["profiles"][0]["host"] == "smtp.sendgrid.net"


def test_the_current_mailers_are_read_when_no_others_are_named():
    mailers = {
        "default": {"BACKEND": SMTP, "OPTIONS": {"host": "mx.shop.example"}},
        "queue": {"BACKEND": OURS},
    }
    with override_settings(MAILERS=mailers):
        _code, result = told("--dry-run")
    assert [one["host"] for one in result["profiles"]] == ["mx.shop.example"]


@pytest.mark.filterwarnings("ignore:The EMAIL_")
def test_settings_without_mail_say_where_to_look(before_mailers):
    with override_settings(EMAIL_BACKEND=OURS):
        code, text = run()
    assert code == 1
    assert "--env-file" in text


def test_a_module_that_cannot_be_imported_is_wrong_usage_and_tells_no_value(tmp_path, monkeypatch):
    (tmp_path / "broken_shop.py").write_text(f"raise RuntimeError('{CANARY}')")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("broken_shop", "no_such_shop"):
        code, text = run("--module", name)
        assert code == 2
        assert name in text
        assert CANARY not in text


# .env files

FILES = {
    "EMAIL_URL of django-environ": (
        f"EMAIL_URL=smtp+tls://me%40shop.example:{CANARY}@smtp.gmail.com:587",
        ("smtp.gmail.com", 587, "starttls", "me@shop.example"),
    ),
    "smtps on 465": (f"EMAIL_URL=smtps://u:{CANARY}@a.example:465", ("a.example", 465, "tls", "u")),
    "smtps on 587": (f"EMAIL_URL=smtps://u:{CANARY}@a.example:587", ("a.example", 587, "starttls", "u")),
    "Symfony": (f"MAILER_DSN=smtp://u:{CANARY}@a.example", ("a.example", 587, "starttls", "u")),
    "Django's names, quoted": (
        f"export EMAIL_HOST='a.example' # ours\nEMAIL_PORT=2525\nEMAIL_USE_TLS=True\n"
        f'EMAIL_HOST_USER="u"\nEMAIL_HOST_PASSWORD="{CANARY}#1"',
        ("a.example", 2525, "starttls", "u"),
    ),
    "Laravel": (
        f"MAIL_MAILER=smtp\nMAIL_HOST=a.example\nMAIL_PORT=465\nMAIL_USERNAME=u\nMAIL_PASSWORD={CANARY}\n"
        "MAIL_ENCRYPTION=tls\nMAIL_FROM_ADDRESS=a@shop.example\nMAIL_FROM_NAME=Shop",
        ("a.example", 465, "tls", "u"),
    ),
    "SMTP_ names, no word on encryption": (
        f"SMTP_SERVER=a.example\nSMTP_USER=u\nSMTP_PASS={CANARY}",
        ("a.example", 587, "starttls", "u"),
    ),
    "a password that is another line's": (
        f"DJANGO_EMAIL_HOST=a.example\nDJANGO_EMAIL_HOST_USER=u\nEMAIL_HOST_PASSWORD=$SECRET\nSECRET={CANARY}",
        ("a.example", 25, "none", "u"),
    ),
    "a relay without sign-in": ("SMTP_HOST=relay.example\nSMTP_PORT=25", ("relay.example", 25, "none", "")),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_variables_becomes_a_draft(env_file, name):
    text, expected = FILES[name]
    code, said = run(*env_file(text))
    assert code == 0, said
    profile = SMTPProfile.objects.get()
    assert (profile.host, profile.port, profile.security, profile.username) == expected
    assert CANARY not in said
    assert (CANARY in stored_secret(profile).reveal()) if profile.username else profile.password is None


def test_a_laravel_driver_that_is_no_smtp_is_named(env_file):
    code, said = run(*env_file(f"MAIL_MAILER=mailgun\nMAIL_PASSWORD={CANARY}"))
    assert code == 1
    assert "delivery method “Mailgun”" in said
    assert CANARY not in said


@pytest.mark.parametrize(
    "text",
    [
        f"EMAIL_URL=smtp://u:{CANARY}@[",
        f"EMAIL_URL=ftp://u:{CANARY}@a.example",
        f"EMAIL_URL={CANARY}",
        f"EMAIL_URL=smtp://u:{CANARY}@a.example:99999",
    ],
)
def test_an_address_that_cannot_be_read_is_said_without_it(env_file, text):
    code, said = run(*env_file(text))
    assert code == 1
    assert "EMAIL_URL" in said
    assert CANARY not in said


def test_a_reference_to_a_name_that_is_not_there_is_said(env_file):
    code, said = run(*env_file("EMAIL_HOST=a.example\nEMAIL_HOST_USER=u\nEMAIL_HOST_PASSWORD=$VAULT"))
    assert code == 0
    assert "EMAIL_HOST_PASSWORD refers to a name" in said
    assert "no password. Enter it" in said


def test_a_file_that_is_not_there_or_not_text_is_wrong_usage(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert run("--env-file", str(tmp_path / "absent"))[0] == 2
    assert run("--env-file", str(tmp_path / "binary"))[0] == 2


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("A=1 # x", {"A": "1"}),
        ("A=a#b", {"A": "a#b"}),
        ("#A=1", {}),
        ("A='x y'  # z", {"A": "x y"}),
        (r'A="say \"hi\""', {"A": 'say "hi"'}),
        ("A=", {"A": ""}),
        ("A=1\nA=2", {"A": "2"}),
        ("no line of ours", {}),
    ],
)
def test_lines_of_a_file_are_read_as_shells_and_django_environ_do(text, values):
    assert from_env.parse(text) == values


def test_an_option_of_an_address_chooses_the_encryption():
    assert addresses.read("X", "smtp://a.example:587/?ssl=True")[1]["encryption"] == "tls"
    assert addresses.read("X", "smtp://a.example/?verify=0")[2] == [
        "“verify” in X is not known here; it was left out."
    ]
