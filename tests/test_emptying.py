"""What a test with real transactions leaves behind is gone, and what the migrations made is there again."""

import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.sites.models import Site
from django.db import connection

from smtp_settings.models import Event, SMTPProfile
from tests import emptying
from tests.builders import a_profile, a_user


def size(model):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_relation_size(%s::regclass)", [model._meta.db_table])
        return cursor.fetchone()[0]


def rights():
    return {
        group.name: set(group.permissions.values_list("codename", flat=True)) for group in Group.objects.all()
    }


@pytest.mark.django_db(transaction=True)
def test_rows_are_deleted_and_what_the_migrations_made_is_put_back():
    before, permissions, site = rights(), Permission.objects.count(), Site.objects.get()
    a_profile(user=a_user("administrator"), sites=[site])
    Site.objects.update(domain="other.example")
    Site.objects.create(domain="third.example", name="third")
    Permission.objects.filter(codename="view_event").delete()
    Group.objects.filter(name="mailconf viewers").delete()

    emptying.empty()

    assert not SMTPProfile.objects.exists()
    assert "mailconf viewers" in before
    assert rights() == before
    assert Permission.objects.count() == permissions
    assert Site.objects.get().domain == site.domain


@pytest.mark.django_db(transaction=True)
def test_a_table_that_has_grown_becomes_small_again():
    before = rights()
    Event.objects.bulk_create(Event(kind="hold", data={"text": "x" * 500}) for _ in range(2000))
    assert size(Event) > 256 * 1024

    emptying.empty()

    assert size(Event) == 0
    assert rights() == before
