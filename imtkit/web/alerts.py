"""Alerts as pages show them: those of an incident with what they began."""

from __future__ import annotations

from dataclasses import dataclass

from imtkit.model.entry_data import text_of
from imtkit.model.incident import Alert, Incident


@dataclass(frozen=True, slots=True)
class AlertCard:
    """An alert, and the runs that rules began because of it: their ids and the rules' names."""

    alert: Alert
    runs: tuple[tuple[str, str], ...] = ()


def alert_cards(incident: Incident) -> list[AlertCard]:
    """Alerts, those that fire first, the newest first."""
    begun: dict[str, list[tuple[str, str]]] = {}
    for entry in incident.entries:
        if entry.type == "run.requested":
            asked = (text_of(entry, "run"), text_of(entry, "rule"))
            begun.setdefault(text_of(entry, "fingerprint"), []).append(asked)
    cards = [AlertCard(one, tuple(begun.get(one.fingerprint, ()))) for one in incident.alerts]
    cards.sort(key=lambda card: card.alert.started_at, reverse=True)
    return sorted(cards, key=lambda card: card.alert.status != "firing")
