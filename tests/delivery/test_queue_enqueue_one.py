"""A message that comes alone is stored as many are, whatever lies between its caller and PostgreSQL."""

from datetime import timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.sites.models import Site
from django.db import ProgrammingError, connection, transaction
from django.utils import timezone

from delivery import models, queue
from tests.delivery.policies import policy, site_policy
from tests.delivery.queueing import (
    a_handover,
    a_row_of_profile,
    composed,
    enqueued,
    entry,
    in_threads,
    statements,
)

pytestmark = pytest.mark.django_db

TABLES = [models.Message, models.Content, models.QueueEntry]


def sql(statement, *values):
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def stored(message_id):
    """All that is stored of a message, but for its number and the moments it came."""
    message = models.Message.objects.filter(pk=message_id).values().get()
    name, moment = message.pop("message_id"), message["due_at"]
    content = models.Content.objects.values().get(pk=message_id)
    ready = models.QueueEntry.objects.values().get(pk=message_id)
    prefix = f"Message-ID: {name}\r\n".encode()
    data = bytes(content.pop("data"))
    assert content.pop("size") == len(data)
    is_now = abs(moment - message["created_at"]) < timedelta(minutes=10)
    found = {
        "has an own name": name == "<own@example.org>",
        "domain": name.split("@")[1],
        "row": queue.rows_of(name) in ([], [message_id]),
        "data": data.removeprefix(prefix),
        "is prefixed": data.startswith(prefix),
        "kept": ready.pop("ready_at") - moment,
        "due_at": "now" if is_now else moment,
    }
    for row in (message, content, ready):
        for key in ("id", "created_at", "due_at", "message_id"):
            row.pop(key, None)
        found |= row
    return found


AWKWARD = {
    "plain": {},
    "names itself": {"composed": composed(message_id="<own@example.org>")},
    "no From": {"composed": composed(from_header=None, mail_from="Ana@Bounce.example")},
    "no sender at all": {"composed": composed(from_header=None, mail_from="", subject="")},
    "other scripts": {
        "composed": composed("\0\xff", subject="Ünï\u2028 %s {0} \\N", rcpt_to=("Ö@EXÄMPLE.de",))
    },
    "quotes": {"composed": composed(rcpt_to=('"odd, \\"one\\""@example.com', "NULL", "{}", ""))},
    "all options": {
        "priority": 1,
        "tag": "a'b,{c}",
        "sensitive": True,
        "copy_of": 2**40,
        "expires_at": timezone.now() + timedelta(days=3),
        "send_at": timezone.now() + timedelta(days=2),
        "composed": composed(attachments_bytes=2**31 - 1),
    },
    "a moment that has passed": {"send_at": timezone.now() - timedelta(days=1000)},
}


@pytest.mark.parametrize("options", AWKWARD.values(), ids=AWKWARD)
def test_what_is_stored_of_one_alone_is_what_is_stored_of_many(options):
    first, second = enqueued(2, **options)

    (alone,) = enqueued(**options)

    assert stored(alone) == stored(first) == stored(second)


@pytest.mark.parametrize("of_all", [None, True, False])
@pytest.mark.parametrize("of_the_site", [None, True, False])
@pytest.mark.parametrize("waits", [True, False])
def test_the_switches_of_the_queue_count_alone_as_among_others(of_all, of_the_site, waits):
    if of_all is not None:
        policy(queue_enabled=of_all)
    site_policy("other.example", queue_enabled=False)
    site_policy("shop.example", queue_enabled=of_the_site)
    options = {"caller_waits": waits, "site_id": Site.objects.get(domain="shop.example").pk}
    for changed in ({}, {"site_id": None}, {"send_at": timezone.now() + timedelta(hours=1)}):
        among = queue.enqueue([a_handover(**options | changed)] * 2)

        (alone,) = queue.enqueue([a_handover(**options | changed)])

        assert alone.is_at_once == among[0].is_at_once
        assert stored(alone.id) == stored(among[0].id)


ROUTES = [
    {},
    {"composed": composed(from_header="Ana <ana@LISTED.example>")},
    {"composed": composed(from_header="ana@other.example")},
    {"composed": composed(from_header=None)},
    {"site_id": "shop"},
    {"site_id": "shop", "composed": composed(from_header="ana@listed.example")},
    {"profile_id": "one"},
    {"profile_id": "other"},
    {"profile_id": "one", "composed": composed(from_header="ana@listed.example")},
    {"profile_id": "one", "site_id": "shop"},
]


def test_one_alone_goes_the_way_of_many_by_one_statement_among_pools_of_all_kinds():
    there_is = {
        "one": a_row_of_profile("One", sender_domains=["Listed.example"]).pk,
        "other": a_row_of_profile("Other", sender_domains=["second.example"]).pk,
        "shop": Site.objects.create(domain="shop.example", name="shop").pk,
    }
    wishes = [wish | {name: there_is[wish[name]] for name in wish if name != "composed"} for wish in ROUTES]
    among = [entry(enqueued(2, **wish)[0]).pool_id for wish in wishes]

    with statements() as seen:
        alone = [enqueued(**wish)[0] for wish in wishes]

    assert [entry(message_id).pool_id for message_id in alone] == among
    assert len(set(among)) == 7
    assert len(seen) == len(wishes)


# Whatever lies between


def test_nothing_has_to_be_prepared_in_the_session_so_that_a_pooler_may_give_each_statement_another():
    for _ in range(8):  # psycopg prepares after five, PL/pgSQL makes its lasting plans
        enqueued()

    assert sql("SELECT name FROM pg_prepared_statements") == []


@pytest.mark.django_db(transaction=True)
def test_a_session_reset_behind_each_statement_is_none_the_worse():
    for _ in range(8):
        (message_id,) = enqueued()
        sql("DISCARD ALL")

        assert entry(message_id).pool_id


def test_plans_follow_a_migration_that_other_processes_run():
    for _ in range(8):
        enqueued()
    for model in TABLES:
        sql(f"ALTER TABLE {model._meta.db_table} ADD COLUMN later integer NOT NULL DEFAULT 7")
    sql("ALTER TABLE delivery_message ALTER COLUMN tag TYPE varchar(100)")

    (message_id,) = enqueued(tag="report")

    assert sql("SELECT tag, later FROM delivery_message WHERE id = %s", message_id) == [("report", 7)]


def test_plans_follow_the_search_path():
    """As Django's own statements do, where a project has a schema for each tenant."""
    for _ in range(8):
        enqueued()
    sql("CREATE SCHEMA elsewhere")
    for model in (*TABLES, models.Pool):
        name = model._meta.db_table
        sql(f"CREATE TABLE elsewhere.{name} (LIKE {name} INCLUDING ALL)")
    sql("INSERT INTO elsewhere.delivery_pool (id) VALUES (77)")
    sql("SET LOCAL search_path TO elsewhere, public")

    (message_id,) = enqueued()

    assert sql("SELECT message_id, pool_id FROM elsewhere.delivery_queueentry") == [(message_id, 77)]
    assert sql("SELECT id FROM elsewhere.delivery_message") == [(message_id,)]
    assert sql("SELECT message_id FROM elsewhere.delivery_content") == [(message_id,)]
    assert message_id == 1  # of the sequence over there
    sql("SET LOCAL search_path TO public")
    assert entry(*enqueued()).pool_id != 77
    assert [model.objects.count() for model in TABLES] == [9, 9, 9]


def test_the_function_goes_and_comes_with_its_migration():
    migration = import_module("delivery.migrations.0004_enqueue")
    with connection.schema_editor() as editor:
        migration.drop_function(apps, editor)
        with pytest.raises(ProgrammingError, match="delivery_enqueue"):
            enqueued()

        migration.make_function(apps, editor)

    assert entry(*enqueued())


def test_one_alone_vanishes_with_the_callers_transaction():
    enqueued()
    with transaction.atomic():
        (message_id,) = enqueued()
        transaction.set_rollback(True)

    assert [model.objects.filter(pk=message_id).exists() for model in TABLES] == [False] * 3


@pytest.mark.django_db(transaction=True)
def test_threads_that_store_one_each_get_numbers_and_names_of_their_own():
    enqueued()

    made = [answer for answers in in_threads(*[lambda: [*map(one, range(10))]] * 4) for answer in answers]

    assert len({answer.id for answer in made}) == len({answer.message_id for answer in made}) == 40
    assert [queue.rows_of(answer.message_id) for answer in made] == [[answer.id] for answer in made]
    assert models.QueueEntry.objects.count() == 41


def one(_number):
    return queue.enqueue([a_handover()])[0]
