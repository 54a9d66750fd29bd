"""What can go wrong with keys and sealed secrets. str() is one sentence for people, without any secret.

SealingError
├── KeyMissing           no key, or not the one a secret was sealed with
│   ├── KeyUnusable      a key that is no key: too short, a passphrase, made from SECRET_KEY
│   └── WrongKey         another key under a known name
└── SealBroken           does not open: other row, other destination, or altered
"""


class SealingError(Exception):
    """The base: no secret could be sealed or opened."""


class KeyMissing(SealingError):
    """No key is configured, or not the one that is needed; `kid` names it where known."""

    def __init__(self, sentence: str, *, kid: str = "") -> None:
        super().__init__(sentence)
        self.kid = kid


class KeyUnusable(KeyMissing):
    """What is configured is not a key."""


class WrongKey(KeyMissing):
    """The key differs from the one that was used under this name before."""


class SealBroken(SealingError):
    """A sealed secret does not open for this row and destination."""
