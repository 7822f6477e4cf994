"""Which runs that rules asked for still go on, which roles are held, and whether a person set
the severity, as the log grows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from imtkit.contracts import Store
from imtkit.model.entries import Entry, is_automation
from imtkit.model.incident import Incident


def going_in(incident: Incident) -> Counter[str]:
    """How many runs each rule has going in an incident; one that waits for a worker or a person
    has not ended.
    """
    return Counter(run.rule for run in incident.runs if run.rule and not run.is_over)


def set_by_person(incident: Incident) -> int:
    """The place of the entry by which a person gave the incident its severity; 0 where the one it
    has is from its opening or from a machine.
    """
    changes = (entry for entry in reversed(incident.entries) if entry.type == "severity.changed")
    last = next(changes, None)
    return 0 if last is None or is_automation(last.actor) else last.n


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

    def set_by_person(self, store: Store, incident: str, severity: str) -> int:
        """The place of the entry by which a person gave the incident this severity, which it has
        still; else 0.
        """
        tally = self._read(store, incident)
        return tally.set_at if tally.severity == severity else 0

    def _read(self, store: Store, incident: str) -> _Tally:
        if len(self._known) >= _MOST_KNOWN and incident not in self._known:
            self._known.clear()
        tally = self._known.setdefault(incident, _Tally())
        tally.read(store.entries(incident, after=tally.n))
        return tally


@dataclass(slots=True)
class _Tally:
    """How far an incident was read, the rules of its runs, those that go on, and roles held; to
    which severity it was changed last, and where, if by a person.
    """

    n: int = 0
    rules: dict[str, str] = field(default_factory=dict)
    going: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    severity: str = ""
    set_at: int = 0

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
            if entry.type == "severity.changed":
                self.severity = _text(entry.data, "to")
                self.set_at = 0 if is_automation(entry.actor) else entry.n

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
