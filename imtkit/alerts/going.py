"""Which runs that rules asked for still go on, and which roles are held, as the log grows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from imtkit.contracts import Store
from imtkit.model.entries import Entry
from imtkit.model.incident import Incident


def going_in(incident: Incident) -> Counter[str]:
    """How many runs each rule has going in an incident; one that waits for a worker or a person
    has not ended.
    """
    return Counter(run.rule for run in incident.runs if run.rule and not run.is_over)


_MOST_KNOWN = 1_000
"""Of how many incidents it is kept in memory how far they were read."""


@dataclass(slots=True)
class Going:
    """The same for many alerts in turn: each time only what was written since is read.

    Where a run goes on by hand after its end this counts too few; ``going_in`` decides.
    """

    _known: dict[str, _Tally] = field(default_factory=dict)

    def of(self, store: Store, incident: str) -> Counter[str]:
        """How many runs each rule has going in the incident."""
        tally = self._read(store, incident)
        return Counter(tally.rules[run] for run in tally.going)

    def held(self, store: Store, incident: str) -> frozenset[str]:
        """Roles of the incident that somebody has for sure, in lower case; others may be held."""
        return frozenset(self._read(store, incident).held)

    def _read(self, store: Store, incident: str) -> _Tally:
        if len(self._known) >= _MOST_KNOWN and incident not in self._known:
            self._known.clear()
        tally = self._known.setdefault(incident, _Tally())
        tally.read(store.entries(incident, after=tally.n))
        return tally


@dataclass(slots=True)
class _Tally:
    """How far an incident was read, the rules of its runs, those that go on, and roles held."""

    n: int = 0
    rules: dict[str, str] = field(default_factory=dict)
    going: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)

    def read(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self.n = entry.n
            run = _text(entry.data, "run")
            if entry.type == "run.requested" and (rule := _text(entry.data, "rule")):
                self.rules.setdefault(run, rule)
                self.going.add(run)
            elif entry.type == "run.finished":
                self.going.discard(run)
            elif entry.type == "run.resumed" and run in self.rules:
                self.going.add(run)
            self._read_roles(entry)

    def _read_roles(self, entry: Entry) -> None:
        role = _text(entry.data, "role").casefold()
        if entry.type == "role.assigned":
            self.held.add(role)
        elif entry.type == "role.released":
            self.held.discard(role)
        elif entry.type == "incident.opened" and _text(entry.data, "owner"):
            self.held.add("owner")
        if entry.supersedes is not None or entry.data.get("name") == "owner":
            self.held.clear()  # who has what now is for the fold to say


def _text(data: Mapping[str, object], name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""
