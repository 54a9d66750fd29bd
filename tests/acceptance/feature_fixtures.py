"""A server for a whole file of features, and the superuser who looks at its pages."""

import pytest

from tests.builders import a_user
from tests.servers import smtp_server


@pytest.fixture(scope="module")
def the_server():
    with smtp_server() as running:
        yield running


@pytest.fixture
def server(the_server):
    the_server.forget()
    return the_server


@pytest.fixture
def client(client):
    client.force_login(a_user("superuser"))
    return client
