"""The project as an app (its commands), and the admin with our site in place of the stock one."""

from django.apps import AppConfig
from django.contrib.admin import (
    apps as admin_apps,
)  # the module: a second default config here would be ambiguous


class MailconfConfig(AppConfig):
    """The project itself."""

    name = "mailconf"
    default = True

    def ready(self) -> None:
        """Make our Celery app the current one in every process: whoever hands mail over rings its bell."""
        from mailconf import celery  # noqa: PLC0415  # it reads the settings

        celery.app.set_current()


class MailconfAdminConfig(admin_apps.AdminConfig):
    """`django.contrib.admin` whose default site is ours."""

    default_site = "mailconf.admin_site.MailconfAdminSite"
    default = False  # "mailconf" alone in INSTALLED_APPS means the project
