"""The site of messages that name none."""

import pytest
from django.contrib.sites.models import Site
from django.core import checks

from delivery import handover
from delivery.checks import TAG
from delivery.models import Message
from tests.delivery.queueing import statements

pytestmark = pytest.mark.django_db

MAIL = b"From: a@example.com\r\nTo: bob@example.com\r\nSubject: Report\r\n\r\nNumbers.\r\n"


@pytest.fixture
def sites():
    return [Site.objects.create(domain=name, name=name) for name in ("shop.example", "blog.example")]


def site_of(**options):
    """The site of a message handed over so."""
    return Message.objects.get(pk=handover.send(MAIL, **options).id).site_id


def warned():
    found = checks.run_checks(tags=[TAG], databases=["default"])
    return [one.msg for one in found if one.id == "mailconf.W026"]


def test_without_the_setting_a_message_has_the_site_it_names_or_none(settings, sites):
    assert settings.MAILCONF_DEFAULT_SITE == ""

    with statements() as seen:
        assert site_of() is None
    assert not any("django_site" in sql for sql in seen)
    assert site_of(site="blog.example") == sites[1].pk
    assert warned() == []


@pytest.mark.parametrize("named", ["shop.example", "Shop.Example", "{pk}"])
def test_a_message_that_names_no_site_gets_the_one_of_the_setting(settings, sites, named):
    settings.MAILCONF_DEFAULT_SITE = named.format(pk=sites[0].pk)

    assert site_of() == sites[0].pk
    assert site_of(site="blog.example") == sites[1].pk
    assert warned() == []


def test_many_messages_ask_for_it_once(settings, sites):
    settings.MAILCONF_DEFAULT_SITE = "shop.example"

    with statements() as seen:
        handover.send_many([handover.Outgoing(message=MAIL)] * 3)

    assert sum('FROM "django_site"' in sql for sql in seen) == 1
    assert set(Message.objects.values_list("site_id", flat=True)) == {sites[0].pk}


@pytest.mark.parametrize("named", ["zz.example", "0", "999999999", "9" * 30, "²"])
def test_a_name_of_no_site_is_warned_of_and_refuses_no_mail(settings, sites, named):
    settings.MAILCONF_DEFAULT_SITE = named

    assert site_of() is None
    (said,) = warned()
    assert named in said
    assert not [one for one in checks.run_checks(tags=[TAG], databases=[]) if one.id == "mailconf.W026"]
