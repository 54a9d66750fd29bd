"""What servers announced in the last passed test of the settings they have now."""

from collections.abc import Mapping

from smtp_settings.models import TestRun
from smtp_settings.test_send.symptoms import seen_in


def sizes(fingerprints: Mapping[int, str]) -> dict[int, int]:
    """Return the octets of a message each server takes (SIZE, RFC 1870), by profile.

    `fingerprints` are the beginnings of those of the profiles' settings. A profile whose last passed test
    was of others, or whose server named no limit, is left out.
    """
    found = {profile_id: _size(profile_id, start) for profile_id, start in fingerprints.items()}
    return {profile_id: size for profile_id, size in found.items() if size}


def _size(profile_id: int, fingerprint: str) -> int:
    runs = TestRun.objects.filter(
        profile_id=profile_id, state=TestRun.State.PASSED, fingerprint__startswith=fingerprint
    )
    steps = runs.order_by("-id").values_list("steps", flat=True).first()
    size = seen_in(steps or ()).get("size", "")
    return int(size) if size.isdecimal() else 0
