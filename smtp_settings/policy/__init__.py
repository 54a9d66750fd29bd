"""The sending policy: whether mail of a site leaves, waits or is only recorded, and where it goes instead."""

from smtp_settings.policy.deciding import (
    Course,
    Effective,
    Policies,
    Redirect,
    Rules,
    Simulation,
    effective,
    simulated,
)
from smtp_settings.policy.ending import freed
from smtp_settings.policy.places import Place, differences
from smtp_settings.policy.reading import policies, recent

__all__ = [
    "Course",
    "Effective",
    "Place",
    "Policies",
    "Redirect",
    "Rules",
    "Simulation",
    "differences",
    "effective",
    "freed",
    "policies",
    "recent",
    "simulated",
]
