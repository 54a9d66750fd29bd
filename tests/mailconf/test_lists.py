"""Lists are drawn as the stock admin draws them, to the byte."""

import pytest
from django.contrib.admin import site
from django.contrib.admin.templatetags import admin_list
from django.contrib.auth.models import Group, User

from delivery.models import Message
from mailconf.templatetags import mailconf_lists
from smtp_settings.models import Event, SMTPProfile, TestRun
from tests.builders import a_user
from tests.house import furnish

pytestmark = pytest.mark.django_db

OURS = [Message, SMTPProfile, TestRun, Event]


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
