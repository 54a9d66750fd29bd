"""System checks of PostgreSQL, Redis and retention: one sentence what breaks, and one what to do."""

import json
import subprocess
from contextlib import contextmanager

import pytest
import redis
from celery import current_app
from django.core import checks
from django.core.management import call_command
from django.db import connection

from delivery import queue
from delivery.checks import TAG, broker, postgresql
from delivery.checks.broker import BrokerFacts
from delivery.checks.postgresql import ServerFacts
from tests.delivery.queueing import wait_until
from tests.ports import free_port

GOOD = {
    "autovacuum": "on",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "fsync": "on",
    "full_page_writes": "on",
    "idle_in_transaction_session_timeout": "0",
    "max_connections": "100",
    "server_version": "15.4",
    "server_version_num": "150004",
    "superuser_reserved_connections": "3",
    "synchronous_commit": "on",
    "track_counts": "on",
}
SERVERS = [
    ({}, []),
    ({"autovacuum": "off"}, ["W014"]),
    ({"track_counts": "off"}, ["W014"]),
    ({"default_transaction_isolation": "serializable"}, ["E014"]),
    ({"default_transaction_isolation": "repeatable read"}, ["E014"]),
    ({"default_transaction_read_only": "on"}, ["E013"]),
    ({"fsync": "off"}, ["W011"]),
    ({"full_page_writes": "off"}, ["W013"]),
    ({"synchronous_commit": "off"}, ["W012"]),
    ({"synchronous_commit": "local"}, []),  # a standby may be behind, this server is not
    ({"idle_in_transaction_session_timeout": "5000"}, ["W016"]),
    ({"idle_in_transaction_session_timeout": "10000"}, []),
    ({"server_version": "13.9", "server_version_num": "130009"}, ["E011"]),
    ({"server_version": "14.0", "server_version_num": "140000"}, []),
    ({"max_connections": "33"}, []),
    ({"max_connections": "32"}, ["W017"]),
    ({"max_connections": "33", "reserved_connections": "1"}, ["W017"]),
    ({"fsync": "off", "autovacuum": "off"}, ["W011", "W014"]),
]


def ids(messages):
    return [message.id.removeprefix("mailconf.") for message in messages]


@pytest.mark.parametrize(("settings", "expected"), SERVERS)
def test_settings_that_break_a_promise_are_named(settings, expected):
    assert ids(postgresql.judge(ServerFacts(settings=GOOD | settings))) == expected


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"is_replica": True}, ["E012"]),
        ({"is_pooled": True}, ["I015"]),
        ({"is_pooled": True, "is_shared": True}, ["W015"]),
        ({"sessions": 33}, []),
        ({"sessions": 34}, ["W017"]),
    ],
)
def test_what_is_between_us_and_the_server_is_named(facts, expected):
    assert ids(postgresql.judge(ServerFacts(settings=GOOD, **facts))) == expected


BROKERS = [
    ({}, {}, []),
    ({"maxmemory_policy": "allkeys-lru"}, {}, ["W021"]),
    ({"maxmemory_policy": "volatile-ttl"}, {}, ["W021"]),
    ({"role": "slave"}, {}, ["W022"]),
    ({"rdb_last_bgsave_status": "err"}, {}, ["W023"]),
    ({}, {"visibility_timeout": 600}, ["W024"]),
    ({"aof_enabled": 0, "rdb_last_save_time": 0}, {}, ["I022"]),
    ({"aof_enabled": 1, "rdb_last_save_time": 0}, {}, []),
]


@pytest.mark.parametrize(("info", "celery", "expected"), BROKERS)
def test_a_broker_that_forgets_is_named(info, celery, expected):
    good = {"maxmemory_policy": "noeviction", "role": "master", "aof_enabled": 0, "rdb_last_save_time": 17}
    assert ids(broker.judge(BrokerFacts(info=good | info, **celery))) == expected


def everything():
    """Every message there can be."""
    for settings, _expected in SERVERS:
        yield from postgresql.judge(ServerFacts(settings=GOOD | settings))
    for facts in ({"is_replica": True}, {"is_pooled": True}, {"is_shared": True}):
        yield from postgresql.judge(ServerFacts(settings=GOOD, **facts))
    for info, celery, _expected in BROKERS:
        yield from broker.judge(BrokerFacts(info=info, **celery))
    yield broker.away()


def test_each_is_one_sentence_what_breaks_and_one_what_to_do():
    for message in everything():
        for text in (str(message.msg), str(message.hint)):
            assert text.endswith("."), text
            assert text.count(". ") == 0, text


# Asked of real servers


def found(prefix, **options):
    messages = checks.run_checks(tags=[TAG], **options)
    return [one for one in ids(messages) if one[1:].startswith(prefix)]


@contextmanager
def set_for_this_session(**settings):
    with connection.cursor() as cursor:
        for name, value in settings.items():
            cursor.execute(f"SET {name} = {value}")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("RESET ALL")
            cursor.execute("SET TIME ZONE 'UTC'")


@pytest.mark.django_db(transaction=True)
def test_the_server_is_asked_when_the_database_is(settings):
    settings.CELERY_BROKER_URL = "filesystem://localhost//"
    with set_for_this_session(synchronous_commit="on"):
        before = set(found("01", databases=["default"]))
    assert not before & {"W012", "W015", "I015", "I011", "E011", "E012", "E013", "E014"}

    with set_for_this_session(synchronous_commit="off", default_transaction_isolation="serializable"):
        assert set(found("01", databases=["default"])) == before | {"W012", "E014"}
        assert found("01", databases=[]) == []


@pytest.mark.django_db(transaction=True)
def test_it_can_be_asked_before_there_is_a_table(settings):
    settings.CELERY_BROKER_URL = "filesystem://localhost//"
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE delivery_worker RENAME TO elsewhere")
    try:
        assert "I011" not in found("01", databases=["default"])
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE elsewhere RENAME TO delivery_worker")


@pytest.mark.django_db
def test_deployment_checks_ask_once(settings):
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    for options in ({"databases": []}, {"databases": ["default"]}):
        assert found("021", include_deployment_checks=True, **options) == ["I021"]
    assert found("021", databases=[]) == []


@contextmanager
def redis_server(program, folder, *arguments):
    port = free_port()
    process = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder), *arguments],
        stdout=subprocess.DEVNULL,
    )

    def answers():
        try:
            with redis.Redis(port=port) as client:
                return client.ping()
        except redis.ConnectionError:
            return False

    try:
        wait_until(answers, seconds=60)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()


@pytest.mark.redis
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("policy", "expected"), [("noeviction", []), ("allkeys-lru", ["W021"])], ids=["keeps", "evicts"]
)
def test_redis_is_asked_for_what_it_throws_away(settings, needs_redis, tmp_path, policy, expected):
    assert current_app.conf.task_time_limit
    with redis_server(needs_redis, tmp_path, "--maxmemory-policy", policy) as settings.CELERY_BROKER_URL:
        assert found("02", databases=["default"]) == expected


# Retention


@pytest.mark.django_db
def test_content_that_would_outlast_its_message_is_named(settings):
    assert found("003") == []
    settings.MAILCONF_KEEP_DAYS = settings.MAILCONF_KEEP_DAYS | {"content": 100, "sent": None}
    assert found("003") == ["W003", "W003"]
    messages = [one for one in checks.run_checks(tags=[TAG], databases=[]) if one.id == "mailconf.W003"]
    assert "90 days" in messages[0].msg
    assert "MAILCONF_KEEP_CANCELLED_DAYS" in messages[0].hint


# queue_status


@pytest.mark.django_db
def test_queue_status_says_what_is_wrong(settings, capsys):
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    queue.register_worker()

    call_command("queue_status")
    words = capsys.readouterr().err
    call_command("queue_status", "--json")
    problems = json.loads(capsys.readouterr().out)["problems"]

    assert "mailconf.I021: The broker does not answer" in words
    assert "mailconf.I021" in [one["id"] for one in problems]
