"""Incidents as they are now, folded again only when the log has more of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock

from imtkit.kit import Desk, expiry
from imtkit.kit.desk import id_of
from imtkit.model.incident import Incident

_KEPT = 1100
"""More than lists look at (``kit.turns.in_hand``), or a look would push out what the next needs."""


class Shelf:
    """Keeps the incidents that pages showed last: a storm's is not folded for every look.

    ``changed`` says up to which ``seq`` each incident goes, as of the last look at the log.
    """

    def __init__(self, changed: Mapping[str, int]) -> None:
        self._changed = changed
        self._kept: OrderedDict[str, Incident] = OrderedDict()
        self._lock = Lock()

    def incident(self, desk: Desk, incident_id: str) -> Incident:
        """The incident as it is now, what expired written down; NotFoundError names the nearest."""
        id_ = id_of(incident_id)
        with self._lock:
            known = self._kept.get(id_)
        if known is None or known.entries[-1].seq < self._changed.get(id_, 0):
            known = desk.store.incident(id_)
        if expiry.overdue(desk, known):
            known = expiry.look(desk, id_)
        with self._lock:
            self._kept[id_] = known
            self._kept.move_to_end(id_)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return known
