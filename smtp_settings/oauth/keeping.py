"""What a credential's row keeps: tokens, a refusal, a rest. Under the row's lock; an event on transitions."""

from datetime import datetime, timedelta

from smtp_settings import sealing
from smtp_settings.models import Event, OAuthCredential
from smtp_settings.sealing import Secret
from transports.base import Phase, Reply
from transports.errors import TokenNotAvailable, TokenRefused
from transports.oauth import Tokens

#: The first rest after no answer, and the longest; each is twice the one before.
FIRST_REST, LONGEST_REST = timedelta(seconds=10), timedelta(minutes=10)

#: How `fault_words` keeps HTTP's status in front of the provider's words.
_STATUS_LETTERS = 3


def keep_tokens(row: OAuthCredential, tokens: Tokens, *, now: datetime) -> None:
    """Seal and write what was received; a refusal or a rest is over."""
    place_tokens(row, tokens, now=now)
    was_refused = bool(row.fault)
    forget_trouble(row)
    row.save(update_fields=[*TOKEN_COLUMNS, *TROUBLE_COLUMNS])
    if was_refused:
        record("oauth.answered", row)


#: What `place_tokens` and `forget_trouble` write.
TOKEN_COLUMNS = (
    "access_token", "access_token_expires_at", "token_received_at", "refresh_token",
    "refresh_token_expires_at",
)  # fmt: skip
TROUBLE_COLUMNS = ("fault", "fault_words", "fault_at", "retry_at", "tries")


def place_tokens(row: OAuthCredential, tokens: Tokens, *, now: datetime) -> None:
    """Put tokens into the row, sealed for it as it is now; saves nothing."""
    row.access_token = sealed(row, "access_token", tokens.access_token)
    row.access_token_expires_at = now + timedelta(seconds=tokens.lifetime_seconds)
    row.token_received_at = now
    if tokens.refresh_token is not None:
        row.refresh_token = sealed(row, "refresh_token", tokens.refresh_token)
        row.refresh_token_expires_at = None
    if tokens.refresh_seconds is not None:
        row.refresh_token_expires_at = now + timedelta(seconds=tokens.refresh_seconds)


def drop_tokens(row: OAuthCredential) -> None:
    """Take every token out of the row; saves nothing."""
    row.access_token = row.refresh_token = None
    row.access_token_expires_at = row.token_received_at = row.refresh_token_expires_at = None
    row.connected_at = None


def forget_trouble(row: OAuthCredential) -> None:
    """Take a former refusal and a rest out of the row; saves nothing."""
    row.fault, row.fault_words, row.fault_at = "", "", None
    row.retry_at, row.tries = None, 0


def keep_refusal(row: OAuthCredential, refusal: TokenRefused, *, now: datetime) -> None:
    """Write down that only a person can help; an event when that is news."""
    is_news = row.fault != refusal.reason
    row.fault, row.fault_at = refusal.reason, now
    row.fault_words = str(refusal.reply) if refusal.reply is not None else ""
    row.save(update_fields=["fault", "fault_words", "fault_at"])
    if is_news:
        words = row.fault_words or str(refusal)
        record("oauth.refused", row, level="error", reason=refusal.reason, words=words)


def refusal_of(row: OAuthCredential) -> TokenRefused:
    """Return the refusal a row keeps, as it was raised first."""
    status, words = row.fault_words[:_STATUS_LETTERS], row.fault_words[_STATUS_LETTERS + 1 :]
    reply = Reply(int(status), words) if status.isdecimal() else None
    return TokenRefused("The provider gave no token.", phase=Phase.TOKEN, reply=reply, reason=row.fault)


def keep_trouble(row: OAuthCredential, trouble: TokenNotAvailable, *, now: datetime) -> None:
    """Let the provider rest: as long as it asked for, else longer each time."""
    row.tries = min(row.tries + 1, 100)
    rest = min(FIRST_REST * 2 ** min(row.tries - 1, 20), LONGEST_REST)
    if trouble.retry_seconds is not None:
        rest = max(rest, timedelta(seconds=trouble.retry_seconds))
    row.retry_at = now + rest
    row.save(update_fields=["retry_at", "tries"])


def sealed(row: OAuthCredential, column: str, secret: Secret) -> bytes:
    """Seal a secret for a column of the row as it is now."""
    return sealing.seal(secret, sealing.binding_for(row, column))


def record(
    kind: str, row: OAuthCredential, *, level: str = "info", user_id: int | None = None, **data: object
) -> None:
    """Write one line about a credential into the event log."""
    Event.objects.create(kind=kind, level=level, user_id=user_id, data={"credential": row.name, **data})
