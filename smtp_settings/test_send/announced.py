"""What servers announced in the last passed test of the settings they have now."""

from collections.abc import Mapping
from uuid import UUID

from smtp_settings.models import SMTPProfile, TestRun
from smtp_settings.test_send.symptoms import seen_in


def sizes(fingerprints: Mapping[int, str]) -> dict[int, int]:
    """Return the octets of a message each server takes (SIZE, RFC 1870), by profile.

    `fingerprints` are the beginnings of those of the profiles' settings. A profile whose last passed test
    was of others, or whose server named no limit, is left out.
    """
    profiles = SMTPProfile.objects.filter(pk__in=fingerprints) if fingerprints else SMTPProfile.objects.none()
    found = {pk: _size(uuid, fingerprints[pk]) for pk, uuid in profiles.values_list("pk", "uuid")}
    return {profile_id: size for profile_id, size in found.items() if size}


def _size(profile_uuid: UUID, fingerprint: str) -> int:
    # By the uuid: the test that let a new profile be saved was made before it had an id.
    runs = TestRun.objects.filter(
        profile_uuid=profile_uuid, state=TestRun.State.PASSED, fingerprint__startswith=fingerprint
    )
    steps = runs.order_by("-id").values_list("steps", flat=True).first()
    size = seen_in(steps or ()).get("size", "")
    return int(size) if size.isdecimal() else 0
