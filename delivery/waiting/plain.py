"""Reasons as plain values, for JSON. Pure."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from delivery.waiting.reasons import Reason
from delivery.waiting.routing import Routing


def plain(reason: Reason) -> dict[str, Any]:  # Any: JSON
    """Return a reason's kind and its facts; moments in ISO 8601, spans in seconds."""
    facts = {field.name: _value(getattr(reason, field.name)) for field in fields(reason)}
    return {"kind": reason.kind, **facts}


def plain_answers(routing: Routing, names: Mapping[int, str]) -> list[dict[str, Any]]:  # Any: JSON
    """Return each server's answer, in the order of the routing."""
    return [
        {
            "profile_id": answer.profile_id,
            "profile": names.get(answer.profile_id, ""),
            "is_chosen": answer.profile_id == routing.chosen,
            "may_serve": answer.may_serve,
            "reasons": [plain(reason) for reason in answer.reasons],
        }
        for answer in routing.answers
    ]


def _value(value: object) -> object:
    match value:
        case Reason():
            return plain(value)
        case datetime():
            return value.isoformat()
        case timedelta():
            return round(value.total_seconds(), 3)
        case str() | int() | None:
            return value
        case _:  # a reply
            return {name: getattr(value, name) for name in ("code", "words")}
