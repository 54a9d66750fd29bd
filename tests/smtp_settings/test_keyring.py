"""Keys: what is one, what is not, and when they are read again."""

import base64
import hashlib

import pytest

from smtp_settings import sealing
from smtp_settings.sealing import KeyMissing, KeyUnusable, current_keyring, new_key, parse_keys

SECRET_KEY = "an-unrelated-secret-key-of-the-installation-0123456789"


def encoded(raw):
    return base64.b64encode(raw).decode()


def test_the_first_key_is_the_primary_and_every_key_is_found_by_name():
    first, second = new_key(), new_key()
    ring = parse_keys(f"{first},{second}", secret_key=SECRET_KEY)
    assert ring.primary.kid == first.partition(":")[0]
    assert ring.get(second.partition(":")[0]).kid == second.partition(":")[0]


def test_a_file_may_hold_comments_and_a_key_on_each_line():
    first, second = new_key(), new_key()
    ring = parse_keys(f"# made on the first day\n{first}\n\n  {second}\n", secret_key=SECRET_KEY)
    assert [key.kid for key in ring.keys] == [first.partition(":")[0], second.partition(":")[0]]


def test_new_keys_differ_and_are_accepted():
    assert new_key() != new_key()
    assert parse_keys(new_key(), secret_key=SECRET_KEY)


@pytest.mark.parametrize("text", ["", "  \n", "# nothing here", ","])
def test_no_key_at_all_says_how_to_make_one(text):
    with pytest.raises(KeyMissing, match="generate_key"):
        parse_keys(text, secret_key=SECRET_KEY)


#: A good value, the same in every process that collects these tests.
GOOD = encoded(hashlib.sha256(b"a key of the tests").digest())


@pytest.mark.parametrize(
    "text",
    [
        "correct horse battery staple",
        "k1",
        "k1:",
        "k1:correct-horse-battery-staple",
        f"k1:{encoded(b'short')}",
        f"k1:{encoded(bytes(33))}",
        f"k1:{encoded(bytes(32))}",
        f"k1:{encoded(b'abcdefgh' * 4)}",
        f"k1:{encoded(b'correct horse battery staple 123')}",
        f"k 1:{GOOD}",
        f":{GOOD}",
        f"{'k' * 33}:{GOOD}",
    ],
)
def test_what_is_no_32_random_bytes_is_refused_without_showing_it(text):
    with pytest.raises(KeyUnusable) as refusal:
        parse_keys(text, secret_key=SECRET_KEY)
    assert text.partition(":")[2] not in str(refusal.value) or not text.partition(":")[2]


@pytest.mark.parametrize(
    "made",
    [
        lambda secret_key: hashlib.sha256(secret_key.encode()).digest(),
        lambda secret_key: hashlib.blake2b(secret_key.encode(), digest_size=32).digest(),
        lambda secret_key: secret_key.encode()[:32],
    ],
    ids=["sha256", "blake2b", "cut"],
)
def test_a_key_made_from_secret_key_is_refused(made):
    with pytest.raises(KeyUnusable, match=r"SECRET_KEY|pattern"):
        parse_keys(f"k1:{encoded(made(SECRET_KEY))}", secret_key=SECRET_KEY)


def test_secret_key_itself_is_refused_even_when_it_looks_like_a_key():
    key = new_key()
    with pytest.raises(KeyUnusable, match="SECRET_KEY"):
        parse_keys(key, secret_key=key.partition(":")[2])


def test_two_keys_of_one_name_are_refused():
    with pytest.raises(KeyUnusable, match="same name"):
        parse_keys(f"k:{new_key().partition(':')[2]},k:{new_key().partition(':')[2]}", secret_key=SECRET_KEY)


def test_the_representation_of_a_keyring_shows_no_key():
    key = new_key()
    ring = parse_keys(key, secret_key=SECRET_KEY)
    raw = base64.b64decode(key.partition(":")[2])
    assert key.partition(":")[2] not in repr(ring)
    assert repr(raw) not in repr(ring)


def test_a_changed_key_file_is_read_again(tmp_path, settings):
    path = tmp_path / "keys"
    first, second = new_key(), new_key()
    settings.MAILCONF_KEYS_FILE = str(path)
    path.write_text(first)
    assert current_keyring().primary.kid == first.partition(":")[0]
    path.write_text(f"{second}\n{first}\n")
    assert current_keyring().primary.kid == second.partition(":")[0]


def test_the_file_wins_over_the_environment(tmp_path, settings):
    path = tmp_path / "keys"
    key = new_key()
    path.write_text(key)
    settings.MAILCONF_KEYS, settings.MAILCONF_KEYS_FILE = new_key(), str(path)
    assert current_keyring().primary.kid == key.partition(":")[0]


def test_an_unreadable_key_file_is_a_sentence_with_its_path(tmp_path, settings):
    settings.MAILCONF_KEYS_FILE = str(tmp_path / "absent")
    with pytest.raises(KeyMissing, match="absent cannot be read: No such file or directory"):
        current_keyring()


def test_a_key_file_that_is_not_text_is_a_sentence(tmp_path, settings):
    (tmp_path / "keys").write_bytes(b"\xff\xfe" * 20)
    settings.MAILCONF_KEYS_FILE = str(tmp_path / "keys")
    with pytest.raises(KeyMissing, match="not text"):
        current_keyring()


def test_check_values_tell_keys_apart_and_stay_the_same():
    text = new_key()
    first = parse_keys(text, secret_key=SECRET_KEY).primary
    again = parse_keys(text, secret_key=SECRET_KEY).primary
    other = parse_keys(new_key(), secret_key=SECRET_KEY).primary
    assert first.check_value == again.check_value != other.check_value
    assert len(first.check_value) == 8


def test_every_sealing_error_is_one_class():
    for error in (KeyMissing, KeyUnusable, sealing.SealBroken, sealing.WrongKey):
        assert issubclass(error, sealing.SealingError)
