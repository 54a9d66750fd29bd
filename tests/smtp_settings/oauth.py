"""OAuth credentials for tests, at a provider on loopback (tests/authorization.py)."""

from django.utils import timezone

from smtp_settings import sealing
from smtp_settings.models import OAuthCredential
from smtp_settings.oauth import keeping
from smtp_settings.sealing import Secret
from transports.oauth import Tokens


def a_credential(provider, *, secret=True, tokens=None, **values):
    """Return a saved credential of an application at this provider; `tokens` are what it holds."""
    known = {
        "name": "Contoso",
        "provider": "other",
        "flow": "application",
        "client_id": provider.client_id,
        "scope": provider.scope,
        "token_url": provider.token_url,
        "authorize_url": provider.authorize_url,
        "account": provider.account,
        "secret_version": 1,
    }
    row = OAuthCredential(**known | values)
    if secret:
        text = provider.client_secret if secret is True else secret
        row.client_secret = sealing.seal(Secret(text), sealing.binding_for(row, "client_secret"))
    if tokens is not None:
        keeping.place_tokens(row, tokens, now=timezone.now())
    row.save()
    return row


def connected(provider, *, lifetime=3600, **values):
    """Return a credential a person has connected, with an access token that holds so many seconds."""
    provider.refresh_tokens.add("refresh-first")
    provider.access_tokens.add("access-first")
    tokens = Tokens(Secret("access-first"), lifetime, Secret("refresh-first"))
    return a_credential(provider, flow="browser", tokens=tokens, connected_at=timezone.now(), **values)


def revealed(row, column):
    """Return what a sealed column holds now; None when it is empty."""
    row = OAuthCredential.objects.get(pk=row.pk)
    sealed = getattr(row, column)
    return None if sealed is None else sealing.open_sealed(sealed, sealing.binding_for(row, column)).reveal()
