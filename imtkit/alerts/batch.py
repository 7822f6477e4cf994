"""Alerts that are considered one after the other and written together."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from imtkit.contracts import Store


@dataclass(frozen=True, slots=True)
class Home:
    """The incident that alerts of one service or group join, and its severity."""

    incident: str
    standing: str


@dataclass(slots=True)
class Batch:
    """What the log says of a few alerts, asked for together, and what those of them come to that
    were considered already: it counts for the others, though it is not written yet.

    One that nothing was put into knows nothing: then the log is asked each time.
    """

    homes: dict[str, Home] = field(default_factory=dict)
    """By what alerts are grouped under."""
    _incidents: dict[str, str] = field(default_factory=dict)

    def look_up(self, store: Store, keys: Collection[str]) -> None:
        """Ask the log for entries of these keys, in few statements."""
        found = store.found(keys)
        self._incidents |= {key: found[key].incident if key in found else "" for key in keys}

    def incident_with(self, store: Store, key: str) -> str:
        """The incident whose log has an entry of this key, or comes to have it; else empty."""
        if key not in self._incidents:
            found = store.find(key)
            return found.incident if found else ""
        return self._incidents[key]

    def call(self, names: Mapping[str, str]) -> None:
        """From now on call incidents so that had another name before they were opened."""
        for key, incident in self._incidents.items():
            self._incidents[key] = names.get(incident, incident)
        for under, home in self.homes.items():
            self.homes[under] = replace(home, incident=names.get(home.incident, home.incident))

    def will_have(self, key: str, incident: str) -> None:
        """Count an entry as there that is written with the batch."""
        self._incidents[key] = incident
