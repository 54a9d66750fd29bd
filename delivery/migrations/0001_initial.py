import delivery.models
import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.db.models.deletion
import django.db.models.functions.comparison
import django.db.models.functions.datetime
from django.conf import settings
import datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('sites', '0002_alter_domain_unique'),
        ('smtp_settings', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Pool',
            fields=[
                ('id', models.SmallAutoField(primary_key=True, serialize=False)),
                ('site', models.ForeignKey(null=True, on_delete=delivery.models.keep_used_pools, related_name='+', to='sites.site')),
                ('sender_domain', models.CharField(max_length=253, null=True)),
                ('profile', models.ForeignKey(null=True, on_delete=delivery.models.keep_used_pools, related_name='+', to='smtp_settings.smtpprofile')),
            ],
            options={
                'constraints': [models.UniqueConstraint(django.db.models.functions.comparison.Coalesce('site_id', 0), django.db.models.functions.comparison.Coalesce('sender_domain', models.Value('')), django.db.models.functions.comparison.Coalesce('profile_id', 0), name='pool_is_unique')],
            },
        ),
        migrations.CreateModel(
            name='Worker',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('started_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('heartbeat_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('pid', models.IntegerField()),
                ('state', models.SmallIntegerField(choices=[(1, 'Live'), (2, 'Stopping'), (3, 'Dead')], db_default=1)),
                ('host', models.CharField(max_length=255)),
                ('boot_id', models.CharField(db_default='', max_length=64)),
                ('wants', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), db_default=[], size=None)),
                ('at_once', models.BooleanField(db_default=False)),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('at_once', False)), fields=['-id'], name='worker_newest')],
            },
        ),
        migrations.CreateModel(
            name='Message',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('due_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('expires_at', models.DateTimeField(null=True)),
                ('copy_of', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='delivery.message')),
                ('site', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='sites.site')),
                ('pinned_profile', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='smtp_settings.smtpprofile')),
                ('attachments_bytes', models.IntegerField(db_default=0)),
                ('priority', models.SmallIntegerField(choices=[(1, 'High'), (2, 'Normal'), (3, 'Low')], db_default=2, verbose_name='priority')),
                ('sensitive', models.BooleanField(db_default=False)),
                ('tag', models.TextField(db_default='')),
                ('message_id', models.TextField()),
                ('mail_from', models.TextField()),
                ('rcpt_to', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), size=None)),
                ('rcpt_first', models.TextField()),
                ('from_header', models.TextField(null=True)),
                ('subject', models.TextField(db_default='')),
                ('done_at', models.DateTimeField(null=True)),
                ('profile', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='smtp_settings.smtpprofile')),
                ('state', models.SmallIntegerField(choices=[(1, 'Queued'), (2, 'Sent'), (3, 'Failed'), (4, 'Held'), (5, 'Cancelled'), (6, 'Expired'), (7, 'Suppressed')], db_default=1, verbose_name='state')),
                ('attempts', models.SmallIntegerField(db_default=0, verbose_name='attempts')),
                ('code', models.SmallIntegerField(null=True)),
                ('enhanced', models.TextField(null=True)),
                ('reply', models.TextField(null=True)),
                ('verdicts', models.JSONField(null=True)),
            ],
            options={
                'verbose_name': 'message',
                'verbose_name_plural': 'messages',
                'permissions': [('view_message_body', 'Can read the content of messages'), ('retry_message', 'Can retry messages'), ('cancel_message', 'Can cancel messages'), ('hold_message', 'Can hold and release messages'), ('resend_message', 'Can send messages again as a copy'), ('resend_elsewhere', 'Can send messages again to other recipients'), ('move_message', 'Can move messages to another profile')],
                'indexes': [django.contrib.postgres.indexes.BrinIndex(fields=['created_at'], name='message_created_brin'), models.Index(fields=['rcpt_first'], name='message_rcpt_prefix', opclasses=['text_pattern_ops'])],
            },
        ),
        migrations.CreateModel(
            name='Content',
            fields=[
                ('message_id', models.BigIntegerField(primary_key=True, serialize=False)),
                ('size', models.IntegerField()),
                ('data', models.BinaryField()),
                ('cuts', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), db_default=[], size=None)),
                ('blob_ids', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), db_default=[], size=None)),
            ],
            options={
                'indexes': [django.contrib.postgres.indexes.GinIndex(condition=models.Q(('blob_ids', []), _negated=True), fields=['blob_ids'], name='content_blobs')],
            },
        ),
        migrations.CreateModel(
            name='Blob',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('digest', models.BinaryField(unique=True)),
                ('size', models.IntegerField()),
                ('last_used_on', models.DateField(db_default=django.db.models.functions.datetime.TruncDate(django.db.models.functions.datetime.Now()))),
                ('data', models.BinaryField()),
            ],
        ),
        migrations.CreateModel(
            name='QueueEntry',
            fields=[
                ('message_id', models.BigIntegerField(primary_key=True, serialize=False)),
                ('ready_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('lease_id', models.BigIntegerField(null=True)),
                ('profile_id', models.IntegerField(null=True)),
                ('last_profile_id', models.IntegerField(null=True)),
                ('pool_id', models.SmallIntegerField()),
                ('priority', models.SmallIntegerField(db_default=2)),
                ('attempts', models.SmallIntegerField(db_default=0)),
                ('drops', models.SmallIntegerField(db_default=0)),
                ('crashes', models.SmallIntegerField(db_default=0)),
                ('uncertain', models.BooleanField(db_default=False)),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('lease_id', None)), fields=['pool_id', 'priority', 'ready_at', 'message_id'], name='entry_lane'), models.Index(condition=models.Q(('lease_id__isnull', False)), fields=['lease_id'], name='entry_lease')],
            },
        ),
        migrations.CreateModel(
            name='Failure',
            fields=[
                ('message_id', models.BigIntegerField(primary_key=True, serialize=False)),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('profile_id', models.IntegerField(null=True)),
                ('state', models.SmallIntegerField(choices=[(1, 'Queued'), (2, 'Sent'), (3, 'Failed'), (4, 'Held'), (5, 'Cancelled'), (6, 'Expired'), (7, 'Suppressed')])),
                ('code', models.SmallIntegerField(null=True)),
                ('pool_id', models.SmallIntegerField()),
                ('priority', models.SmallIntegerField()),
                ('uncertain', models.BooleanField(db_default=False)),
                ('cause', models.TextField(db_default='')),
            ],
            options={
                'indexes': [models.Index(fields=['state', 'at'], name='failure_state_at'), models.Index(condition=models.Q(('uncertain', True)), fields=['message_id'], name='failure_uncertain')],
            },
        ),
        migrations.CreateModel(
            name='Attempt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('message_id', models.BigIntegerField()),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('worker_id', models.BigIntegerField(null=True)),
                ('profile_id', models.IntegerField(null=True)),
                ('ms', models.IntegerField(null=True)),
                ('n', models.SmallIntegerField()),
                ('code', models.SmallIntegerField(null=True)),
                ('phase', models.CharField(db_default='', max_length=10)),
                ('outcome', models.CharField(choices=[('retry', 'Put off'), ('failed', 'Refused'), ('released', 'Given back'), ('uncertain', 'Uncertain'), ('lost', 'Worker lost'), ('partial', 'Accepted for some'), ('late', 'Accepted under a lost lease')], max_length=10)),
                ('enhanced', models.CharField(max_length=16, null=True)),
                ('reply', models.TextField(db_default='')),
                ('cause', models.CharField(db_default='', max_length=20)),
                ('transcript', models.TextField(db_default='')),
            ],
            options={
                'indexes': [models.Index(fields=['message_id'], name='attempt_message')],
            },
        ),
        migrations.CreateModel(
            name='Slot',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('worker_id', models.BigIntegerField(null=True)),
                ('taken_at', models.DateTimeField(null=True)),
                ('profile_id', models.IntegerField()),
                ('n', models.SmallIntegerField()),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('profile_id', 'n'), name='slot_is_unique')],
            },
        ),
        migrations.CreateModel(
            name='Rate',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('tat', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('emission', models.DurationField()),
                ('tolerance', models.DurationField()),
                ('profile_id', models.IntegerField()),
                ('kind', models.CharField(choices=[('spacing', 'Spacing'), ('minute', 'Minute'), ('hour', 'Hour'), ('day', 'Day')], max_length=10)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('profile_id', 'kind'), name='rate_is_unique')],
            },
        ),
        migrations.CreateModel(
            name='ProfileState',
            fields=[
                ('profile', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='+', serialize=False, to='smtp_settings.smtpprofile')),
                ('breaker', models.SmallIntegerField(choices=[(1, 'Closed'), (2, 'Open'), (3, 'Half-open')], db_default=1)),
                ('penalty', models.SmallIntegerField(db_default=0)),
                ('open_until', models.DateTimeField(null=True)),
                ('probe_worker_id', models.BigIntegerField(null=True)),
                ('connections', models.SmallIntegerField(null=True)),
                ('connections_at', models.DateTimeField(null=True)),
                ('crowded', models.SmallIntegerField(db_default=0)),
                ('session_messages', models.SmallIntegerField(null=True)),
                ('session_messages_at', models.DateTimeField(null=True)),
                ('recipients', models.SmallIntegerField(null=True)),
                ('recipients_at', models.DateTimeField(null=True)),
                ('learned_fingerprint', models.TextField(db_default='')),
                ('ramp', models.SmallIntegerField(null=True)),
                ('sequential_until', models.DateTimeField(null=True)),
                ('sequential_fingerprint', models.TextField(db_default='')),
                ('size_limit', models.BigIntegerField(null=True)),
                ('size_is_refusal', models.BooleanField(db_default=False)),
                ('size_until', models.DateTimeField(null=True)),
                ('size_fingerprint', models.TextField(db_default='')),
                ('paused', models.SmallIntegerField(choices=[(0, 'No'), (1, 'By a person'), (2, 'By a configuration fault')], db_default=0)),
                ('fault_version', models.TextField(db_default='')),
                ('reason', models.TextField(db_default='')),
                ('paused_by', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('changed_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.CreateModel(
            name='Stat',
            fields=[
                ('pk', models.CompositePrimaryKey('minute', 'profile_id', 'worker_id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('minute', models.DateTimeField()),
                ('worker_id', models.BigIntegerField()),
                ('bytes', models.BigIntegerField(db_default=0)),
                ('ms', models.BigIntegerField(db_default=0)),
                ('profile_id', models.IntegerField()),
                ('sent', models.IntegerField(db_default=0)),
                ('deferred', models.IntegerField(db_default=0)),
                ('failed', models.IntegerField(db_default=0)),
                ('uncertain', models.IntegerField(db_default=0)),
                ('connects', models.IntegerField(db_default=0)),
            ],
        ),
        migrations.CreateModel(
            name='Backlog',
            fields=[
                ('minute', models.DateTimeField(primary_key=True, serialize=False)),
                ('waiting', models.IntegerField()),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='Notice',
            fields=[
                ('recipient', models.TextField(primary_key=True, serialize=False)),
                ('mailed_at', models.DateTimeField(null=True)),
                ('given_up', models.IntegerField(db_default=0)),
                ('message_ids', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), db_default=[], size=None)),
                ('paused_ids', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), db_default=[], size=None)),
                ('refusing_ids', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), db_default=[], size=None)),
            ],
        ),
        migrations.CreateModel(
            name='Upkeep',
            fields=[
                ('kind', models.CharField(max_length=20, primary_key=True, serialize=False)),
                ('due_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('done_at', models.DateTimeField(null=True)),
                ('cursor', models.TextField(db_default='')),
                ('removed', models.BigIntegerField(db_default=0)),
            ],
        ),
        migrations.CreateModel(
            name='IdempotencyKey',
            fields=[
                ('key', models.TextField(primary_key=True, serialize=False)),
                ('message_id', models.BigIntegerField()),
                ('digest', models.BinaryField()),
                ('expires_at', models.DateTimeField()),
            ],
            options={
                'indexes': [models.Index(fields=['expires_at'], name='idempotency_expiry')],
            },
        ),
        migrations.CreateModel(
            name='Incident',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('began_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('told_at', models.DateTimeField(null=True)),
                ('ended_at', models.DateTimeField(null=True)),
                ('due_at', models.DateTimeField(null=True)),
                ('profile_id', models.IntegerField(null=True)),
                ('stage', models.SmallIntegerField(null=True)),
                ('kind', models.CharField(max_length=20)),
                ('subject', models.TextField(db_default='')),
                ('name', models.TextField(db_default='')),
                ('words', models.TextField(db_default='')),
            ],
            options={
                'constraints': [models.UniqueConstraint(condition=models.Q(('ended_at', None)), fields=('kind', 'subject'), name='incident_is_open_once')],
            },
        ),
        migrations.CreateModel(
            name='WebhookCall',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('due_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), null=True)),
                ('done_at', models.DateTimeField(null=True)),
                ('attempts', models.SmallIntegerField(db_default=0)),
                ('status', models.SmallIntegerField(null=True)),
                ('body', models.TextField()),
                ('error', models.TextField(db_default='')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('due_at__isnull', False)), fields=['due_at'], name='webhookcall_due')],
            },
        ),
        migrations.CreateModel(
            name='BulkJob',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('action', models.CharField(max_length=30)),
                ('filter', models.JSONField(default=dict)),
                ('user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('state', models.CharField(choices=[('running', 'Running'), ('done', 'Done'), ('stopped', 'Stopped')], default='running', max_length=10, verbose_name='state')),
                ('lower_id', models.BigIntegerField(default=0)),
                ('cursor_id', models.BigIntegerField(default=0)),
                ('upper_id', models.BigIntegerField()),
                ('estimate', models.BigIntegerField(default=0)),
                ('done', models.BigIntegerField(default=0)),
                ('skipped', models.JSONField(default=dict)),
                ('per_minute', models.IntegerField(default=0)),
                ('next_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('heartbeat_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('began_at', models.DateTimeField(null=True)),
                ('ended_at', models.DateTimeField(null=True)),
            ],
            options={
                'verbose_name': 'job',
                'verbose_name_plural': 'jobs',
                'permissions': [('run_large_bulkjob', 'Can run jobs over more than 10,000 messages and stop any job')],
                'indexes': [models.Index(condition=models.Q(('state', 'running')), fields=['next_at'], name='bulkjob_running')],
            },
        ),
        migrations.AddConstraint(
            model_name='message',
            constraint=models.CheckConstraint(condition=models.Q(('due_at__range', (datetime.datetime(2000, 1, 1, 0, 0, tzinfo=datetime.timezone.utc), datetime.datetime(2200, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)))), name='message_due_in_range'),
        ),
        migrations.AddConstraint(
            model_name='message',
            constraint=models.CheckConstraint(condition=models.Q(('expires_at__range', (datetime.datetime(2000, 1, 1, 0, 0, tzinfo=datetime.timezone.utc), datetime.datetime(2200, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)))), name='message_expiry_in_range'),
        ),
        migrations.AddConstraint(
            model_name='queueentry',
            constraint=models.CheckConstraint(condition=models.Q(('ready_at__range', (datetime.datetime(2000, 1, 1, 0, 0, tzinfo=datetime.timezone.utc), datetime.datetime(2200, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)))), name='entry_ready_in_range'),
        ),
    ]
