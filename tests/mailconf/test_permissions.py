"""What a person may do, in one statement, is what Django says."""

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser, Permission

from mailconf.permissions import PermissionsAtOnce
from tests.builders import a_user

pytestmark = pytest.mark.django_db


def again(user):
    """The row anew, with nothing remembered."""
    return get_user_model().objects.get(pk=user.pk)


@pytest.mark.parametrize("role", ["superuser", "administrator", "operator", "viewer", "staff"])
def test_each_role_may_do_what_django_says(role):
    user = a_user(role)
    user.user_permissions.add(Permission.objects.get(codename="view_session"))

    ours = PermissionsAtOnce().get_all_permissions(again(user))

    assert ours == ModelBackend().get_all_permissions(again(user))
    assert "sessions.view_session" in ours


def test_whoever_is_not_active_or_not_signed_in_may_do_nothing():
    gone = a_user("administrator", is_active=False)

    assert PermissionsAtOnce().get_all_permissions(again(gone)) == set()
    assert PermissionsAtOnce().get_all_permissions(AnonymousUser()) == set()
    assert not again(gone).has_perm("smtp_settings.view_smtpprofile")


def test_nobody_has_a_permission_for_one_row_alone():
    user = again(a_user("administrator"))

    assert PermissionsAtOnce().get_all_permissions(user, obj=user) == set()


def test_it_takes_one_statement(django_assert_num_queries):
    user = again(a_user("administrator"))

    with django_assert_num_queries(1):
        assert user.has_perm("smtp_settings.change_smtpprofile")
        assert not user.has_perm("sessions.delete_session")
        assert user.has_module_perms("smtp_settings")


def test_a_right_taken_away_is_gone_with_the_next_request():
    user = a_user("administrator")
    assert again(user).has_perm("smtp_settings.change_smtpprofile")

    user.groups.clear()

    assert not again(user).has_perm("smtp_settings.change_smtpprofile")
