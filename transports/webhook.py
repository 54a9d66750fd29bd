"""A webhook called: one signed POST, over guarded HTTPS.

The receiver computes HMAC-SHA256 over the timestamp header, a full stop and the body as it came, with the
shared secret, and compares. A timestamp of long ago is a call played back.
"""

import hashlib
import hmac
import ssl

from transports.base import Secret
from transports.posting import parse_url, post
from transports.resolve import AddressGuard

__all__ = ["DELIVERY", "SIGNATURE", "TIMESTAMP", "call", "parse_url", "signature_of"]

#: Seconds since 1970 when the call was signed.
TIMESTAMP = "X-Mailconf-Timestamp"
#: "v1=" and the signature in hexadecimal digits.
SIGNATURE = "X-Mailconf-Signature"
#: The same for every try of one call: a receiver that knows it has had it.
DELIVERY = "X-Mailconf-Delivery"

#: Seconds for one call with everything: a receiver that works first and answers then is told again.
DEADLINE = 15.0


def signature_of(body: bytes, *, timestamp: int, secret: Secret) -> str:
    """Return the value of the signature header.

    >>> signature_of(b"{}", timestamp=1795176000, secret=Secret("0123456789abcdef"))[:12]
    'v1=494525315'
    """
    signed = str(timestamp).encode() + b"." + body
    return "v1=" + hmac.new(secret.reveal().encode(), signed, hashlib.sha256).hexdigest()


async def call(
    url: str,
    body: bytes,
    *,
    delivery: str,
    timestamp: int,
    secret: Secret,
    guard: AddressGuard,
    allow_http: bool = False,
    context: ssl.SSLContext | None = None,
) -> int:
    """Post the body and return the status that came; only 2xx means that it was taken.

    Redirects are not followed. `context` replaces the system's authorities. Raises TransportError.
    """
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        TIMESTAMP: str(timestamp),
        SIGNATURE: signature_of(body, timestamp=timestamp, secret=secret),
        DELIVERY: delivery,
    }
    answer = await post(
        url, body, headers=headers, guard=guard, allow_http=allow_http, context=context, deadline=DEADLINE
    )
    return answer.status
