"""What the fields of the form hold now, as texts: what a preset or a hint looks at. Never a secret."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from django.conf import settings
from django.http import QueryDict

from smtp_settings.entries import pasted

if TYPE_CHECKING:
    from smtp_settings.forms.fields import ProfileFields

#: A name with one of these stands between quotation marks (RFC 5322 section 3.2.3), in the script as well.
_SPECIAL = re.compile(r'[()<>@,;:\\".\[\]]')

#: What stands for a password in texts: that there is one.
THERE = "•"


def texts_of(form: "ProfileFields") -> dict[str, str]:
    """Return every field of a form as it is shown; a list with commas, a ticked box as "on"."""
    return {name: _text(form[name].value()) for name in form.fields if name != "password"} | {
        "password": THERE if form.is_kept("password") or form.data.get("password") else ""
    }


def posted_texts(data: QueryDict, *, keeps_password: bool) -> dict[str, str]:
    """Return what a page has posted, text by text; of the password only whether it is there."""
    texts = {name: ", ".join(data.getlist(name)) for name in data if name != "password"}
    server = pasted.server(texts.get("host", ""))
    texts["host"] = server.host
    if server.port:
        texts["port"] = server.port
    is_there = bool(data.get("password") or data.get("_password_length", "0") != "0" or keeps_password)
    return texts | {"password": THERE if is_there else ""}


def allowed_ports() -> list[int | range]:
    """Return the ports profiles may use here."""
    return [
        range(port[0], port[1] + 1) if isinstance(port, tuple) else port
        for port in settings.MAILCONF_ALLOWED_PORTS
    ]


def from_header(texts: Mapping[str, str]) -> str:
    """Return the From header as recipients see it, "" without an address in it.

    >>> from_header({"from_name": "Shop, the", "from_address": "shop@example.com"})
    '"Shop, the" <shop@example.com>'
    """
    address, name = texts.get("from_address", "").strip(), texts.get("from_name", "").strip()
    if _SPECIAL.search(name):
        name = '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'
    if "@" not in address:
        return ""
    return f"{name} <{address}>" if name else address


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else ""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
