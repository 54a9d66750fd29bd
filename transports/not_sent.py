"""What a caller meets whose message is sent while it waits, and could not be."""

import smtplib


class NotSent(smtplib.SMTPException):
    """Messages were not sent; str() is one sentence without secrets, caught as smtplib's errors are.

    `sentences`: for each of them, by its number, what became of it.
    """

    def __init__(self, sentences: dict[int, str]) -> None:
        first = next(iter(sentences.values()))
        more = len(sentences) - 1
        super().__init__(f"{first} ({more} more of this call were not sent.)" if more else first)
        self.sentences = sentences
