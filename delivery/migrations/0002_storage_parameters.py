"""Room for updates in place, and a vacuum that keeps up with a table whose rows live for seconds."""

from collections.abc import Iterable, Iterator

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

# Free space for the next version of each row: small tables that are updated all the time stay in a page or two (HOT), and
# an entry's lease and a message's end find room on their page, where they log a third and enter no index. Less of it for
# messages than all would need (45): their history would be half as large again. The entry's vacuum runs without pauses:
# it takes less than a second, and what it leaves a claim has to skip.
PARAMETERS = {
    "QueueEntry": {
        "fillfactor": "60",
        "autovacuum_vacuum_scale_factor": "0.01",
        "autovacuum_vacuum_threshold": "1000",
        "autovacuum_vacuum_cost_delay": "0",
        "autovacuum_analyze_scale_factor": "0.05",
    },
    "Message": {"fillfactor": "70", "autovacuum_vacuum_scale_factor": "0.02"},
    "Worker": {"fillfactor": "50"},
    "Slot": {"fillfactor": "50"},
    "Rate": {"fillfactor": "20"},
}
# pglz only burns CPU on base64.
UNCOMPRESSED = ("Content", "Blob")


def set_parameters(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    for name, table in _tables(apps, schema_editor, PARAMETERS):
        values = ", ".join(f"{key} = {value}" for key, value in PARAMETERS[name].items())
        schema_editor.execute(f"ALTER TABLE {table} SET ({values})")
    for _, table in _tables(apps, schema_editor, UNCOMPRESSED):
        schema_editor.execute(f"ALTER TABLE {table} ALTER COLUMN data SET STORAGE EXTERNAL")


def reset_parameters(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    for name, table in _tables(apps, schema_editor, PARAMETERS):
        schema_editor.execute(f"ALTER TABLE {table} RESET ({', '.join(PARAMETERS[name])})")
    for _, table in _tables(apps, schema_editor, UNCOMPRESSED):
        schema_editor.execute(f"ALTER TABLE {table} ALTER COLUMN data SET STORAGE EXTENDED")


def _tables(
    apps: StateApps, schema_editor: BaseDatabaseSchemaEditor, names: Iterable[str]
) -> Iterator[tuple[str, str]]:
    for name in names:
        yield name, schema_editor.quote_name(apps.get_model("delivery", name)._meta.db_table)


class Migration(migrations.Migration):
    dependencies = [("delivery", "0001_initial")]

    operations = [migrations.RunPython(set_parameters, reset_parameters)]
