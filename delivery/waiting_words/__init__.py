"""The reasons why a message waits, in words: a sentence or two each, with the server's own words apart.

`say_shortly` says them in half a sentence, for lists. What they say is decided in `delivery.waiting`. Who may
not see profiles is told no name, neither a server's nor a person's, and no server's words.
"""

from delivery.waiting_words.messages import HELD, HELD_SOMEHOW, MAY_HAVE_ARRIVED, say
from delivery.waiting_words.shortly import say_shortly
from delivery.waiting_words.telling import Said, Telling

__all__ = ["HELD", "HELD_SOMEHOW", "MAY_HAVE_ARRIVED", "Said", "Telling", "say", "say_shortly"]
