"""From an EmailMessage or raw bytes to an envelope and stored content; knows no row.

`compose_message` and `compose_eml` make a `Composed` or raise `CannotCompose` with one sentence; `front` and
`content_of` put the message together when it is sent.
"""

from delivery.composing.composed import CannotCompose, Composed
from delivery.composing.eml import compose_eml
from delivery.composing.front import Sender, content_of, envelope_sender, front, original_to
from delivery.composing.message import compose_message
from delivery.composing.words import readable

__all__ = [
    "CannotCompose",
    "Composed",
    "Sender",
    "compose_eml",
    "compose_message",
    "content_of",
    "envelope_sender",
    "front",
    "original_to",
    "readable",
]
