"""A language in which every translated text stands in brackets, and is longer when wanted."""

from contextlib import contextmanager

from django.conf import settings
from django.utils import translation
from django.utils.translation import trans_real

#: As long as German needs it (UX B43).
LONGER = 1.34


class _Pseudo(trans_real.DjangoTranslation):
    """Django's own English with something done to each text on its way out."""

    def __init__(self, change):
        super().__init__(settings.LANGUAGE_CODE)
        self.change = change

    def gettext(self, message):
        return self.change(super().gettext(message).rpartition("\x04")[2])

    def ngettext(self, singular, plural, number):
        return self.change(super().ngettext(singular, plural, number).rpartition("\x04")[2])


def _bracketed(text):
    return f"⟦{text}⟧" if text.strip() else text


def _longer(text):
    """Repeat the end of a text that is no format, as a third more of it."""
    words = [word for word in text.split() if "%" not in word and "{" not in word]
    extra, tail = round(len(text) * (LONGER - 1)), []
    while words and sum(map(len, tail)) < extra:
        tail.append(words[len(tail) % len(words)])
    return " ".join([text, *tail])


@contextmanager
def pseudo_language(*, longer=False):
    """Speak it until the block ends, in every thread of this process."""
    code = settings.LANGUAGE_CODE
    mine = _Pseudo(_longer if longer else _bracketed)
    before, default = dict(trans_real._translations), trans_real._default
    trans_real._translations[code], trans_real._default = mine, mine
    try:
        with translation.override(code):  # this thread may have been told its language before
            yield
    finally:
        trans_real._translations.clear()
        trans_real._translations.update(before)
        trans_real._default = default
        translation.deactivate()  # leaving `override` activated the thread's language from the table above
