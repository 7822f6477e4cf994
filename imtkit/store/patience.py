"""A log that is away for a moment is waited for, and nothing is stored twice by that."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast
from uuid import uuid4

from imtkit.contracts import Decide, Store
from imtkit.errors import StoreBusyError, StoreDownError
from imtkit.model.entries import Draft, Entry
from imtkit.model.incident import Incident

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)

_NAP_SECONDS = 0.25


def patiently(
    work: Callable[[], Answer], seconds: float, *, is_over: Callable[[], bool] = lambda: False
) -> Answer:
    """What ``work`` answers, which is begun anew while the log is away or busy; so long at most."""
    ends_at, is_told = time.monotonic() + seconds, False
    while True:
        try:
            return work()
        except (StoreDownError, StoreBusyError) as error:
            if is_over() or time.monotonic() > ends_at:
                raise
            if not is_told:
                log.warning("It is waited for, up to %g s: %s", seconds, error)
            is_told = True
        time.sleep(_NAP_SECONDS)


def patient(store: Store, seconds: float, *, is_over: Callable[[], bool] = lambda: False) -> Store:
    """The same log, for who would rather wait for it so long than do without; it answers as before.

    StoreDownError and StoreBusyError come after these seconds, or once ``is_over``. A write whose
    connection broke at its very end may have been stored: every draft without a key is given
    one, so that the next try finds it.
    """
    return cast("Store", _PatientStore(store, seconds, is_over))


@dataclass(frozen=True)
class _PatientStore:
    store: Store
    seconds: float
    is_over: Callable[[], bool]

    def append(self, incident: str, *drafts: Draft) -> list[Entry]:
        told = with_keys(drafts)
        return self._patiently(lambda: self.store.append(incident, *told))

    def change(self, incident: str, decide: Decide) -> list[Entry]:
        said: list[Draft] = []

        def once(stands: Incident) -> Sequence[Draft]:
            if not (said and any(entry.key == said[0].key for entry in stands.entries)):
                said[:] = with_keys(decide(stands))
            return said

        return self._patiently(lambda: self.store.change(incident, once))

    def open_incident(self, draft: Draft) -> Entry:
        (told,) = with_keys([draft])
        return self._patiently(lambda: self.store.open_incident(told))

    def entries(
        self,
        incident: str | None = None,
        *,
        after: int = 0,
        limit: int | None = None,
        types: Collection[str] = (),
    ) -> Iterator[Entry]:
        if limit is None:
            return self.store.entries(incident, after=after, types=types)
        found = self._patiently(
            lambda: list(self.store.entries(incident, after=after, limit=limit, types=types))
        )
        return iter(found)

    def find(self, *keys: str) -> Entry | None:
        return self._patiently(lambda: self.store.find(*keys))

    def incident(self, incident: str) -> Incident:
        return self._patiently(lambda: self.store.incident(incident))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 # all else is the store's own
        return getattr(self.store, name)

    def _patiently(self, work: Callable[[], Answer]) -> Answer:
        return patiently(work, self.seconds, is_over=self.is_over)


def with_keys(drafts: Sequence[Draft]) -> list[Draft]:
    """The drafts, each with a key, so that who stores them twice stores them once."""
    return [
        draft if draft.key is not None else replace(draft, key=f"once/{uuid4().hex}")
        for draft in drafts
    ]
