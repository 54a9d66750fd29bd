"""The key of a clearance, so that a missing key is not taken for changed settings.

The database fills the column for old code that still runs.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Adds a column; taking it away loses nothing that sends."""

    dependencies = [("smtp_settings", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="smtpprofile",
            name="cleared_key",
            field=models.CharField(
                blank=True, db_default="", default="", editable=False, max_length=64, serialize=False
            ),
        ),
    ]
