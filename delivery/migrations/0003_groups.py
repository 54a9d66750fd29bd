"""Three groups to start with (administrators, operators, viewers); edit them as you like."""

from django.apps import apps as real_apps
from django.contrib.auth.management import create_permissions
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

# What each group may do, per model, as permission codenames. Changing it here changes new installations only.
VIEWERS = {
    "delivery.message": ["view"],
    "delivery.bulkjob": ["view"],
    "smtp_settings.smtpprofile": ["view"],
    "smtp_settings.oauthcredential": ["view"],
    "smtp_settings.testrun": ["view"],
    "smtp_settings.event": ["view"],
    "smtp_settings.notificationsettings": ["view"],
    "smtp_settings.sendingpolicy": ["view"],
}
OPERATORS = {
    "delivery.message": ["retry", "cancel", "hold", "resend", "move"],
    "smtp_settings.smtpprofile": ["test", "pause"],
}
ADMINISTRATORS = {
    "delivery.message": ["view_body", "resend_elsewhere"],
    "delivery.bulkjob": ["large"],
    "smtp_settings.smtpprofile": ["add", "change", "delete", "elsewhere", "leak"],
    "smtp_settings.event": ["export"],
    "smtp_settings.notificationsettings": ["change"],
    "smtp_settings.sendingpolicy": ["change"],
    "smtp_settings.oauthcredential": ["add", "change", "delete"],
    "auth.user": ["add", "change", "delete", "view"],
    "auth.group": ["add", "change", "delete", "view"],
    "sites.site": ["add", "change", "delete", "view"],
}
# Those that are not `<verb>_<model>`. `save_untested_smtpprofile` is in no group: it is given by name.
NAMED = {
    "view_body": "view_message_body",
    "resend_elsewhere": "resend_elsewhere",
    "large": "run_large_bulkjob",
    "elsewhere": "send_test_elsewhere",
    "leak": "answer_leak_smtpprofile",
}

GROUPS = {
    "mailconf viewers": [VIEWERS],
    "mailconf operators": [VIEWERS, OPERATORS],
    "mailconf administrators": [VIEWERS, OPERATORS, ADMINISTRATORS],
}


def make_groups(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    # Permissions are made after all migrations have run; the groups need them now.
    for label in ("auth", "sites", "smtp_settings", "delivery"):
        config = real_apps.get_app_config(label)
        create_permissions(config, apps=real_apps, verbosity=0, using=schema_editor.connection.alias)
    Group = apps.get_model("auth", "Group")
    Permission = apps.get_model("auth", "Permission")
    for name, sets in GROUPS.items():
        group, is_new = Group.objects.get_or_create(name=name)
        if not is_new:
            continue  # somebody's own: not ours to change
        for rights in sets:
            for label, verbs in rights.items():
                app_label, model = label.split(".")
                codenames = [NAMED.get(verb, f"{verb}_{model}") for verb in verbs]
                group.permissions.add(
                    *Permission.objects.filter(
                        content_type__app_label=app_label, content_type__model=model, codename__in=codenames
                    )
                )


def remove_groups(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    apps.get_model("auth", "Group").objects.filter(name__in=GROUPS).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("delivery", "0002_storage_parameters"),
        ("smtp_settings", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("sites", "0002_alter_domain_unique"),
    ]

    operations = [migrations.RunPython(make_groups, remove_groups)]
