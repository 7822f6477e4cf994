"""A log to try things on: it says what the real one says, and keeps to itself what is written."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import cast

from imtkit.contracts import Clock, Decide, Query, Store
from imtkit.kit.desk import Desk
from imtkit.model.entries import WORKSPACE, Draft, Entry
from imtkit.model.fold import fold, summarise
from imtkit.model.incident import Incident, Summary
from imtkit.store.chain import canonical

NEW = "NEW-"
"""How ids of incidents begin that are opened here."""


class Rehearsal:
    """The part of a ``Store`` that alerts need. What is written here is gone with it."""

    def __init__(self, log: Store, clock: Clock) -> None:
        self._log, self._clock = log, clock
        self._added: dict[str, list[Entry]] = {}
        self._keyed: dict[str, Entry] = {}
        self._numbers = count(1)

    def append(self, incident: str, *drafts: Draft) -> list[Entry]:
        """Add drafts as the incident's next entries; a known ``key`` returns its first."""
        return [self._stored(incident, draft) for draft in drafts]

    def append_each(self, drafts: Mapping[str, Sequence[Draft]]) -> dict[str, list[Entry]]:
        """The same for several incidents."""
        return {incident: self.append(incident, *some) for incident, some in drafts.items()}

    def change(self, incident: str, decide: Decide) -> list[Entry]:
        """Add what ``decide`` says of the incident as it would be."""
        return self.append(incident, *decide(self.incident(incident)))

    def open_incident(self, draft: Draft) -> Entry:
        """Add an opening, under an id that no real incident has."""
        known = self.find(draft.key) if draft.key else None
        return known or self._stored(f"{NEW}{next(self._numbers)}", draft)

    def open_with(self, draft: Draft, decide: Decide) -> list[Entry]:
        """The same, with what ``decide`` says of the incident."""
        first = self.open_incident(draft)
        return [first, *self.change(first.incident, decide)]

    def entries(
        self, incident: str | None = None, *, after: int = 0, limit: int | None = None
    ) -> Iterator[Entry]:
        """Entries of one incident with ``n > after``: the real ones, then those added."""
        added = [e for e in self._added.get(incident or "", ()) if e.n > after]
        left = limit
        for entry in self._log.entries(incident, after=after, limit=limit):
            left = None if left is None else left - 1
            yield entry
        yield from added[:left]

    def find(self, *keys: str) -> Entry | None:
        """The entry under the first of these keys that is there."""
        found = (self._keyed.get(key) or self._log.find(key) for key in keys)
        return next((entry for entry in found if entry is not None), None)

    def found(self, keys: Collection[str]) -> dict[str, Entry]:
        """The entries under these keys, by key."""
        return {**self._log.found(keys), **{k: e for k, e in self._keyed.items() if k in keys}}

    def newest(self, incident: str) -> Entry | None:
        """The last entry of an incident's chain; None without any."""
        added = self._added.get(incident)
        return added[-1] if added else self._log.newest(incident)

    def incident(self, incident: str) -> Incident:
        """The incident as it would be; NotFoundError as the real log says it."""
        if incident not in self._added:
            return self._log.incident(incident)
        return fold(incident, self.entries(incident))

    def incidents(self, query: Query | None = None) -> list[Summary]:
        """Incidents as they would be, in the query's order."""
        asked = query or Query()
        touched = {id_: self.incident(id_) for id_ in self._added if id_ != WORKSPACE}
        fitting = {id_: summarise(one) for id_, one in touched.items() if _is_asked_for(one, asked)}
        new = [one for id_, one in fitting.items() if id_.startswith(NEW)]
        listed = [one for one in self._log.incidents(asked) if one.id not in touched]
        real = [*listed, *(one for id_, one in fitting.items() if not id_.startswith(NEW))]
        real.sort(key=lambda one: (one.id[:9], len(one.id), one.id), reverse=True)
        every = [*reversed(new), *real]
        if asked.worst_first:
            ranks = {name: rank for rank, name in enumerate(asked.worst_first)}
            every.sort(key=lambda one: ranks.get(one.severity, len(ranks)))
        return every[: asked.limit]

    def _stored(self, incident: str, draft: Draft) -> Entry:
        if draft.key is not None and (known := self.find(draft.key)):
            return known
        canonical(draft.data, draft.type)  # what the real log refuses is refused here
        last = self.newest(incident)
        now, n = self._clock.now(), last.n + 1 if last else 1
        entry = draft.unstored(incident, n, now)
        self._added.setdefault(incident, []).append(entry)
        if draft.key is not None:
            self._keyed[draft.key] = entry
        return entry


def rehearsed(desk: Desk) -> Desk:
    """The same desk, at which nothing that is written reaches the log."""
    if isinstance(desk.store, Rehearsal):
        return desk
    # Nothing that alerts do looks after the log: those parts of a Store are left out.
    return replace(desk, store=cast(Store, Rehearsal(desk.store, desk.clock)))


def _is_asked_for(incident: Incident, query: Query) -> bool:
    return (
        (not query.ids or incident.id in query.ids)
        and (not query.statuses or incident.status in query.statuses)
        and (not query.severities or incident.severity in query.severities)
        and (not query.modes or incident.mode in query.modes)
        and (not query.service or query.service in incident.services)
        and (not query.alert or any(a.fingerprint == query.alert for a in incident.alerts))
        and query.text.casefold() in incident.title.casefold()
        and not query.before
    )
