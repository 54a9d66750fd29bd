"""The project as an app (its commands), and the admin with our site in place of the stock one."""

from django.apps import AppConfig
from django.contrib.admin import (
    apps as admin_apps,
)  # the module: a second default config here would be ambiguous


class MailconfConfig(AppConfig):
    """The project itself."""

    name = "mailconf"
    default = True


class MailconfAdminConfig(admin_apps.AdminConfig):
    """`django.contrib.admin` whose default site is ours."""

    default_site = "mailconf.admin_site.MailconfAdminSite"
    default = False  # "mailconf" alone in INSTALLED_APPS means the project
