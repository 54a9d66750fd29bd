"""Hints about user name and password. Of a password only its shape is known, and none of it is repeated."""

from collections.abc import Iterator

from django.utils.translation import gettext as _

from smtp_settings.correction import Correction
from smtp_settings.entries.rules import AVAILABLE_AUTH
from smtp_settings.hints.hint import ACCESS_KEY, Hint, Seen, Tone, domain_of, key_prefix
from smtp_settings.presets import Preset, User

#: Amazon's secret access keys; SMTP passwords are longer.
_SECRET_ACCESS_KEY_LENGTH = 40


def hints(seen: Seen) -> Iterator[Hint]:
    """Say what is odd about the sign-in."""
    if seen.auth == "none":
        return
    yield from _ending(seen)
    if found := _misplaced(seen) or _user_rule(seen):
        yield found
    if seen.auth == "password" and (found := _password(seen)):
        yield found


def _ending(seen: Seen) -> Iterator[Hint]:
    """Speak of a provider that gives up sign-in by password."""
    end = seen.preset.password_end if seen.preset else None
    if end is None or seen.auth != "password":
        return
    corrections = (
        (Correction(_("Sign in with OAuth 2.0"), {"auth": "oauth2"}),) if "oauth2" in AVAILABLE_AUTH else ()
    )
    today = seen.known.today
    yield Hint("auth", _(end.words(today)), Tone.WARN if end.is_near(today) else Tone.HINT, corrections)


def _misplaced(seen: Seen) -> Hint | None:
    """Find an API key where the user name belongs; Amazon's user names begin like one."""
    prefix = key_prefix(seen.username)
    is_aws = seen.preset is not None and seen.preset.secret_prefix == "" and seen.preset.user is User.MADE
    if not prefix or seen.username == _fixed(seen.preset) or (prefix == ACCESS_KEY and is_aws):
        return None
    if prefix == ACCESS_KEY and seen.preset is None:
        return None
    sentence = _("This looks like the API key. It belongs in Password.")
    return Hint("username", sentence, Tone.WARN, _user(_fixed(seen.preset)))


def _user_rule(seen: Seen) -> Hint | None:
    """Hold the user name against the provider's rule."""
    preset, name = seen.preset, seen.username
    if preset is None or not name:
        return None
    if preset.user is User.FIXED and not _is_fixed(name, preset.user_name):
        return Hint(
            "username",
            _("At %(provider)s the user name is always %(name)s.")
            % {"provider": preset.name, "name": preset.user_name},
            Tone.WARN,
            _user(preset.user_name),
        )
    if preset.user is User.LOCAL and "@" in name:
        sentence = _("At %(provider)s the user name is the part before the @.") % {"provider": preset.name}
        return Hint("username", sentence, Tone.WARN, _user(name.partition("@")[0]))
    if preset.user is User.ADDRESS and "@" not in name:
        sentence = _("At %(provider)s the user name is the full address.") % {"provider": preset.name}
        is_theirs = domain_of(seen.from_address) and seen.from_address.partition("@")[0] == name
        return Hint("username", sentence, Tone.WARN, _user(seen.from_address if is_theirs else ""))
    return None


def _fixed(preset: Preset | None) -> str:
    return preset.user_name if preset else ""


def _is_fixed(name: str, literal: str) -> bool:
    """Whether a name is the literal, or the literal with a subaccount behind a colon (SparkPost)."""
    return name == literal or name.startswith(f"{literal}:")


def _user(name: str) -> tuple[Correction, ...]:
    if not name:
        return ()
    return (Correction(_("Use the user name “%(value)s”") % {"value": name}, {"username": name}),)


def _password(seen: Seen) -> Hint | None:
    """Look at the shape of a typed password: the most telling fault only."""
    shape, preset = seen.known.password, seen.preset
    if not shape.length:
        return None
    if shape.starts_with_space:
        return Hint("password", _("The password starts with a space."))
    if shape.ends_with_space:
        return Hint("password", _("The password ends with a space."))
    if shape.is_username and not _is_one_token(preset):
        return Hint("password", _("User name and password are the same."), Tone.WARN)
    if shape.prefix == ACCESS_KEY:
        sentence = _("This looks like an access key ID. It belongs in User name.")
        return Hint("password", sentence, Tone.WARN)
    return _unlike(preset, shape.length, shape.prefix) if preset else None


def _is_one_token(preset: Preset | None) -> bool:
    """Whether one token is both user name and password (Postmark)."""
    return preset is not None and preset.user is User.MADE and preset.secret == "token"  # noqa: S105 - a kind


def _unlike(preset: Preset, length: int, prefix: str) -> Hint | None:
    """Say what this provider's secrets look like, when this one does not."""
    if preset.key == "ses" and length == _SECRET_ACCESS_KEY_LENGTH:
        return Hint("password", _("This looks like a secret access key."), Tone.WARN)
    if preset.secret_prefix and prefix != preset.secret_prefix:
        said = {"provider": preset.owner, "prefix": preset.secret_prefix}
        sentence = _("At %(provider)s it begins with %(prefix)s") % said
        return Hint("password", sentence)
    if preset.secret_length and length != preset.secret_length:
        said = {"provider": preset.owner, "n": str(preset.secret_length)}
        sentence = _("At %(provider)s it has %(n)s characters.") % said
        return Hint("password", sentence)
    return None
