"""Deleting the ticked profiles: asked first; those with messages of their own are left and named (N14)."""

import pytest
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.sites.models import Site
from django.urls import reverse

from delivery import queue
from smtp_settings.admin.profiles import SMTPProfileAdmin
from smtp_settings.models import Event, SMTPProfile
from tests.builders import a_draft, a_profile
from tests.delivery.queueing import enqueued, statements
from tests.delivery.test_jobs import FAILED, ended
from tests.pages import assert_strict, client_of, text_of
from tests.smtp_settings.test_acts import LIST, bulk

pytestmark = pytest.mark.django_db
KEPT = (
    "This profile cannot be deleted: 3 messages are waiting for it. "
    "Move them to another profile or cancel them first."
)


def ask(client, *profiles):
    return bulk(client, "delete_selected", *profiles)


def confirm(client, *profiles):
    return bulk(client, "delete_selected", *profiles, confirmed="1")


def there():
    return set(SMTPProfile.objects.values_list("name", flat=True))


def link_to_messages_of(profile):
    return f"{reverse('admin:delivery_message_changelist')}?pinned={profile.pk}"


def test_it_is_asked_first_with_what_depends_on_each():
    site = Site.objects.create(domain="shop.example")
    relay = a_profile(name="EU relay", is_default=True)
    shop, client = a_profile(name="Shop", sites=[site]), client_of("administrator")
    a_profile(name="Other")
    enqueued(2)

    page = ask(client, relay, shop)

    assert_strict(page)
    said = text_of(page)
    assert "Delete 2 profiles?" in said
    assert "EU relay 127.0.0.1:2525 No traffic Default 2 messages would" in said
    assert "Shop 127.0.0.1:2525 No traffic It serves shop.example." in said
    assert "No profile is live then" not in said
    assert there() == {"EU relay", "Shop", "Other"}


def test_confirmed_they_are_deleted_and_counted_and_each_is_an_event_and_a_line_of_the_log():
    first, second, draft = a_profile(name="A"), a_profile(name="B"), a_draft(name="C")
    a_profile(name="D")
    client = client_of("administrator")

    assert "3 profiles are deleted." in text_of(confirm(client, first, second, draft))

    assert there() == {"D"}
    events = Event.objects.filter(kind="profile.deleted")
    assert {event.data["name"] for event in events} == {"A", "B", "C"}
    assert {(event.user_id, event.level) for event in events} == {(client.user.pk, "warning")}
    assert LogEntry.objects.filter(action_flag=DELETION, user=client.user).count() == 3


def test_the_page_names_those_with_messages_of_their_own_and_leads_to_them():
    kept, going, client = a_profile(name="EU relay"), a_profile(name="Gone"), client_of("administrator")
    enqueued(3, profile_id=kept.pk)

    page = ask(client, kept, going)

    assert f"“EU relay” stays. {KEPT} Open the messages" in text_of(page)
    html = page.content.decode()
    assert link_to_messages_of(kept) in html
    assert f'name="_selected_action" value="{going.pk}"' in html
    assert f'name="_selected_action" value="{kept.pk}"' not in html


def test_where_all_stay_nothing_can_be_confirmed():
    kept, client = a_profile(name="EU relay"), client_of("administrator")
    queue.move(ended(FAILED), to=kept.pk)
    page = ask(client, kept)
    assert "messages that are being sent, failed or are held are for it alone" in text_of(page)
    assert 'name="confirmed"' not in page.content.decode()


def test_confirming_for_one_with_messages_leaves_it_and_names_it_with_the_link():
    kept, going, client = a_profile(name="EU relay"), a_profile(name="Gone"), client_of("administrator")
    enqueued(3, profile_id=kept.pk)

    page = confirm(client, kept, going)

    assert f"1 profile is deleted. “ EU relay ” was left as it is. {KEPT} Open the messages" in text_of(page)
    assert link_to_messages_of(kept) in page.content.decode()
    assert there() == {"EU relay"}


def test_messages_that_come_as_it_is_deleted_keep_that_profile_and_no_other(monkeypatch):
    kept, going, client = a_profile(name="EU relay"), a_profile(name="Gone"), client_of("administrator")
    ids, decided = enqueued(3), SMTPProfileAdmin.log_deletions

    def then_somebody_moves_three(model_admin, request, profiles):
        decided(model_admin, request, profiles)
        if profiles[0].pk == kept.pk:
            queue.move(ids, to=kept.pk)

    monkeypatch.setattr(SMTPProfileAdmin, "log_deletions", then_somebody_moves_three)

    said = text_of(confirm(client, kept, going))

    assert "1 profile is deleted. “ EU relay ” was left as it is. This profile cannot be deleted" in said
    assert there() == {"EU relay"}
    assert [event.data["name"] for event in Event.objects.filter(kind="profile.deleted")] == ["Gone"]
    assert LogEntry.objects.filter(action_flag=DELETION).count() == 1


def test_before_the_last_live_one_goes_the_page_says_that_messages_wait():
    first, last, client = a_profile(), a_profile(), client_of("administrator")
    a_profile(enabled=False)
    assert "No profile is live then" not in text_of(ask(client, first))
    assert "No profile is live then. Nothing is sent; messages wait." in text_of(ask(client, first, last))


def test_a_draft_and_one_that_was_off_say_nothing_of_live_profiles():
    draft, off = a_draft(), a_profile(enabled=False)
    assert "No profile is live then" not in text_of(ask(client_of("administrator"), draft, off))


def test_one_that_is_gone_by_now_is_not_counted():
    first, second, client = a_profile(name="A"), a_profile(name="B"), client_of("administrator")
    a_profile(name="C")
    gone = SMTPProfile(pk=first.pk)
    first.delete()
    assert "1 profile is deleted." in text_of(confirm(client, gone, second))
    assert there() == {"C"}


def test_the_question_goes_back_to_the_list_as_it_was_narrowed():
    profile, client = a_profile(), client_of("administrator")
    data = {"action": "delete_selected", "_selected_action": [profile.pk], "index": "0"}
    page = client.post(f"{LIST}?method=smtp", data)
    assert f'href="{LIST}?method=smtp"' in page.content.decode()


def test_forty_profiles_are_asked_about_with_a_few_queries_each():
    profiles, client = [a_profile() for _number in range(40)], client_of("administrator")
    ask(client, *profiles[:1])
    with statements() as seen:
        ask(client, *profiles)
    assert len(seen) <= 30 + 8 * 40, len(seen)
