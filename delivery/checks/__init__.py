"""System checks: what would break a promise later is said now, in a sentence and with what to do.

Journals and retention are looked at with every check. PostgreSQL and Redis are asked only where a connection
is expected: with `--database default`, with `--deploy`, by `migrate` and by `queue_status`. A server that is
away fails no check.
"""

from delivery.checks.asking import check_deployment, check_servers
from delivery.checks.default_site import check_default_site
from delivery.checks.journals import check_journals
from delivery.checks.live_profiles import check_live_profiles
from delivery.checks.notifying import check_notifications
from delivery.checks.retention import check_retention
from delivery.checks.tag import TAG

__all__ = [
    "TAG",
    "check_default_site",
    "check_deployment",
    "check_journals",
    "check_live_profiles",
    "check_notifications",
    "check_retention",
    "check_servers",
]
