"""Lists are drawn as the stock admin draws them, to the byte; filters offer what Django's do."""

import re
from html import unescape

import pytest
from django.contrib.admin import SimpleListFilter, autodiscover, site
from django.contrib.admin.templatetags import admin_list
from django.contrib.auth.models import Group, User
from django.http import QueryDict

from delivery.models import Message
from mailconf.templatetags import mailconf_lists
from smtp_settings.models import Event, SMTPProfile, TestRun
from tests.builders import a_user
from tests.house import furnish

pytestmark = pytest.mark.django_db

OURS = [Message, SMTPProfile, TestRun, Event]


@pytest.fixture(scope="module", autouse=True)
def _registered():
    """The admin's pages are made known with the addresses, which nothing here may have asked for before."""
    autodiscover()


@pytest.fixture
def owner():
    person = a_user("superuser")
    furnish(person)
    return person


def list_of(rf, owner, model, **query):
    """The list as its page makes it."""
    request = rf.get(f"/admin/{model._meta.app_label}/{model._meta.model_name}/", query)
    request.user = owner
    listed = site.get_model_admin(model).get_changelist_instance(request)
    listed.formset = None  # as the view sets it
    return listed


@pytest.mark.parametrize("query", [{}, {"q": "zz"}])
@pytest.mark.parametrize("model", OURS)
def test_our_lists_look_as_django_draws_them(rf, owner, model, query):
    listed = list_of(rf, owner, model, **query)

    assert mailconf_lists.is_drawn_here(listed)
    ours = ["".join(row) for row in mailconf_lists.drawn(listed)]
    assert ours == ["".join(row) for row in admin_list.results(listed)]
    assert ours or query


@pytest.mark.parametrize("model", [User, Group])  # of fields, and of the row's own name
def test_any_other_list_is_left_to_django(rf, owner, model):
    listed = list_of(rf, owner, model)

    assert not mailconf_lists.is_drawn_here(listed)
    context = mailconf_lists.rows_of_list(listed)
    assert context["results"] == list(admin_list.results(listed))


@pytest.mark.parametrize("query", [{"_popup": "1"}, {"_to_field": "id"}])
def test_a_popup_is_left_to_django(rf, owner, query):
    assert not mailconf_lists.is_drawn_here(list_of(rf, owner, SMTPProfile, **query))


def test_the_address_is_asked_of_the_resolver_once(rf, owner, monkeypatch):
    listed, asked = list_of(rf, owner, SMTPProfile), []
    stock = listed.url_for_result
    monkeypatch.setattr(listed, "url_for_result", lambda row: asked.append(row) or stock(row))

    assert len(mailconf_lists.drawn(listed)) > 3
    assert len(asked) == 1


def test_a_list_without_rows_has_no_addresses(rf, owner):
    assert mailconf_lists.drawn(list_of(rf, owner, SMTPProfile, q="nothing has this name")) == []


def choices_of(drawn):
    """What a drawn filter offers: what its address says, whether it is marked, text."""
    links = re.findall(r'<li><a href="([^"]*)"( aria-current="true")?>([^<]*)</a></li>', drawn)
    return [(said(unescape(address)), bool(mark), unescape(text)) for address, mark, text in links]


def said(address):
    assert address.startswith("?")
    return QueryDict(address[1:]).dict()


@pytest.mark.parametrize(
    ("model", "query"),
    [
        *((model, {"q": "a&b"}) for model in OURS),
        (Message, {"state": "failed", "since": "day"}),
        (Event, {"kind": "test.passed", "user": "1"}),
        (User, {"is_staff__exact": "1"}),  # of a field: as Django says it
    ],
)
def test_a_filter_offers_what_django_would_and_marks_what_is_chosen(rf, owner, model, query):
    listed = list_of(rf, owner, model, **query)

    for spec in listed.filter_specs:
        stock = [
            (said(one["query_string"]), bool(one["selected"]), str(one["display"]))
            for one in spec.choices(listed)
        ]
        assert choices_of(mailconf_lists.filter_of_list(listed, spec)) == stock


def test_a_filter_escapes_what_it_shows(rf, owner):
    class Hostile(SimpleListFilter):
        title, parameter_name = "<b>zz", "zz&zz"

        def lookups(self, request, model_admin):
            return [('"&<', "<script>alert(1)</script>")]

    listed = list_of(rf, owner, Event)
    spec = Hostile(rf.get("/"), {"zz&zz": ['"&<']}, Event, site.get_model_admin(Event))
    drawn = mailconf_lists.filter_of_list(listed, spec)

    assert "<script" not in drawn
    assert "<b>" not in drawn
    assert choices_of(drawn)[1] == ({"zz&zz": '"&<'}, True, "<script>alert(1)</script>")
    assert "<summary>&lt;b&gt;zz: &lt;script&gt;alert(1)&lt;/script&gt;</summary>" in drawn
