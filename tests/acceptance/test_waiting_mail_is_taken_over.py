"""X22: waiting mail of post_office and django-mailer is taken over by one command each, and none is lost."""

import json

import pytest
from django.core.mail import EmailMessage

from tests.acceptance.ledger import assert_balanced, books
from tests.acceptance.processes import drains, finished, manage, until
from tests.builders import a_profile
from tests.delivery import other_packages as old
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)
EACH = 60


def test_x22_mail_that_waited_in_other_packages_arrives_once_while_our_workers_run(process_environment):
    with old.committed_tables(), smtp_server() as server:
        a_profile(host=server.host, port=server.port)
        for number in range(EACH):
            old.post_office_email(subject=f"post_office {number}", to=f"p{number}@example.com")
            old.mailer_message(
                EmailMessage(f"mailer {number}", "b", "s@example.com", [f"m{number}@example.com"])
            )
        with drains(process_environment, 1):
            for package in ("post_office", "mailer"):
                result = json.loads(finished(manage(process_environment, "import_queue", package, "--json")))
                assert (result["taken"], result["skipped"], result["busy"]) == (EACH, {}, 0)
            until(lambda: len(server.messages) >= 2 * EACH)
        expected = {f"{kind}{number}@example.com" for kind in "pm" for number in range(EACH)}
        assert {to for one in server.messages for to in one.rcpt_to} == expected
        assert len(server.messages) == 2 * EACH
        assert_balanced(books([server]))
        assert old.run("SELECT count(*) FROM mailer_message") == [(0,)]
        assert old.run("SELECT count(*) FROM post_office_email WHERE status <> 0") == [(0,)]
