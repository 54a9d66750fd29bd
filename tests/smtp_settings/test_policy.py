"""The sending policy: what a site inherits, which rule wins, and where the database may send from."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from django.contrib.sites.models import Site
from django.db import IntegrityError, transaction

from smtp_settings.models import SendingPolicy, Whereabouts
from smtp_settings.policy import Course, Place, Redirect, Rules, Simulation, effective, policies, simulated
from smtp_settings.policy import reading as reading_module
from smtp_settings.policy.deciding import USUAL, decide
from smtp_settings.policy.places import KnownPlace, confirmed, differences
from smtp_settings.policy.reading import read
from smtp_settings.sealing.keyring import new_key

AT = datetime(2026, 11, 21, 14, 2, tzinfo=UTC)
OFF = replace(USUAL, emails_enabled=False, emails_off_at=AT, emails_off_by="sam")
LOGGED = replace(USUAL, debug_mode="log", simulated_failures=30, simulated_kind="permanent")
DIRECT = replace(USUAL, queue_enabled=False)


@pytest.mark.parametrize(
    ("overall", "own", "course"),
    [
        (USUAL, None, Course.SEND),
        (USUAL, Rules(), Course.SEND),
        (OFF, None, Course.OFF),
        (OFF, Rules(), Course.OFF),
        (OFF, Rules(emails_enabled=True), Course.SEND),
        (USUAL, Rules(emails_enabled=False), Course.OFF),
        (LOGGED, None, Course.LOG),
        (LOGGED, Rules(), Course.LOG),
        (LOGGED, Rules(debug_mode="off"), Course.SEND),
        (USUAL, Rules(debug_mode="log"), Course.LOG),
        (LOGGED, Rules(emails_enabled=False), Course.OFF),
        (OFF, Rules(debug_mode="log"), Course.OFF),
    ],
)
def test_a_site_inherits_what_it_does_not_say_and_the_stricter_rule_wins(overall, own, course):
    assert effective(overall, own).course is course
    assert effective(overall, own, is_confirmed=False).course is Course.UNCONFIRMED


@pytest.mark.parametrize(
    ("overall", "own", "queued"),
    [
        (USUAL, None, True),
        (DIRECT, None, False),
        (DIRECT, Rules(), False),
        (DIRECT, Rules(queue_enabled=True), True),
        (USUAL, Rules(queue_enabled=False), False),
    ],
)
def test_whether_mail_is_queued_is_inherited(overall, own, queued):
    assert effective(overall, own).queue_enabled is queued


@pytest.mark.parametrize(
    ("overall", "own", "simulation"),
    [
        (LOGGED, None, Simulation(30, "permanent")),
        (LOGGED, Rules(), Simulation(30, "permanent")),
        (LOGGED, Rules(simulated_failures=0), None),
        (LOGGED, Rules(simulated_failures=5, simulated_kind="uncertain"), Simulation(5, "uncertain")),
        (LOGGED, Rules(debug_mode="off"), None),
        (replace(LOGGED, debug_mode="off"), Rules(debug_mode="log"), Simulation(30, "permanent")),
        (replace(LOGGED, debug_mode="off"), None, None),
    ],
)
def test_failures_are_simulated_with_log_only_and_nowhere_else(overall, own, simulation):
    assert effective(overall, own).simulation == simulation


@pytest.mark.parametrize(
    ("percent", "dice", "kind"),
    [(0, 0.0, None), (1, 0.99, "temporary"), (1, 1.0, None), (100, 99.99, "temporary")],
)
def test_the_dice_decide_whether_a_try_fails(percent, dice, kind):
    assert simulated(Simulation(percent, "temporary"), dice) == kind
    assert simulated(None, dice) is None


@pytest.mark.parametrize(
    ("address", "is_spared"),
    [
        ("ann@example.com", True),
        ("ann@EXAMPLE.com", True),
        ("ann@sub.example.com", False),
        ("ann@example.com.evil.test", False),
        ('"a@example.com"@evil.test', False),
        ("example.com", True),
    ],
)
def test_only_the_domains_named_are_spared_by_the_redirect(address, is_spared):
    assert Redirect("qa@example.com", frozenset({"example.com"})).spares(address) is is_spared


def test_the_redirect_of_all_holds_for_every_site():
    overall = replace(USUAL, redirect_to="qa@example.com", redirect_except=("Example.COM",))
    found = decide({None: overall, 3: Rules(site_id=3, emails_enabled=False)}, is_confirmed=True)
    expected = Redirect("qa@example.com", frozenset({"example.com"}))
    assert [found.of(site_id).redirect for site_id in (None, 3, 4)] == [expected] * 3


def test_who_switched_it_off_is_told_from_the_row_that_did():
    own = Rules(emails_enabled=False, emails_off_at=AT, emails_off_by="ana")
    assert (effective(OFF, None).off_by, effective(USUAL, own).off_by) == ("sam", "ana")
    assert effective(OFF, Rules(emails_enabled=True)).off_at is None


# Where the database is

HERE = Place("7447", "16384", "db:5432/mail", "Production")


@pytest.mark.parametrize(
    ("here", "key_ids", "other"),
    [
        (HERE, ("k1",), ()),
        (HERE, ("k2", "k1"), ()),
        (HERE, (), ()),
        (replace(HERE, server="9999"), ("k1",), ("server",)),
        (replace(HERE, database="16385"), ("k1",), ("database",)),
        (replace(HERE, address="127.0.0.1:5432/mail"), ("k1",), ("address",)),
        (replace(HERE, environment="Staging"), ("k1",), ("environment",)),
        (HERE, ("k2",), ("keys",)),
        (replace(HERE, server="9999", environment="Staging"), ("k1",), ("server", "environment")),
    ],
)
def test_any_other_place_is_not_confirmed_and_says_what_is_other(here, key_ids, other):
    known = [KnownPlace(HERE, ("k1",), is_confirmed=True), KnownPlace(here, ("k2",), is_confirmed=False)]
    assert confirmed(known, here, key_ids) is (other == ())
    assert differences(known, here, key_ids) == other


def test_the_database_refuses_a_row_for_all_that_is_not_complete(db):
    with pytest.raises(IntegrityError, match="policy_for_all_is_complete"), transaction.atomic():
        SendingPolicy.objects.create()
    SendingPolicy.objects.create(
        emails_enabled=True, queue_enabled=True, debug_mode="off", simulated_failures=0
    )
    with pytest.raises(IntegrityError, match="policy_one_a_site"), transaction.atomic():
        SendingPolicy.objects.create(
            emails_enabled=True, queue_enabled=True, debug_mode="off", simulated_failures=0
        )


def test_the_database_refuses_a_redirect_of_one_site(db):
    site = Site.objects.create(domain="shop.example.com", name="Shop")
    with pytest.raises(IntegrityError, match="policy_of_a_site_is_narrow"), transaction.atomic():
        SendingPolicy.objects.create(site=site, redirect_to="qa@example.com")


def test_rows_are_read_as_they_stand(db, admin_user):
    site = Site.objects.create(domain="shop.example.com", name="Shop")
    SendingPolicy.objects.create(
        emails_enabled=False,
        queue_enabled=True,
        debug_mode="off",
        simulated_failures=0,
        batch_size=7,
        redirect_to="qa@example.com",
        redirect_except=["example.com"],
        emails_off_at=AT,
        emails_off_by=admin_user,
    )
    SendingPolicy.objects.create(site=site, emails_enabled=True, debug_mode="log", simulated_failures=50)
    found = policies()
    assert (found.batch_size, found.overall.course, found.of(site.pk).course) == (7, Course.OFF, Course.LOG)
    assert (found.overall.off_at, found.overall.off_by) == (AT, "admin")
    assert found.of(site.pk).simulation == Simulation(50, "temporary")
    assert found.of(site.pk).redirect == Redirect("qa@example.com", frozenset({"example.com"}))


def test_without_a_row_everything_is_as_usual_and_the_first_place_confirms_itself(
    db, django_assert_num_queries
):
    reading_module._may_ask()
    assert policies().overall.course is Course.SEND
    assert Whereabouts.objects.get().confirmed_at is not None
    with django_assert_num_queries(1):
        assert policies().is_confirmed


@pytest.mark.parametrize("column", ["server", "database", "address", "environment"])
def test_a_copy_that_wakes_up_elsewhere_is_noted_and_not_confirmed(db, column):
    policies()
    place = Whereabouts.objects.get()
    Whereabouts.objects.create(  # what a copy brings along: the place of its original
        digest="0" * 64,
        facts=place.facts | {column: "other"},
        key_ids=place.key_ids,
        confirmed_at=place.confirmed_at,
    )
    place.delete()
    assert not policies().is_confirmed
    assert policies().of(None).course is Course.UNCONFIRMED
    assert Whereabouts.objects.get(digest=read().here.digest).confirmed_at is None
    Whereabouts.objects.filter(digest=read().here.digest).update(confirmed_at=AT)
    assert policies().is_confirmed


def test_a_key_that_is_rotated_in_and_the_old_one_taken_away_later_changes_nothing(db, settings):
    first, second = new_key(), new_key()
    for keys in (first, f"{second},{first}", second):
        settings.MAILCONF_KEYS = keys
        assert policies().is_confirmed
    settings.MAILCONF_KEYS = new_key()
    assert not policies().is_confirmed


def test_no_password_is_in_what_is_noted_of_a_place(db):
    policies()
    assert set(Whereabouts.objects.get().facts) == {"server", "database", "address", "environment"}
    assert "@" not in Whereabouts.objects.get().facts["address"]
