"""A way out and a claimed message, valid ones: a test names only what it is about."""

from dataclasses import replace
from datetime import UTC, datetime

from delivery.dispatcher.work import Work
from delivery.queue import Claimed, PoolKey
from smtp_settings.wire import Sender, WayOut

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
WAY = WayOut(
    profile_id=7,
    name="One",
    version="1.ab",
    is_default=False,
    priority="normal",
    site_ids=frozenset(),
    sender_domains=frozenset(),
    max_connections=4,
    messages_per_connection=100,
    per_minute=0,
    per_hour=0,
    per_day=0,
    send_offset=0,
    max_retries=None,
    retry_delay=60,
    backoff="exponential",
    retry_cap=14400,
    give_up_hours=48,
    max_size=10,
    on_uncertain="resend",
    notify_user_id=None,
    sender=Sender("", "", "message", "", "", "", ()),
)


def a_work(way=WAY, *, moment=None, **changes):
    """A message as it was claimed, in the hands of this server."""
    claimed = Claimed(
        message_id=1,
        seat=1,
        profile_id=way.profile_id,
        last_profile_id=None,
        pool_id=1,
        priority=2,
        attempts=0,
        drops=0,
        crashes=0,
        uncertain=False,
        ready_at=NOW,
        db_now=NOW,
        due_at=NOW,
        expires_at=None,
        mail_from="shop@example.com",
        rcpt_to=["ann@example.com"],
        verdicts=None,
        from_header="shop@example.com",
        subject="Report",
        message_id_header="<1@example.com>",
        sensitive=False,
        size=100,
        data=b"To: ann@example.com\r\n\r\nHello.\r\n",
        cuts=[],
        blob_ids=[],
    )
    return Work(replace(claimed, **changes), way, PoolKey(1, None, None, None), moment)
