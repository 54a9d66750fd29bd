"""How many answers may be read and not recorded yet: what a killed worker without a journal sends again."""

import time

import pytest

from delivery.dispatcher.recording import recorder
from delivery.dispatcher.servers import server as one_server
from tests.builders import a_profile
from tests.delivery.engine import drained, queued
from tests.servers import smtp_server

pytestmark = pytest.mark.django_db(transaction=True)

CONNECTIONS = 4


@pytest.mark.parametrize(("has_journal", "most"), [(True, 200), (False, 50)])
def test_no_connection_goes_on_with_so_many_answers_unrecorded(
    settings, tmp_path, monkeypatch, has_journal, most
):
    (tmp_path / "file").touch()
    settings.MAILCONF_STATE_DIR = tmp_path / "state" if has_journal else tmp_path / "file" / "state"
    add, write, unrecorded = recorder.Recorder.add, recorder.write, []

    def added(self, result):
        add(self, result)
        unrecorded.append(self.unacknowledged)

    def slowly(*arguments, **options):
        known = 0
        while known != (known := len(unrecorded)):  # as long as the connections go on
            time.sleep(0.3)
        return write(*arguments, **options)

    monkeypatch.setattr(one_server, "_DEPTH_MS", 1_000_000)  # in hand on a slow machine, too
    monkeypatch.setattr(recorder.Recorder, "add", added)
    monkeypatch.setattr(recorder, "write", slowly)
    with smtp_server() as server:
        a_profile(host=server.host, port=server.port, max_connections=CONNECTIONS)
        queued(3 * most)
        assert drained().sent == 3 * most
    assert most <= max(unrecorded) < most + CONNECTIONS
