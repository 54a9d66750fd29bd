"""Whether a server takes other mail than the message it refuses."""

from delivery.queue.statements import named, run

# Whole minutes after the refusal: what was counted in its own minute may have come before it.
_TAKES = named("""
SELECT EXISTS (
  SELECT FROM {stat} s, (
    SELECT max(at) AS at FROM {attempt}
    WHERE message_id = %(message)s AND profile_id = %(profile)s AND code = %(code)s) AS refused
  WHERE s.minute >= refused.at AND s.profile_id = %(profile)s AND s.sent > 0)
""")


def takes_others(profile_id: int, message_id: int, code: int) -> bool:
    """Whether the server took other mail, of any worker, since it last gave this message this code.

    False as well when it never did, and in the minute in which it did.
    """
    return bool(run(_TAKES, {"profile": profile_id, "message": message_id, "code": code})[0][0])
