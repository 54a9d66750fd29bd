"""Django's own lists of people, under our roles."""

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.contrib.sites.models import Site
from django.urls import reverse

from tests.pages import client_of

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("model", ["auth_user", "auth_group", "sites_site"])
@pytest.mark.parametrize("role", ["administrator", "viewer"])
@pytest.mark.parametrize("forged", ["x", "-1", "9" * 30, "' OR 1=1", "\x00"])
def test_a_forged_number_in_a_bulk_delete_is_no_fault_of_ours(model, role, forged):
    url = reverse(f"admin:{model}_changelist")
    data = {"action": "delete_selected", "_selected_action": [forged], "index": "0", "post": "yes"}
    client = client_of(role)
    client.raise_request_exception = False
    before = get_user_model().objects.count(), Group.objects.count(), Site.objects.count()
    response = client.post(url, data)
    assert response.status_code in ({302, 400, 404} if role == "administrator" else {403})
    assert (get_user_model().objects.count(), Group.objects.count(), Site.objects.count()) == before
