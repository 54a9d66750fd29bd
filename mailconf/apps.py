"""The project as an app (its commands), and the admin with our site in place of the stock one."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps  # the module: a second default here would be ambiguous
from django.contrib.admin import autodiscover
from django.contrib.admin.checks import check_admin_app, check_dependencies
from django.core import checks
from django.db.models.signals import post_delete, post_save


class MailconfConfig(AppConfig):
    """The project itself."""

    name = "mailconf"
    default = True

    def ready(self) -> None:
        """Make our Celery app the current one, and let the profile pages know what the queue knows.

        The first in every process: whoever hands mail over rings its bell.
        """
        # They read settings and models.
        from mailconf import celery, ribbon, server_acts, servers, waiting_mail  # noqa: PLC0415
        from smtp_settings import facts, workers  # noqa: PLC0415
        from smtp_settings.models import SendingPolicy, SMTPProfile, Whereabouts  # noqa: PLC0415

        celery.app.set_current()
        facts.provide(servers.facts, order=servers.order, acts=server_acts.ACTS, mail=waiting_mail.MAIL)
        workers.provide(servers.worker_is_alive)
        for signal in (post_save, post_delete):
            signal.connect(ribbon.forget, sender=SMTPProfile, dispatch_uid="mailconf.ribbon")
            signal.connect(ribbon.forget, sender=SendingPolicy, dispatch_uid="mailconf.ribbon.policy")
            signal.connect(ribbon.forget, sender=Whereabouts, dispatch_uid="mailconf.ribbon.places")


class MailconfAdminConfig(admin_apps.SimpleAdminConfig):
    """`django.contrib.admin` whose default site is ours, and whose pages are imported with the addresses.

    A worker, a drain and most commands show no page: their start would pay 0.6 seconds of a CPU for them.
    """

    default_site = "mailconf.admin_site.MailconfAdminSite"
    default = False  # "mailconf" alone in INSTALLED_APPS means the project

    def ready(self) -> None:
        """Register the admin's checks as Django does, but of the pages as soon as they are there."""
        checks.register(check_dependencies, checks.Tags.admin)
        checks.register(_check_pages, checks.Tags.admin)


def _check_pages(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[checks.CheckMessage]:
    # Any: the registry's own signature
    autodiscover()
    found: list[checks.CheckMessage] = check_admin_app(app_configs, **kwargs)
    return found
