"""A pickled Django message, read without running anybody's code.

django-mailer keeps a pickle, and a pickle can name any function of any module: whoever can write the table
runs code in the worker. Here only names in a fixed table are resolved; everything else refuses the row.
What comes out is then copied, attribute by attribute, into a fresh message, so that no state in the pickle
changes what a method does.
"""

import base64
import binascii
import email.charset
import email.header
import email.message
import io
import pickle
from collections.abc import Callable, Iterable
from email import _policybase  # where a pickled part names its policy
from email.mime.application import MIMEApplication
from email.mime.audio import MIMEAudio
from email.mime.base import MIMEBase
from email.mime.image import MIMEImage
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.mime.text import MIMEText
from typing import Any

from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.mail import message as django_message
from django.utils import functional, safestring, translation

#: A waiting message is hardly larger than what servers take.
MAX_BYTES = 200 * 1024 * 1024


class Unreadable(ValueError):
    """The data is no pickled Django message, or names what is not allowed; str() is one sentence."""


class _Backend:
    """Stands for the backend that sent a message into the queue; its state is dropped with it."""


def _as_bytes(text: str, _encoding: str = "latin-1") -> bytes:
    """Stand for `_codecs.encode`, by which old pickles write bytes; always Latin-1, no other codec."""
    return text.encode("latin-1")


def _no_more_bytes(value: bytes = b"") -> bytes:
    """Stand for `bytes` and `bytearray`, which would also make a billion zeros of a number."""
    if not isinstance(value, bytes):
        raise pickle.UnpicklingError("only bytes")
    return value


def _reconstructed(of: type, base: type, state: object = None) -> object:
    """Stand for `copyreg._reconstructor` (protocols 0 and 1), for plain objects, texts and named tuples."""
    if not (isinstance(of, type) and base in (object, str, tuple) and issubclass(of, base)):
        raise pickle.UnpicklingError("only plain objects")
    if base is object:
        return object.__new__(of)
    make: Any = base.__new__  # Any: of a text or of a tuple
    return make(of, state)


_OURS: dict[str, Any] = {  # Any: classes and functions
    "builtins.object": object,
    "builtins.str": str,
    "builtins.tuple": tuple,
    "builtins.unicode": str,  # in protocols 0 to 2
    "builtins.bytes": _no_more_bytes,
    "builtins.bytearray": _no_more_bytes,
    "_codecs.encode": _as_bytes,
    "copyreg._reconstructor": _reconstructed,
    "mailer.backend.DbBackend": _Backend,
    "delivery.email_backend.EmailBackend": _Backend,
    "email._policybase.Compat32": _policybase.Compat32,
    "django.utils.functional._lazy_proxy_unpickle": getattr(functional, "_lazy_proxy_unpickle", None),
    "django.utils.translation.gettext": translation.gettext,
    "django.utils.translation.ngettext": translation.ngettext,
    "django.utils.translation.pgettext": translation.pgettext,
}
_CLASSES: Iterable[Any] = (  # Any: some are gone in later versions of Django
    EmailMessage,
    EmailMultiAlternatives,
    *(
        getattr(django_message, name, None)
        for name in (
            "EmailAttachment", "EmailAlternative", "SafeMIMEText", "SafeMIMEMultipart", "SafeMIMEMessage",
        )
    ),
    safestring.SafeString,
    email.charset.Charset,
    email.header.Header,
    email.message.Message,
    MIMEApplication,
    MIMEAudio,
    MIMEBase,
    MIMEImage,
    MIMEMessage,
    MIMEMultipart,
    MIMENonMultipart,
    MIMEText,
)  # fmt: skip
#: Everything a pickle may name.
ALLOWED = {name: found for name, found in _OURS.items() if found is not None} | {
    f"{one.__module__}.{one.__qualname__}": one for one in _CLASSES if one is not None
}


#: What modules were called in Python 2, whose names protocols 0 to 2 write.
_NAMES_BEFORE = {"__builtin__": "builtins", "copy_reg": "copyreg"}


class _Unpickler(pickle.Unpickler):
    """Resolves the names in `ALLOWED` and no other."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:  # Any: as above it
        """Return what a name stands for."""
        name = f"{_NAMES_BEFORE.get(module_name, module_name)}.{global_name}"
        if module_name.startswith("django.core.mail.backends.") and global_name == "EmailBackend":
            return _Backend
        if name not in ALLOWED:
            raise _Refused(name)
        return ALLOWED[name]


class _Refused(Exception):
    """A pickle names what is not allowed."""


def message_of(data: str) -> EmailMessage:
    """Return the message in a row's `message_data`. Raises Unreadable."""
    if len(data) > MAX_BYTES:
        raise Unreadable("The stored message is too large to be read.")
    found = _loaded(data)
    if not isinstance(found, EmailMessage):
        raise Unreadable("What is stored is no Django message.")
    try:
        return _fresh(found)
    except (TypeError, AttributeError, ValueError) as error:
        raise Unreadable("The stored message is damaged.") from error


def _loaded(data: str) -> object:
    """Unpickle Base64, else the data itself, as django-mailer does."""
    try:
        raw = base64.b64decode(data.encode("ascii"))
        return _load(raw)
    except (binascii.Error, UnicodeEncodeError, _NotAPickle):
        pass
    try:
        return _load(data.encode("latin-1"))
    except (UnicodeEncodeError, _NotAPickle):
        raise Unreadable("What is stored is no pickle.") from None


class _NotAPickle(Exception):
    """The bytes cannot be unpickled."""


def _load(raw: bytes) -> object:
    try:
        return _Unpickler(io.BytesIO(raw)).load()
    except _Refused as refused:
        raise Unreadable(f"It names {str(refused)[:100]!a}, which is no part of a Django message.") from None
    except (  # whatever damaged or hostile bytes make of the machine; none of it is anybody's code
        pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, KeyError, TypeError,
        ValueError, RecursionError, OverflowError, MemoryError,
    ) as error:  # fmt: skip
        raise _NotAPickle from error


def _fresh(found: EmailMessage) -> EmailMessage:
    """Copy what a message says into one that no pickle has touched."""
    state = vars(found)
    made = EmailMultiAlternatives(
        subject=str(state.get("subject") or ""),
        body=_text(state.get("body")),
        from_email=str(state["from_email"]) if state.get("from_email") else None,
        to=_texts(state.get("to")),
        cc=_texts(state.get("cc")),
        bcc=_texts(state.get("bcc")),
        reply_to=_texts(state.get("reply_to")),
        headers={str(name): str(value) for name, value in dict(state.get("extra_headers") or {}).items()},
    )
    made.content_subtype = str(state.get("content_subtype") or "plain")
    if hasattr(made, "mixed_subtype"):  # until Django 5.2
        made.mixed_subtype = str(state.get("mixed_subtype") or "mixed")
    if state.get("encoding") is not None:
        made.encoding = str(state["encoding"])
    for content, kind in state.get("alternatives") or ():
        made.attach_alternative(_text(content), str(kind))
    for one in state.get("attachments") or ():
        _attach(made, one)
    return made


def _attach(made: EmailMessage, one: object) -> None:
    if isinstance(one, MIMEBase):
        made.attach(one)
        return
    name, content, kind = (*one, None)[:3] if isinstance(one, tuple) else (None, None, None)
    if not isinstance(content, str | bytes):
        raise TypeError("an attachment without content")
    made.attach(None if name is None else str(name), content, None if kind is None else str(kind))


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "")


def _texts(value: object) -> list[str]:
    of: Callable[[object], str] = str
    return [of(one) for one in value] if isinstance(value, list | tuple) else []
