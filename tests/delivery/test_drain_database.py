"""The drain's own connection: what is prepared there, and how long its plans last."""

import asyncio

import psycopg
import pytest
from django.db import connection

from delivery.dispatcher import database
from delivery.queue.statements import run

pytestmark = pytest.mark.django_db

_PREPARED = "SELECT statement FROM pg_prepared_statements"


def seen_after(times):
    """What is prepared on the drain's connection after so many runs of a statement, and what ran there."""
    ran = []

    def note(execute, sql, params, many, context):
        ran.append(sql)
        return execute(sql, params, many, context)

    async def calls(drain):
        await drain.call(lambda: connection.execute_wrappers.append(note))
        for number in range(times):
            await drain.call(lambda number=number: run("SELECT %s::int + 1", [number]))
        found = await drain.call(lambda: run(_PREPARED))
        await drain.call(lambda: connection.execute_wrappers.remove(note))
        return [statement for (statement,) in found]

    with database.Database() as drain:
        return asyncio.run(calls(drain)), ran


def test_a_statement_that_comes_again_and_again_is_planned_no_more():
    once, _ = seen_after(1)
    often, ran = seen_after(database.PREPARED_AFTER + 1)

    assert once == []
    assert often == ["SELECT $1::int + 1"]
    assert "DISCARD PLANS" not in ran


def test_nothing_is_prepared_behind_a_pool(monkeypatch):
    """A pool tells a number of its own when a client connects."""
    monkeypatch.setattr(psycopg.ConnectionInfo, "backend_pid", 0)

    often, _ = seen_after(database.PREPARED_AFTER + 1)

    assert often == []


def test_plans_are_made_anew_now_and_then_for_tables_that_grew(monkeypatch):
    monkeypatch.setattr(database, "PLANS_SECONDS", -1.0)

    _, ran = seen_after(database.PREPARED_AFTER + 1)

    assert ran.count("DISCARD PLANS") > database.PREPARED_AFTER


def test_a_drain_lives_through_a_migration_that_changes_what_it_prepared():
    look = "SELECT * FROM scratch_of_a_migration"

    async def calls(drain, migration):
        await migration.call(lambda: run("CREATE TABLE scratch_of_a_migration (id integer)"))
        try:
            for _ in range(database.PREPARED_AFTER + 1):
                await drain.call(lambda: run(look))
            await migration.call(lambda: run("ALTER TABLE scratch_of_a_migration ALTER id TYPE bigint"))
            return await drain.call(lambda: run(look))
        finally:
            await migration.call(lambda: run("DROP TABLE scratch_of_a_migration"))

    with database.Database() as drain, database.Database() as migration:
        assert asyncio.run(calls(drain, migration)) == []
        assert drain.repeats == 1
