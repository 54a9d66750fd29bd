"""Remember which settings were paused for a fault: others are tried at once."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("delivery", "0003_groups")]

    operations = [
        migrations.AddField(
            model_name="profilestate",
            name="fault_version",
            field=models.TextField(db_default=""),
        ),
    ]
