"""The canary again, through every page and endpoint: typed, tested, saved, and found nowhere (B17)."""

import base64
import html
import json
import logging
from datetime import timedelta
from importlib import import_module
from urllib.parse import quote

import pytest
from django.conf import settings as project
from django.contrib.sessions.models import Session
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from delivery import queue
from smtp_settings.models import SMTPProfile, TestRun
from smtp_settings.test_send.life import going_on
from tests.acceptance.processes import until
from tests.builders import a_user
from tests.house import every_address, furnish
from tests.servers import smtp_server
from tests.smtp_settings.form_filling import ADD, change_url, press, signing_in
from tests.submitting import form_of

pytestmark = pytest.mark.django_db(transaction=True)

CANARY = "kanarien & vogel-7Qz"
#: As it is, and in every coding it could hide in: SASL's, a URL's, a page's, JSON's, wide characters.
CODINGS = {
    "plain": CANARY,
    "base64": base64.b64encode(CANARY.encode()).decode(),
    "base64 of PLAIN": base64.b64encode(f"\0shop\0{CANARY}".encode()).decode(),
    "base64 url": base64.urlsafe_b64encode(CANARY.encode()).decode().rstrip("="),
    "hex": CANARY.encode().hex(),
    "utf-16": CANARY.encode("utf-16-le").decode("latin-1"),
    "utf-16 in base64": base64.b64encode(CANARY.encode("utf-16-le")).decode(),
    "html": html.escape(CANARY),
    "url": quote(CANARY),
    "url of a form": CANARY.replace(" ", "+").replace("&", "%26"),
    "json": json.dumps(CANARY)[1:-1],
    "half of it": CANARY[:12],
    "backwards": CANARY[::-1],
}


def found_in(text):
    return [name for name, coding in CODINGS.items() if coding in text]


def everything_stored():
    """All rows of all tables as text, and what sessions hold when they are opened."""
    texts = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT t::text FROM "{table}" t')
            texts += [row[0] for row in cursor.fetchall()]
    store = import_module(project.SESSION_ENGINE).SessionStore
    texts += [str(store().decode(one.session_data)) for one in Session.objects.all()]
    return "\n".join(texts)


def files_written():
    """What the installation's folder holds: the broker's files, journals, logs."""
    folder = project.MAILCONF_VAR
    files = [one for one in folder.rglob("*") if one.is_file()]
    return {str(one.relative_to(folder)): one.read_bytes().decode("latin-1") for one in files}


class Pages:
    """Remembers everything the browser was sent."""

    def __init__(self, client):
        self.client = client
        self.seen = {}

    def keep(self, name, answer):
        headers = "\n".join(f"{key}: {value}" for key, value in answer.headers.items())
        cookies = self.client.cookies.output()
        body = b"".join(answer.streaming_content) if answer.streaming else answer.content
        self.seen[f"{len(self.seen)} {name}"] = body.decode("utf-8", "replace") + headers + cookies
        return answer

    def get(self, name, url, **data):
        return self.keep(name, self.client.get(url, data))

    def post(self, name, url, data):
        return self.keep(name, self.client.post(url, data))

    def ended(self, name, started):
        """Poll a run to its end, keeping each answer."""
        deadline = timezone.now() + timedelta(seconds=120)
        while timezone.now() < deadline:
            state = self.get(name, started.json()["poll"]).json()
            if state["status"] not in ("waiting", "running"):
                return state
        raise AssertionError("no end after two minutes")


@pytest.fixture
def person():
    return a_user("superuser", username="zzalex", email="alex@example.com")


@pytest.fixture
def pages(client, person):
    client.force_login(person)
    return Pages(client)


def start(pages, values, **more):
    return pages.post("start", reverse("admin:smtp_settings_testrun_start"), values | more)


def test_a_canary_goes_through_every_page_and_turns_up_in_none(pages, client, person, caplog):
    """B17, F1-F11."""
    caplog.set_level(logging.DEBUG)
    with smtp_server(security="none", auth=("shop", CANARY)) as server:
        values = signing_in(client, server, CANARY)
        for name in ("hints", "fill", "dns", "offer"):
            url = reverse(f"admin:smtp_settings_smtpprofile_{name}")
            pages.post(name, url, values | {"preset": "sendgrid"})
        for button in ("_save", "_fill", "_fix", "_draft_confirmed_not", "_find", "_send_test"):
            pages.keep(button, press(client, ADD, values | {"port": "0"}, button))
        pages.ended("connect", start(pages, values, _kind="connect"))
        started = start(pages, values)
        assert pages.ended("send", started)["status"] == "passed"
        saved = pages.keep("save", press(client, ADD, values | {"_test_run": started.json()["id"]}, "_save"))
        assert saved.status_code == 302
        profile = SMTPProfile.objects.get()
        mine = form_of(pages.get("change", change_url(profile)))
        pages.keep(
            "new password", press(client, change_url(profile), mine | {"password": CANARY + "x"}, "_save")
        )
        pages.post("saved", reverse("admin:smtp_settings_smtpprofile_test", args=[profile.pk]), {})
        pages.post("copy", reverse("admin:smtp_settings_smtpprofile_duplicate", args=[profile.pk]), {})
        until(lambda: not going_on().exists())
    house = furnish(person)
    house.ids |= {
        "smtp_settings_smtpprofile": profile.pk,
        "smtp_settings_testrun": TestRun.objects.filter(profile_uuid=profile.uuid).latest("id"),
    }
    for address in every_address(house):
        if address.name != "logout":
            pages.get(address.name, address.url)

    assert "base64 of PLAIN" in found_in("\n".join(server.commands)), "it would be seen"
    assert len(pages.seen) > 60
    assert {name: found for name, text in pages.seen.items() if (found := found_in(text))} == {}
    assert found_in(everything_stored()) == []
    assert found_in(caplog.text) == []
    assert {name: found for name, text in files_written().items() if (found := found_in(text))} == {}


@pytest.mark.parametrize(
    "echo",
    [
        "535 5.7.8 {plain} is wrong",
        "535 5.7.8 {base64} is wrong",
        "535 5.7.8 got {base64 of PLAIN}",
        "535-5.7.8 line one {plain}\r\n535 5.7.8 line two {hex}",
    ],
)
def test_a_server_that_repeats_it_gets_it_on_no_page(pages, client, caplog, echo):
    """B17, D14: the transcript, the cause, and the text for the provider."""
    caplog.set_level(logging.DEBUG)
    words = echo
    for name, coding in CODINGS.items():
        words = words.replace(f"{{{name}}}", coding)
    with smtp_server(security="none", auth=("shop", "x"), answers={"AUTH": words}) as server:
        values = signing_in(client, server, CANARY)
        state = pages.ended("send", start(pages, values))
        pages.keep(
            "without scripts", press(client, ADD, values | {"from_address": "b@example.com"}, "_send_test")
        )
    for run in TestRun.objects.all():
        pages.get("run", f"/admin/smtp_settings/testrun/{run.pk}/change/")

    assert state["status"] == "failed"
    assert "provider" in state["html"]
    assert {name: found for name, text in pages.seen.items() if (found := found_in(text))} == {}
    assert found_in(everything_stored()) == []
    assert found_in(caplog.text) == []


def test_a_task_carries_an_id_and_nothing_of_it(pages, client, caplog):
    """B17, F4: with a worker alive the test is ordered; the broker's files hold no value of the form."""
    queue.register_worker()
    with smtp_server(security="none", auth=("shop", CANARY)) as server:
        before = set(files_written())
        started = start(pages, signing_in(client, server, CANARY))
        ordered = {name: text for name, text in files_written().items() if name not in before}

        pages.ended("send", started)

    bodies = "".join(ordered.values())
    assert found_in(bodies) == []
    assert "127.0.0.1" not in bodies.replace("filesystem://localhost", "") or "celery" not in bodies
    assert found_in(everything_stored()) == []


def test_a_fault_of_ours_does_not_tell_it(client, person, caplog, monkeypatch):
    """B17, F2, F3: a page that fails says a reference; the log has the fault without the form's password."""
    from smtp_settings.admin import profiles

    client.force_login(person)
    client.raise_request_exception = False
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(profiles.SMTPProfileAdmin, "render_change_form", None)
    with smtp_server(security="none") as server:
        values = {
            "name": "zz",
            "password": CANARY,
            "host": server.host,
            "username": "shop",
            "auth": "password",
        }
        answer = client.post(ADD, values)

    assert answer.status_code == 500
    assert found_in(answer.content.decode()) == []
    assert found_in(caplog.text) == []
