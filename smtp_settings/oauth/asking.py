"""One question to a provider about a credential: who asks, how, and what may be asked."""

from ipaddress import ip_network

from django.conf import settings

from smtp_settings import sealing
from smtp_settings.models import OAuthCredential
from smtp_settings.oauth.providers import grants_scope
from smtp_settings.sealing import Secret
from transports import oauth
from transports.base import Phase
from transports.errors import TokenRefused
from transports.posting import HTTPS_PORT
from transports.resolve import AddressGuard

Flow = OAuthCredential.Flow


def opened(credential: OAuthCredential, column: str) -> Secret | None:
    """Open a sealed column; None when it is empty. Raises SealingError when it does not open."""
    sealed = getattr(credential, column)
    return None if sealed is None else sealing.open_sealed(sealed, sealing.binding_for(credential, column))


def client_of(credential: OAuthCredential, secret: Secret | None) -> oauth.Client:
    """Return who asks: the credential's present values with this secret."""
    return oauth.Client(
        token_url=credential.token_url,
        client_id=credential.client_id,
        scope=credential.scope,
        account=credential.account,
        secret=secret,
    )


def grant_of(credential: OAuthCredential, refresh_token: Secret | None) -> oauth.Grant:
    """Return how the credential gets its next token. Raises TokenRefused while nobody has signed in."""
    if credential.flow == Flow.APPLICATION:
        return oauth.ClientCredentials()
    if credential.flow == Flow.SERVICE_ACCOUNT:
        return oauth.ServiceAccount()
    if refresh_token is None:
        raise TokenRefused("Nobody has signed in yet.", phase=Phase.TOKEN, reason="not-connected")
    return oauth.RefreshToken(refresh_token)


def ask(credential: OAuthCredential, grant: oauth.Grant, secret: Secret | None) -> oauth.Tokens:
    """Ask for tokens over the wire, at most half a minute. Raises TokenRefused and TokenNotAvailable.

    A token of another account, or with less than what is asked for, counts as refused.
    """
    tokens = oauth.fetch_now(
        client_of(credential, secret), grant, guard=guard(), allow_http=settings.MAILCONF_OAUTH_ALLOW_HTTP
    )
    if credential.account and tokens.account and tokens.account.lower() != credential.account.lower():
        sentence = f"The token is of {tokens.account}, not of {credential.account}."
        raise TokenRefused(
            sentence, phase=Phase.TOKEN, reason="account", evidence={"account": tokens.account}
        )
    if not grants_scope(credential.scope, tokens.scope):
        sentence = f"The token is for “{tokens.scope}” only."
        raise TokenRefused(sentence, phase=Phase.TOKEN, reason="scope")
    return tokens


def guard() -> AddressGuard:
    """Return what keeps a token URL from reaching into this installation's own network, as for profiles."""
    return AddressGuard(
        allowed_networks=tuple(
            ip_network(network, strict=False) for network in settings.MAILCONF_ALLOWED_NETWORKS
        ),
        allowed_ports=(
            HTTPS_PORT,
            *(
                port if isinstance(port, int) else range(port[0], port[1] + 1)
                for port in settings.MAILCONF_ALLOWED_PORTS
            ),
        ),
        allow_private=settings.MAILCONF_ALLOW_PRIVATE,
    )
