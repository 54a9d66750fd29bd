"""Leaves the database as the migrations made it, at a fraction of the price of Django's `flush`.

After each test with real transactions `flush` truncates every table, which writes 38 files and 113 indexes
anew, and then makes all content types and permissions again with some 300 statements. A test writes to
five or ten tables. So here only tables that are not empty are looked at, and their rows are deleted; what
the migrations wrote is kept beside, in a schema of its own, and what a test changed of it is put back.
"""

from collections.abc import Sequence

from django.db import connection
from django.db.backends.utils import CursorWrapper
from psycopg import sql

#: Holds the copies of the tables that the migrations filled, and the function that empties.
_SCHEMA = "as_migrated"
#: A table that has grown beyond it is truncated, and all others with it: rows rolled back or deleted stay
#: in its pages, because nobody vacuums, and every later test would read them.
_MOST_BYTES = 256 * 1024

_EMPTY = """
CREATE OR REPLACE FUNCTION {schema}.empty() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text;
    size bigint;
    grown boolean := false;
    used text[];
    changed boolean;
BEGIN
    -- Waits for whoever still writes, as TRUNCATE would: what is not committed yet could not be deleted.
    LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE;
    FOREACH name IN ARRAY {empty}::text[] LOOP
        size := pg_relation_size(name::regclass);
        grown := grown OR size > {most};
        IF size > 0 THEN
            used := used || name;
        END IF;
    END LOOP;
    IF grown THEN
        TRUNCATE {tables};
    ELSIF used IS NOT NULL THEN
        FOREACH name IN ARRAY used LOOP
            EXECUTE format('DELETE FROM %I', name);
        END LOOP;
    END IF;
    FOREACH name IN ARRAY {filled}::text[] LOOP
        EXECUTE format(
            'SELECT EXISTS ((TABLE {schema}.%1$I EXCEPT TABLE %1$I)'
            ' UNION (TABLE %1$I EXCEPT TABLE {schema}.%1$I))',
            name
        ) INTO changed;
        IF changed THEN
            EXECUTE format('DELETE FROM %1$I', name);
            EXECUTE format('INSERT INTO %1$I TABLE {schema}.%1$I', name);
        END IF;
    END LOOP;
END $$
"""


def remember_what_the_migrations_made() -> None:
    """Copy the rows of a database just made, and write the function for `empty`; a kept one has them."""
    tables = sorted(connection.introspection.django_table_names(only_existing=True, include_views=False))
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regnamespace(%s) IS NULL", [_SCHEMA])
        if cursor.fetchone()[0]:
            _copy(cursor, tables)
        cursor.execute("SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace", [_SCHEMA])
        filled = {name for (name,) in cursor.fetchall()}
        cursor.execute(
            sql.SQL(_EMPTY).format(
                schema=sql.Identifier(_SCHEMA),
                tables=sql.SQL(", ").join(map(sql.Identifier, tables)),
                empty=sql.Literal([name for name in tables if name not in filled]),
                filled=sql.Literal([name for name in tables if name in filled]),
                most=sql.Literal(_MOST_BYTES),
            )
        )


def _copy(cursor: CursorWrapper, tables: Sequence[str]) -> None:
    filled = set()
    for name in tables:
        cursor.execute(sql.SQL("SELECT EXISTS (TABLE {})").format(sql.Identifier(name)))
        if cursor.fetchone()[0]:
            filled.add(name)
    if "auth_user" in filled or "auth_group" not in filled:
        raise RuntimeError("The kept database is not as the migrations made it: run once with --create-db.")
    cursor.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(_SCHEMA)))
    for name in filled:
        copy = sql.Identifier(_SCHEMA, name)
        cursor.execute(sql.SQL("CREATE TABLE {} AS TABLE {}").format(copy, sql.Identifier(name)))


def empty() -> None:
    """Delete every row a test has committed, and put back what it changed of the migrations' own."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_SCHEMA}.empty()")
