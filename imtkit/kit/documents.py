"""What ``--json`` prints: plain JSON values made of the model's objects.

Times are RFC 3339 in UTC, durations are seconds, names are those of the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from imtkit.model.entries import Entry, utc_text
from imtkit.model.incident import Incident, Run

Document = dict[str, Any]


def plain(value: object) -> Any:  # noqa: ANN401 # JSON is any of its values
    """The value as JSON has it; the model's objects become tables of their fields."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(one) for one in value]
    return _leaf(value)


def _leaf(value: object) -> Any:  # noqa: ANN401
    match value:
        case datetime():
            return utc_text(value)
        case timedelta():
            return value.total_seconds()
        case Path():
            return str(value)
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def incident_document(incident: Incident, root: Path, *, with_timeline: bool = False) -> Document:
    """An incident with all its parts; the timeline's entries only where they are asked for."""
    hidden = ("entries", "superseded", "runs")
    shown = [field.name for field in fields(incident) if field.name not in hidden]
    document = {name: plain(getattr(incident, name)) for name in shown}
    document["runs"] = [run_document(run, root) for run in incident.runs]
    document["entry_count"] = len(incident.entries)
    document["head"] = incident.head
    if with_timeline:
        document["timeline"] = [entry_document(entry, incident) for entry in incident.entries]
    return document


def run_document(run: Run, root: Path) -> Document:
    """A run with its steps; ``output_path`` is absolute, to be opened from anywhere."""
    output = str(root / run.output_path) if run.output_path else ""
    named = {"id": run.id, "incident": run.incident, "runbook": run.runbook}
    first = {**named, "status": run.status, "output_path": output, "steps": plain(run.steps)}
    return {**first, **{name: one for name, one in plain(run).items() if name not in first}}


def entry_document(entry: Entry, incident: Incident | None = None) -> Document:
    """An entry as stored, with the sentence that tells it."""
    from imtkit.model.words import sentence

    return {**plain(entry), "text": sentence(entry, incident)}
