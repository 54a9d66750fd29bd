"""What the tests of Q, M and L share: hints, presets and tests of the form, as its page asks for them."""

import html
import re
import socket
from contextlib import contextmanager

from django.urls import reverse

from smtp_settings.models import TestRun
from tests.acceptance.features import ADD, entries_for, form_of, press, text_of
from tests.acceptance.processes import until
from tests.builders import a_user

SIGNS_IN = {"auth": "password", "username": "shop", "password": "right-7Qz", "accepts_clear_auth": "on"}
RIGHT = ("shop", "right-7Qz")
LINK = r'<a href="([^"]+)"[^>]*>([^<]+)</a>'


def hints_of(client, **values):
    """What the form says about these entries: field -> sentences."""
    posted = form_of(client.get(ADD)) | {"name": "x", "from_address": "shop@example.com"} | values
    answer = client.post(reverse("admin:smtp_settings_smtpprofile_hints"), posted)
    assert answer.status_code == 200
    found = {}
    for hint in answer.json()["hints"]:
        found[hint["field"]] = found.get(hint["field"], "") + html.unescape(hint["html"])
    return found


def filled(client, preset, **values):
    """What choosing a provider changes in the empty form, and what is said."""
    posted = form_of(client.get(ADD)) | {"preset": preset} | values
    answer = client.post(reverse("admin:smtp_settings_smtpprofile_fill"), posted).json()
    return answer["changes"], html.unescape(answer["html"])


def tried(client, server, button="_send_test", **fields):
    """Test entries for a server, as a person of its own; the run, and the text of the page that tells it."""
    client.force_login(a_user("superuser"))  # one person may make ten tests in ten minutes
    page = press(client, ADD, entries_for(client, server, **fields), button)
    return TestRun.objects.latest("id"), html.unescape(text_of(page))


def checked(client, place, **fields):
    """Press "Check connection", as the page's script does; the run when it has ended."""
    values = entries_for(client, place, **fields) | {"_kind": "connect"}
    started = client.post(reverse("admin:smtp_settings_testrun_start"), values).json()
    until(lambda: TestRun.objects.get(uuid=started["id"]).finished_at)
    return TestRun.objects.get(uuid=started["id"]), client.get(started["poll"]).json()["html"]


def in_the_manual(client, page, words):
    """Follow a link of these words into the manual; what stands from the heading it names to the next."""
    target = next(one[1] for one in re.finditer(LINK, page) if one[2] == words)
    address, _mark, anchor = target.partition("#")
    article = client.get(address).content.decode().partition("<article")[2].partition("</article>")[0]
    start = re.search(rf'<h(\d) id="{anchor}">', article)
    rest = article[start.end() :]
    end = re.search(rf"<h[1-{start[1]}] ", rest)
    return rest[: end.start()] if end else rest


@contextmanager
def a_closed_port():
    """A port of this machine that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield Place("127.0.0.1", taken.getsockname()[1])


@contextmanager
def a_silent_port():
    """A port that answers no connection: its queue is full, and the system drops what comes."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        waiting = []
        for _ in range(3):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(silent.getsockname())
            waiting.append(client)
        try:
            yield Place("127.0.0.1", silent.getsockname()[1])
        finally:
            for client in waiting:
                client.close()


class Place:
    """Where a server would be."""

    def __init__(self, host, port):
        self.host, self.port = host, port
