"""What the tests of the features share: servers, the form without scripts, a worker's command."""

from contextlib import contextmanager

from django.core.management import call_command
from django.urls import reverse

from delivery.models import Message, SmallState
from tests.acceptance.processes import finished, manage
from tests.builders import a_profile
from tests.pages import text_of
from tests.smtp_settings.form_filling import ADD, change_url, entries_for, press, try_out
from tests.submitting import form_of

__all__ = ["ADD", "change_url", "entries_for", "form_of", "press", "text_of", "try_out"]


def profile_of(server, **fields):
    """A live profile for a server of the test."""
    return a_profile(host=server.host, port=server.port, **fields)


def worked():
    """Let the worker's command send what can be sent now."""
    call_command("drain", "--until-empty", "--json")


def worked_apart(environment):
    """The same, as a process of its own."""
    return finished(manage(environment, "drain", "--until-empty", "--json"), timeout=300)


def save(client, profile, **changes):
    """Open a profile's form, change entries and press Save; what follows."""
    url = change_url(profile)
    return press(client, url, form_of(client.get(url)) | changes, "_save")


def page_of_message(client, message_id, name="change"):
    """The text of a message's page."""
    return text_of(client.get(reverse(f"admin:delivery_message_{name}", args=[message_id])))


def state_of(message_id):
    """How a message stands."""
    return SmallState(Message.objects.values_list("state", flat=True).get(pk=message_id))


@contextmanager
def answering(server, **answers):
    """Let a server answer otherwise for a while, by verb."""
    before = dict(server.answers)
    server.answers.update(answers)
    try:
        yield server
    finally:
        server.answers.clear()
        server.answers.update(before)
