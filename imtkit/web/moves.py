"""Changes of state that an incident's page offers, and what each wants to know."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from imtkit.kit import Desk
from imtkit.model.incident import Incident
from imtkit.model.lifecycle import TRANSITIONS


@dataclass(frozen=True, slots=True)
class Move:
    """A change of state that a page offers. ``asks`` is what it wants to know, in words."""

    verb: str
    title: str
    sure: str
    asks: str
    entry: str
    is_plain: bool = False
    needs_reason: bool = False


MOVES: Mapping[str, Move] = {
    one.verb: one
    for one in (
        Move(
            "acknowledge",
            "Acknowledge",
            "I have it in hand",
            "",
            "incident.acknowledged",
            is_plain=True,
        ),
        Move("mitigate", "Mitigate", "The damage is contained", "How?", "incident.mitigated"),
        Move(
            "resolve",
            "Resolve",
            "Service is restored, and I have verified it",
            "How was it verified?",
            "incident.resolved",
        ),
        Move(
            "reopen",
            "Reopen",
            "It is not over",
            "Why?",
            "incident.reopened",
            needs_reason=True,
        ),
    )
}
"""Closing and reviewing are not among them: they are work at a desk, with the record to build."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A move that is possible now, and the fields that are owed before it."""

    move: Move
    owed: tuple[str, ...]
    lists: tuple[str, ...]


def offers(desk: Desk, incident: Incident) -> list[Offer]:
    """What may become of the incident from its page as it stands, the next step first."""
    found = []
    for verb, move in MOVES.items():
        aim = TRANSITIONS[verb].get(incident.status)
        if aim is None or (verb == "reopen" and incident.status == "mitigated"):
            continue
        missing = () if verb == "reopen" else desk.settings.owed.missing(incident, aim)
        lists = tuple(name for name in missing if name.startswith("checklist "))
        found.append(Offer(move, tuple(n for n in missing if n not in lists), lists))
    return found


def new_nonce() -> str:
    """What makes one filled-in form one: it comes back with it, however often it is sent."""
    return secrets.token_urlsafe(9)
