"""The function that stores one message, so that PostgreSQL plans its statements once a session and not each time.

`delivery.queue.enqueue_one` calls it and says why. Another shape of it takes a new migration that makes a function with
other parameters beside this one, for old code still calls this one while the new code starts.
"""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

# Tables are found as everywhere, by the caller's search_path, and with the caller's rights. `send_at` NULL is now,
# `name` NULL a name of `mask` and `tail` (`delivery.queue.identity`), `kept` NULL a caller who does not wait. The
# answer is NULL where the route has no pool yet.
FUNCTION = """
CREATE FUNCTION delivery_enqueue(
  send_at timestamptz, expires_at timestamptz, copy_of_id bigint, site_id integer, profile_id integer,
  attachments_bytes integer, priority smallint, sensitive boolean, tag text, mail_from text, rcpt_first text,
  from_header text, subject text, rcpt_to text[], data bytea, name text, mask bigint, tail text, domain text,
  kept interval, OUT id bigint, OUT message_id text, OUT is_at_once boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  pool_id smallint;
  due_at timestamptz := greatest(send_at, now());
BEGIN
  SELECT pool.id INTO pool_id FROM {pool} pool
  WHERE coalesce(pool.site_id, 0) = coalesce(site_id, 0)
    AND coalesce(pool.sender_domain, '') = CASE WHEN profile_id IS NULL AND EXISTS (
        SELECT 1 FROM {profile} p WHERE domain = ANY(lower(p.sender_domains::text)::text[])
      ) THEN domain ELSE '' END
    AND coalesce(pool.profile_id, 0) = coalesce(profile_id, 0);
  IF NOT FOUND THEN
    RETURN;
  END IF;

  is_at_once := kept IS NOT NULL AND due_at = now() AND NOT coalesce((
    SELECT policy.queue_enabled FROM {policy} policy
    WHERE policy.queue_enabled IS NOT NULL AND coalesce(policy.site_id, 0) IN (0, site_id)
    ORDER BY policy.site_id NULLS LAST LIMIT 1), true);

  id := nextval(pg_get_serial_sequence('{message}', 'id'));
  message_id := coalesce(name, '<' || to_hex(id # mask) || tail);
  IF name IS NULL THEN
    data := convert_to('Message-ID: ' || message_id || E'\\r\\n', 'UTF8') || data;
  END IF;

  INSERT INTO {message} (id, due_at, expires_at, copy_of_id, site_id, pinned_profile_id, attachments_bytes,
    priority, sensitive, tag, message_id, mail_from, rcpt_first, from_header, subject, rcpt_to)
  VALUES (id, due_at, expires_at, copy_of_id, site_id, profile_id, attachments_bytes,
    priority, sensitive, tag, message_id, mail_from, rcpt_first, from_header, subject, rcpt_to);
  INSERT INTO {content} (message_id, size, data) VALUES (id, octet_length(data), data);
  INSERT INTO {entry} (message_id, ready_at, pool_id, priority)
  VALUES (id, CASE WHEN is_at_once THEN due_at + kept ELSE due_at END, pool_id, priority);
END $$
"""

TABLES = {
    "pool": ("delivery", "Pool"),
    "message": ("delivery", "Message"),
    "content": ("delivery", "Content"),
    "entry": ("delivery", "QueueEntry"),
    "profile": ("smtp_settings", "SMTPProfile"),
    "policy": ("smtp_settings", "SendingPolicy"),
}


def make_function(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    names = {name: schema_editor.quote_name(apps.get_model(*model)._meta.db_table) for name, model in TABLES.items()}
    schema_editor.execute(FUNCTION.format(**names))


def drop_function(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    schema_editor.execute("DROP FUNCTION delivery_enqueue")


class Migration(migrations.Migration):

    dependencies = [("delivery", "0003_groups")]

    operations = [migrations.RunPython(make_function, drop_function)]
