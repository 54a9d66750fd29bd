"""A domain listed late: what a save says of the mail that waits, and the list and job it leads to."""

import re

import pytest
from django.contrib.sites.models import Site
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from delivery import jobs, models, queue
from delivery.queue import MessagePriority, passed_by
from delivery.queue.passed_by import count_passed_by
from mailconf import waiting_mail
from smtp_settings import facts
from smtp_settings.clearance import activation
from smtp_settings.models import SMTPProfile
from tests.builders import a_draft, a_profile
from tests.delivery.queueing import composed, enqueued
from tests.delivery.test_admin_jobs import LIST, page_of, started
from tests.delivery.test_jobs import HELD, ended, the_job, worked
from tests.delivery.test_passed_by import lists, waits
from tests.delivery.test_queue_moving import way_of
from tests.pages import assert_strict, client_of, text_of
from tests.statements import asked as statements_asked
from tests.submitting import form_of
from tests.test_long_lists import MOST_ROWS, rows_read

pytestmark = pytest.mark.django_db

PROFILES = reverse("admin:smtp_settings_smtpprofile_changelist")
OFFER = re.compile(r'<li class="warning">(.*?) <a class="mc-button" href="([^"]*)">(.*?)</a></li>')
MAY_SAVE = ("smtp_settings.view_smtpprofile", "smtp_settings.change_smtpprofile")
MAY_MOVE = ("delivery.view_message", "delivery.move_message")


@pytest.fixture
def client():
    return client_of("superuser")


def saved(client, profile, *, button="_save", **entries):
    """Change the profile through its form; the page that follows."""
    url = reverse("admin:smtp_settings_smtpprofile_change", args=[profile.pk])
    values = form_of(client.get(url)) | entries | {button: "1"}
    before = profile.version
    answer = client.post(url, values, follow=True)
    profile.refresh_from_db()
    assert profile.version == before + 1
    return answer


def offers(page):
    """The sentence, the address and the label of each offer on a page."""
    found = OFFER.findall(page.content.decode())
    return [(sentence, address.replace("&amp;", "&"), label) for sentence, address, label in found]


def move_page(profile):
    return f"{reverse('admin:delivery_bulkjob_start')}?action=move&could={profile.pk}&to=any"


# What saving says


def test_saving_a_newly_listed_domain_offers_to_move_what_waits(client):
    profile = a_profile(name="Marketing")
    ids = [waits(), waits("a@SHOP.example"), waits("a@other.example")]

    page = saved(client, profile, sender_domains="shop.example")

    assert_strict(page)
    assert offers(page) == [
        (
            "2 waiting messages from its sender domains were queued before the domains were listed:"
            " “Marketing” cannot take them until they are moved.",
            move_page(profile),
            "Move them…",
        )
    ]
    question = client.get(move_page(profile))
    assert_strict(question)
    assert "“Move to another profile” for 2 messages?" in text_of(question)
    assert "Could leave by Marketing" in text_of(question)
    assert "any that waits " in text_of(question)
    assert '<option value="any" selected>' in question.content.decode()
    job = started(client, move_page(profile), to="any")
    worked()
    assert "2 messages were moved." in text_of(client.get(page_of(job.pk)))
    assert [way_of(one)[1] for one in ids] == ["shop.example", "shop.example", None]
    assert offers(saved(client, profile)) == []


def test_enabling_from_the_list_offers_it_too(client):
    waits()
    profile = a_profile(name="Marketing", sender_domains=["shop.example"], enabled=False)

    page = client.post(PROFILES, {"action": "enable_selected", "_selected_action": [profile.pk]}, follow=True)

    assert [address for _sentence, address, _label in offers(page)] == [move_page(profile)]


def test_one_message_is_named_as_one(client):
    profile = a_profile(name="Marketing")
    waits()

    (sentence, _address, label) = offers(saved(client, profile, sender_domains="shop.example"))[0]

    assert sentence.startswith("1 waiting message from its sender domains was queued before the domain")
    assert label == "Move it…"


def test_a_capped_count_says_more_than(client, monkeypatch):
    monkeypatch.setattr(facts, "CAP", 3)
    monkeypatch.setattr(waiting_mail, "CAP", 3)
    profile = a_profile(name="Marketing")
    enqueued(5, composed=composed(from_header="a@shop.example"))

    (sentence, _address, label) = offers(saved(client, profile, sender_domains="shop.example"))[0]

    assert sentence.startswith("More than 2 waiting messages from its sender domains")
    assert label == "Move them…"


def test_a_name_with_markup_is_text(client):
    profile = a_profile(name="<b>Shop</b>")
    waits()

    page = saved(client, profile, sender_domains="shop.example")

    assert "&lt;b&gt;Shop&lt;/b&gt;" in offers(page)[0][0]
    assert "<b>Shop</b>" not in page.content.decode()


def test_staying_on_the_page_says_it_too(client):
    profile = a_profile()
    waits()

    page = saved(client, profile, button="_continue", sender_domains="shop.example")

    assert len(offers(page)) == 1


def test_an_international_domain_is_typed_as_it_is_read(client):
    profile = a_profile()
    waits("leser@xn--bcher-kva.example")

    page = saved(client, profile, sender_domains="Bücher.example")

    assert len(offers(page)) == 1


def test_enabling_a_profile_says_it_too(client):
    profile = a_profile(enabled=False)
    waits()
    SMTPProfile.objects.update(sender_domains=["shop.example"])
    profile.refresh_from_db()

    assert offers(saved(client, profile)) == []
    assert len(offers(saved(client, profile, enabled="on"))) == 1


def test_a_draft_and_a_profile_that_is_no_longer_live_say_nothing(client):
    waits()
    draft = a_draft(name="Draft")
    page = saved(client, draft, button="_draft", sender_domains="shop.example")
    assert offers(page) == []
    assert not activation.is_live(SMTPProfile.objects.get(pk=draft.pk))

    live = a_profile(name="Live")
    assert offers(saved(client, live, button="_draft_confirmed", sender_domains="shop.example")) == []
    assert SMTPProfile.objects.get(pk=live.pk).sender_domains == ["shop.example"]


def test_without_a_domain_and_without_mail_from_it_nothing_is_said(client):
    profile = a_profile()
    waits("a@news.shop.example")

    assert offers(saved(client, profile)) == []
    assert offers(saved(client, profile, sender_domains="shop.example")) == []


def test_a_profile_of_other_sites_says_nothing(client):
    ours, theirs = Site.objects.create(domain="a.example"), Site.objects.create(domain="b.example")
    profile = a_profile(sites=[ours])
    waits(site_id=theirs.pk)

    assert offers(saved(client, profile, sender_domains="shop.example")) == []
    assert len(offers(saved(client, profile, sites=str(theirs.pk)))) == 1


@pytest.mark.parametrize(("missing", "is_offered"), [(None, True), *((one, False) for one in MAY_MOVE)])
def test_it_is_said_to_those_who_may_move_only(missing, is_offered):
    profile = a_profile()
    waits()
    may = [one for one in (*MAY_SAVE, *MAY_MOVE) if one != missing]

    page = saved(client_of("staff", permissions=may), profile, sender_domains="shop.example")

    assert bool(offers(page)) is is_offered
    assert ("waiting message" in text_of(page)) is is_offered


def test_those_who_may_not_move_cost_no_look_at_the_queue():
    with CaptureQueriesContext(connection) as seen:
        assert waiting_mail.passing(1, lambda _permission: False) == facts.Passing()
    assert len(seen) == 0


# The list


def shown(client, **asked):
    return {row.pk for row in client.get(LIST, asked).context["cl"].result_list}


def test_the_list_is_narrowed_to_what_could_leave_by_a_profile(client):
    fresh, other, with_site = waits(), waits("a@other.example"), waits(site_id=Site.objects.create().pk)
    (held,) = ended(HELD, composed=composed(from_header="a@shop.example"))
    one = lists("shop.example", name="One")
    late, everything = waits(), lists(name="All")

    assert shown(client, could=one.pk) == {fresh, with_site}
    assert shown(client, could=one.pk, state="queued") == {fresh, with_site}
    assert shown(client, could=one.pk, state="sending") == shown(client, could=everything.pk) == set()
    assert shown(client, could=one.pk, site="none") == {fresh}
    assert shown(client, could=999_999) == set()
    assert shown(client, could=one.pk, state="held") == {held}, "means nothing there"
    assert shown(client, could="x") == {fresh, other, with_site, held, late}
    queue.cancel([other])
    assert shown(client, could=one.pk, state="cancelled") == {other}


def test_the_chip_names_the_profile_and_is_taken_away(client):
    waits()
    one = lists("shop.example", name="One")

    page = client.get(LIST, {"could": one.pk})

    assert_strict(page)
    assert "Could leave by" in text_of(page)
    assert "One" in text_of(page)
    assert '<a class="mc-button is-plain" href="?">Clear filters</a>' in page.content.decode()
    (address,) = [each.url for each in page.context["for_all"] if each.action.name == "move"]
    assert f"could={one.pk}" in address
    assert "for 1 message?" in text_of(client.get(address))


def test_who_may_not_see_profiles_reads_a_number():
    waits()
    one = lists("shop.example", name="zzOne")
    client = client_of("staff", permissions=MAY_MOVE)

    pages = [client.get(LIST, {"could": one.pk}), client.get(move_page(one))]

    assert [page.status_code for page in pages] == [200, 200]
    assert all(f"#{one.pk}" in text_of(page) and "zz" not in text_of(page) for page in pages)


def test_a_removed_profile_narrows_to_nothing_and_says_so(client):
    waits()

    page = client.get(LIST, {"could": 999_999})

    assert "a removed profile" in text_of(page)
    assert "There is nothing to do." in text_of(
        client.get(f"{reverse('admin:delivery_bulkjob_start')}?action=move&could=999999&to=any")
    )


def test_its_job_is_listed_with_what_it_was_for(client):
    waits()
    one = lists("shop.example", name="One")
    job = started(client, move_page(one), to="any")

    page = text_of(client.get(reverse("admin:delivery_bulkjob_changelist")))

    assert f"Could leave by: #{one.pk}" in page
    assert the_job(job.pk).filter["could_id"] == one.pk


# What it costs


def a_backlog(count, every):
    """So many messages that wait, each with one that was sent before; `every` so many is from the shop."""
    pool = next(iter(queue.pools_for([queue.Route(None, None, None)]).values()))
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH made AS (INSERT INTO delivery_message"
            " (message_id, mail_from, rcpt_to, rcpt_first, subject, from_header, state)"
            " SELECT '<' || n || '@e.example>', 'a@e.example', ARRAY['b@e.example'], 'b@e.example', 'Report',"
            "  CASE WHEN n %% %s = 0 THEN 'Shop <a@shop.example>' ELSE 'Else <b@other.example>' END,"
            "  CASE WHEN n %% 2 = 0 THEN 1 ELSE 2 END FROM generate_series(1, %s) n RETURNING id, state)"
            " INSERT INTO delivery_queueentry (message_id, pool_id, priority)"
            " SELECT id, %s, %s FROM made WHERE state = 1",
            [every, count * 2, pool, MessagePriority.NORMAL],
        )
        cursor.execute("ANALYZE delivery_message, delivery_queueentry")


def plans_of(seen):
    """The plan of each statement that reads messages."""
    for one in seen:
        if "delivery_message" in one["sql"] and one["sql"].startswith(("SELECT", "WITH")):
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {one['sql'].replace('%', '%%')}", [])
                (plan,) = cursor.fetchone()
            yield plan[0]["Plan"]


def test_the_history_is_not_read_for_what_waits():
    a_backlog(20_000, every=1000)
    one = lists("shop.example")
    choice = jobs.Choice(could_id=one.pk)
    values = jobs.choosing._values(choice) | {"after": 0, "upper": 2**62, "limit": 500}
    walk = f"{jobs.choosing._arms(choice)} ORDER BY message_id LIMIT %(limit)s"
    count = passed_by.passed_by(one.pk).values | {"window": 1_000_000, "most": facts.CAP}

    assert count_passed_by(one.pk, most=facts.CAP) == 40
    assert jobs.estimate(choice, upper=2**62).by_state.total() == 40
    for statement, given in ((walk, values), (passed_by._COUNT, count)):
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", given)
            (plan,) = cursor.fetchone()
        read = [rows for table, rows in rows_read(plan[0]["Plan"]) if table == "delivery_message"]
        assert sum(read) == 20_000, plan


def test_a_count_ends_where_more_would_change_nothing():
    a_backlog(5_000, every=2)
    one = lists("shop.example")

    assert count_passed_by(one.pk, most=101) == 101
    assert jobs.estimate(jobs.Choice(could_id=one.pk), upper=2**62).by_state.total() == 5_000


def test_the_list_needs_no_more_than_ten_queries_and_reads_no_more_than_a_window(client):
    a_backlog(20_000, every=1000)
    one = lists("shop.example")
    for narrowed in ("", "&state=queued"):
        address = f"{LIST}?could={one.pk}{narrowed}"
        client.get(address)  # what is kept for seconds is kept
        with CaptureQueriesContext(connection) as seen:
            assert client.get(address).context["cl"].result_count == 40
        assert len(statements_asked(seen)) <= 10, statements_asked(seen)
        for plan in plans_of(seen.captured_queries):
            assert all(rows <= MOST_ROWS for _table, rows in rows_read(plan)), plan


def test_the_list_looks_at_the_newest_a_window_at_a_time(client, monkeypatch):
    from smtp_settings.admin.records import bounded

    monkeypatch.setattr(bounded, "WINDOW", 20)
    old = waits()
    enqueued(30)
    one = lists("shop.example")

    page = client.get(LIST, {"could": one.pk})

    assert list(page.context["cl"].result_list) == []
    assert "The newest 20 rows were looked through." in text_of(page)
    link, _at = page.context["cl"].next_messages
    assert f'href="{link.replace("&", "&amp;")}"' in page.content.decode()
    assert [row.pk for row in client.get(LIST + link).context["cl"].result_list] == [old]


# In between


def test_a_profile_that_gained_other_domains_meanwhile_is_taken_as_it_is(client):
    waits()
    one = lists("shop.example")
    address = move_page(one)
    assert "for 1 message?" in text_of(client.get(address))
    SMTPProfile.objects.filter(pk=one.pk).update(sender_domains=["other.example"])

    assert "There is nothing to do." in text_of(client.get(address))


def test_what_a_worker_takes_before_the_job_is_left_to_it(client):
    ids, one = [waits(), waits()], lists("shop.example")
    job = started(client, move_page(one), to="any")
    lease = queue.register_worker()
    models.QueueEntry.objects.filter(pk=ids[0]).update(lease_id=lease)
    worked()

    assert (the_job(job.pk).done, the_job(job.pk).skipped) == (1, {})
    assert [way_of(one)[1] for one in ids] == [None, "shop.example"]
