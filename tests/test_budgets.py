"""What a page may cost in queries, with many profiles. `python -m bench pages` measures the time."""

import json
from collections import Counter

import pytest
from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test.signals import template_rendered
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from smtp_settings.models import SMTPProfile
from tests.builders import a_user
from tests.house import Address, crowd, every_address, furnish
from tests.pages import client_of
from tests.statements import asked

pytestmark = pytest.mark.django_db

MOST_QUERIES = 10
#: Templates a page may render, however many rows and fields it has: each costs a tenth of a millisecond.
MOST_TEMPLATES = 100
#: The same for a form that comes back with its errors.
REFUSED = 12
PROFILES, RUNS, EVENTS = 200, 500, 300

#: Stock pages, about people; their permissions alone are more.
STOCK = ("auth_", "sites_")


def queries_of(client, url):
    """The statements one page needs while what is kept for seconds is kept (counts, ribbon, dashboard)."""
    ContentType.objects.get_for_models(*apps.get_models())  # a process asks for them once
    asked_by(client, url)
    found = asked_by(client, url)
    if len(found) > MOST_QUERIES:  # on a slow machine the seconds may have passed
        found = min(found, asked_by(client, url), key=len)
    return found


def page_of(name):
    """A profile that is not the default: its page names the one that is."""
    pk = SMTPProfile.objects.get(name=name, is_default=False).pk
    return Address(f"the page of {name}", reverse("admin:smtp_settings_smtpprofile_change", args=[pk]))


def asked_by(client, url):
    with CaptureQueriesContext(connection) as seen:
        answer = client.get(url)
    assert answer.status_code in (200, 302, 403, 404, 405), url
    return asked(seen)


@pytest.mark.parametrize("role", ["superuser", "administrator", "viewer"])
def test_no_page_needs_more_than_ten_queries_with_200_profiles(role):
    owner = a_user("superuser")
    house = furnish(owner)
    crowd(profiles=PROFILES, runs=RUNS, events=EVENTS, user=owner)
    client = client_of(role)

    costs = {
        one.name: queries_of(client, one.url)
        for one in [*every_address(house), page_of("zzOffice")]
        if not one.name.startswith(STOCK)
    }

    over = {name: [len(sql), *sql] for name, sql in costs.items() if len(sql) > MOST_QUERIES}
    assert not over, json.dumps(over, indent=1)[:20_000]


def test_no_page_renders_a_template_for_each_row_or_choice():
    owner = a_user("superuser")
    house = furnish(owner)
    crowd(profiles=PROFILES, runs=RUNS, events=EVENTS, user=owner)
    client = client_of("superuser")
    rendered = []

    def note(sender, **_more):
        rendered.append(sender.name)

    costs = {}
    template_rendered.connect(note)
    try:
        for one in every_address(house):
            rendered.clear()
            client.get(one.url)
            costs[one.name] = Counter(rendered)
    finally:
        template_rendered.disconnect(note)

    over = {name: seen.most_common(9) for name, seen in costs.items() if seen.total() > MOST_TEMPLATES}
    assert not over
    assert max(seen.total() for seen in costs.values()) > MOST_TEMPLATES // 2  # they are counted


@pytest.mark.parametrize("role", ["superuser", "administrator"])
@pytest.mark.parametrize("name", ["zzRelay", "zzOffice"])
def test_a_form_refused_needs_no_more(role, name):
    owner = a_user("superuser")
    furnish(owner)
    crowd(profiles=PROFILES, runs=RUNS, events=EVENTS, user=owner)
    client = client_of(role)
    url = reverse("admin:smtp_settings_smtpprofile_change", args=[SMTPProfile.objects.get(name=name).pk])
    client.get(url)  # as a person does; what is kept for seconds is kept

    with CaptureQueriesContext(connection) as seen:
        assert client.post(url, {"name": "zz"}).status_code == 200

    assert len(asked(seen)) <= REFUSED, asked(seen)
