"""The access token of a credential: the stored one while it holds, else a new one, asked for once by all.

Who finds no usable token locks the credential's row, looks again, asks, and writes down what came before
anybody uses it: twenty workers with one expired token make one POST, and a rotated refresh token is committed
before its access token signs in anywhere. The lock is held over that POST, which is the exception to the rule
that no transaction is open across the wire: it is one row, nobody else wants it for anything but this very
token, and it ends after half a minute. A lease was tried on paper and rejected: whoever waits for it has to
poll, and a holder that dies leaves the others waiting for its end.
"""

from datetime import datetime, timedelta

from django.db import OperationalError, connection, transaction
from django.utils import timezone

from smtp_settings.models import OAuthCredential
from smtp_settings.oauth import keeping
from smtp_settings.oauth.asking import ask, grant_of, opened
from smtp_settings.sealing import Secret
from transports.base import Phase
from transports.errors import TokenNotAvailable, TokenRefused, TransportError

#: A token is renewed so long before its end; of a short one in its last quarter.
MARGIN = timedelta(minutes=5)

#: After a refusal nobody asks again for so long, unless a person does: ten profiles would ask ten times.
FAULT_RESTS = timedelta(minutes=5)

#: Longer than a POST may take: whoever waits for the row waits for its token.
_LOCK_SECONDS = 45


def access_token(credential_id: int, *, refused: Secret | None = None, asks_again: bool = False) -> Secret:
    """Return a token to sign in with now; at most one POST however many ask at once.

    `refused`: a token a server did not take; another one is returned unless there is none. `asks_again`: a
    person waits, so that neither a former refusal nor a rest keeps the provider from being asked. Raises
    TokenRefused, TokenNotAvailable and SealingError. Open no transaction around it: a thread of its own is
    the place.
    """
    row = OAuthCredential.objects.filter(pk=credential_id).first()
    if row is None:
        raise TokenRefused("The OAuth credential does not exist.", phase=Phase.TOKEN, reason="not-connected")
    token = usable(row, timezone.now(), refused=refused)
    return token or _renewed(credential_id, refused=refused, asks_again=asks_again)


def in_its_own_thread(
    credential_id: int, *, refused: Secret | None = None, asks_again: bool = False
) -> Secret:
    """Return what `access_token` does, and leave no connection of this thread to the database behind."""
    try:
        return access_token(credential_id, refused=refused, asks_again=asks_again)
    finally:
        connection.close()


def usable(
    row: OAuthCredential, now: datetime, *, refused: Secret | None = None, margin: timedelta | None = None
) -> Secret | None:
    """Return the stored token while it holds, None when a new one is needed. Raises SealingError."""
    ends_at = row.access_token_expires_at
    if row.access_token is None or ends_at is None:
        return None
    if now >= ends_at - (margin_of(row) if margin is None else margin):
        return None
    token = opened(row, "access_token")
    if token is None or (refused is not None and token.reveal() == refused.reveal()):
        return None
    return token


def margin_of(row: OAuthCredential) -> timedelta:
    """Return how long before its end a token is renewed."""
    if row.access_token_expires_at is None or row.token_received_at is None:
        return MARGIN
    return min(MARGIN, (row.access_token_expires_at - row.token_received_at) / 4)


def _renewed(credential_id: int, *, refused: Secret | None, asks_again: bool) -> Secret:
    with transaction.atomic():
        row, now = _locked(credential_id), timezone.now()
        if (token := usable(row, now, refused=refused)) is not None:
            return token  # somebody else asked while we waited
        error = None if asks_again else _known_trouble(row, now)
        answer = error or _asked(row, now)
        if isinstance(answer, TokenNotAvailable):  # no reason to stop before the old one ends
            answer = usable(row, now, refused=refused, margin=timedelta(0)) or answer
    if isinstance(answer, Secret):
        return answer
    raise answer  # outside: what was written down stays


def _asked(row: OAuthCredential, now: datetime) -> Secret | TransportError:
    """Ask the provider, and write down what it said."""
    try:
        secret, refresh_token = opened(row, "client_secret"), opened(row, "refresh_token")
        tokens = ask(row, grant_of(row, refresh_token), secret)
    except TokenRefused as refusal:
        keeping.keep_refusal(row, refusal, now=now)
        return refusal
    except TokenNotAvailable as trouble:
        keeping.keep_trouble(row, trouble, now=now)
        return trouble
    keeping.keep_tokens(row, tokens, now=timezone.now())
    return tokens.access_token


def _known_trouble(row: OAuthCredential, now: datetime) -> TransportError | None:
    """Return what was learned a moment ago, instead of asking the provider for it again."""
    if row.fault and row.fault_at is not None and now < row.fault_at + FAULT_RESTS:
        return keeping.refusal_of(row)
    if row.retry_at is not None and now < row.retry_at:
        sentence = "The sign-in service did not answer a moment ago."
        return TokenNotAvailable(sentence, phase=Phase.TOKEN, reason="resting")
    return None


def _locked(credential_id: int) -> OAuthCredential:
    """Lock the row and return it. Raises TokenNotAvailable when that takes too long."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{_LOCK_SECONDS}s"])
    try:
        row = OAuthCredential.objects.select_for_update(no_key=True).filter(pk=credential_id).first()
    except OperationalError as error:
        sentence = "Another process asks for the same token, and has no answer yet."
        raise TokenNotAvailable(sentence, phase=Phase.TOKEN, reason="timeout") from error
    if row is None:
        raise TokenRefused("The OAuth credential does not exist.", phase=Phase.TOKEN, reason="not-connected")
    return row
