"""Rules about replies in the profile form and in `set_profile`: typed as lines, refused where they stand."""

import html
import io

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from smtp_settings.clearance import activation
from smtp_settings.forms.inputs import ReplyRulesField
from smtp_settings.models import SMTPProfile
from tests.builders import a_profile, a_user
from tests.submitting import form_of

pytestmark = pytest.mark.django_db

RULES = [
    {"phase": "rcpt", "code": "450", "words": "mailbox <busy>", "meaning": "retry", "wait": 600},
    {"code": "421", "meaning": "too_many_connections"},
]
SHOWN = 'rcpt 450 "mailbox <busy>" -> retry 10m\n* 421 -> too_many_connections'
PAUSE = {"code": "421", "meaning": "pause"}
NAME = "classification_overrides"


@pytest.fixture
def client(client):
    client.force_login(a_user("superuser"))
    return client


def url_of(profile):
    return reverse("admin:smtp_settings_smtpprofile_change", args=[profile.pk])


def rules_of(profile):
    return SMTPProfile.objects.get(pk=profile.pk).classification_overrides


def test_typed_rules_are_saved_without_another_test_and_shown_in_their_normal_form(client):
    profile = a_profile()
    values = form_of(client.get(url_of(profile)))
    assert values[NAME] == ""
    typed = 'RCPT 450 "mailbox   <busy>"->RETRY 600\r\n\r\n* 421 -> too_many_connections\r\n'

    saved = client.post(url_of(profile), values | {NAME: typed, "_save": "1"})

    assert (saved.status_code, rules_of(profile)) == (302, RULES)
    profile.refresh_from_db()
    assert activation.is_live(profile)
    assert form_of(client.get(url_of(profile)))[NAME] == SHOWN


def test_rules_that_are_spelled_otherwise_are_no_change(client):
    field = ReplyRulesField()
    assert not field.has_changed(RULES, SHOWN.replace("->", "→").replace("10m", "600s"))
    assert field.has_changed(RULES, SHOWN.splitlines()[0])
    assert field.has_changed(RULES, "nonsense")


def test_a_bad_rule_is_refused_with_its_line_and_what_was_typed_stays(client):
    profile = a_profile(classification_overrides=RULES)
    values = form_of(client.get(url_of(profile)))
    typed = "rcpt 450 -> fail\nrcpt 250 -> <b>sent</b>\nauth 535 -> fail"

    refused = client.post(url_of(profile), values | {NAME: typed, "_save": "1"})

    page = html.unescape(refused.content.decode())
    assert "Line 2: “<b>sent</b>” is not a meaning." in page
    assert "<b>sent" not in refused.content.decode()
    assert "Line 3: “auth -> fail” says something of a message" in page
    assert form_of(refused)[NAME] == typed
    assert rules_of(profile) == RULES


def test_a_row_that_cannot_be_read_is_shown_as_it_is_and_refused_on_the_next_save(client):
    profile = a_profile()
    SMTPProfile.objects.filter(pk=profile.pk).update(classification_overrides=[{"meaning": "sent"}])
    values = form_of(client.get(url_of(profile)))
    assert values[NAME] == '{"meaning": "sent"}'
    assert client.post(url_of(profile), values | {"_save": "1"}).status_code == 200


def test_a_viewer_reads_the_rules_as_they_are_typed(client):
    profile = a_profile(classification_overrides=RULES)
    client.force_login(a_user("viewer"))
    page = client.get(url_of(profile)).content.decode()
    assert "rcpt 450 &quot;mailbox &lt;busy&gt;&quot; -&gt; retry 10m</li><li>" in page
    SMTPProfile.objects.update(classification_overrides=[])
    assert client.get(url_of(profile)).status_code == 200


def test_a_conflict_shows_both_sets_of_rules_as_they_are_typed(client):
    profile = a_profile(classification_overrides=RULES)
    values = form_of(client.get(url_of(profile)))
    SMTPProfile.objects.filter(pk=profile.pk).update(version=profile.version + 1)
    page = client.post(url_of(profile), values | {NAME: "dot 450 -> fail", "_save": "1"}).content.decode()
    table = html.unescape(page[page.index("saved values next to them") :])
    assert SHOWN in table
    assert "dot 450 -> fail" in table


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("dot 5xx -> retry", [{"phase": "dot", "code": "5", "meaning": "retry"}]),
        ("* 421 -> pause\n* 4xx -> retry", [PAUSE, {"code": "4", "meaning": "retry"}]),
        (' [{"meaning": "pause", "code": "4xx"}]', [{"code": "4", "meaning": "pause"}]),
        ("", []),
    ],
)
def test_set_profile_takes_lines_or_json(given, kept):
    call_command("set_profile", "Later", "--draft", f"{NAME}={given}", stdout=io.StringIO())
    assert SMTPProfile.objects.get().classification_overrides == kept


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("dot 5xx -> sent", f"{NAME}: Line 1: “sent” is not a meaning."),
        ("7", f"{NAME}: Line 1: “7” is not of the form"),
        ('[{"meaning": "sent"}]', f"{NAME}: Rule 1: “sent” is not a meaning."),
        ('{"meaning": "pause"}', f"{NAME}: Rule 1: "),
    ],
)
def test_set_profile_refuses_what_cannot_be_meant(given, sentence):
    with pytest.raises(CommandError) as refused:
        call_command("set_profile", "Later", "--draft", f"{NAME}={given}", stdout=io.StringIO())
    assert sentence in str(refused.value)
    assert not SMTPProfile.objects.exists()
