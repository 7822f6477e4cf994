"""What Alertmanager posts, as tests write it."""

from __future__ import annotations

import json


def delivery(*alerts_: dict, left_out: int = 0, group: str = "") -> bytes:
    """An Alertmanager message of these alerts, each a change to one that is sound."""
    sound = {
        "status": "firing",
        "labels": {"alertname": "OrdersFailing", "service": "orders", "severity": "critical"},
        "annotations": {"summary": "Orders fail"},
        "startsAt": "2026-11-21T10:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": "0d451372052d4ee0",
    }
    message = {
        "version": "4",
        "truncatedAlerts": left_out,
        "groupKey": group,
        "alerts": [sound | changed for changed in alerts_],
    }
    return json.dumps(message).encode()


FIRING: dict = {}
OVER = {"status": "resolved", "endsAt": "2026-11-21T10:30:00Z"}


def nameless(number: int) -> dict:
    """An alert that names no service."""
    labels = {"alertname": "DiskFull", "instance": f"node-{number}"}
    return {"labels": labels, "fingerprint": f"{number:016x}"}
