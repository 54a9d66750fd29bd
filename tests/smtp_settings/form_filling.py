"""The profile form, filled in and submitted as a browser without scripts does."""

from django.urls import reverse

from smtp_settings.models import TestRun
from tests.submitting import form_of

LIST = "/admin/smtp_settings/smtpprofile/"
ADD = f"{LIST}add/"


def change_url(profile):
    return reverse("admin:smtp_settings_smtpprofile_change", args=[profile.pk])


def saved_test_url(profile):
    return reverse("admin:smtp_settings_smtpprofile_test", args=[profile.pk])


def entries_for(client, server, **fields):
    """A new profile as typed into the empty form."""
    values = form_of(client.get(ADD))
    values |= {"name": "EU relay", "host": server.host, "port": str(server.port), "security": "none"}
    return values | {"auth": "none", "from_address": "shop@example.com", **fields}


def signing_in(client, server, password, **fields):
    """The same with a sign-in."""
    signs_in = {"auth": "password", "username": "shop", "password": password, "accepts_clear_auth": "on"}
    return entries_for(client, server, **signs_in | fields)


def press(client, url, values, *buttons):
    """Submit the entries with a button; the page that follows."""
    return client.post(url, values | dict.fromkeys(buttons, "1"))


def try_out(client, url, values):
    """Send the test email of these entries; what the page holds after it, the password included."""
    tested = press(client, url, values, "_send_test")
    return form_of(tested) | {"password": values.get("password", "")}


def last_run():
    return TestRun.objects.latest("id")
