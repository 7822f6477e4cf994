"""Entries that are numbered by their keys, 1 and up: the newest is found without the others."""

from __future__ import annotations

from collections.abc import Callable

from imtkit.contracts import Store
from imtkit.model.entries import Entry


def newest_numbered(
    store: Store, key_of: Callable[[int], str], *, after: int = 0
) -> tuple[int, Entry | None]:
    """The highest number past ``after`` whose key is in the log, and its entry; by doubling and
    halving. ``after`` and no entry where there is none. No number is left out.
    """
    step, newest = 1, None
    while found := store.find(key_of(after + step)):
        newest, step = found, step * 2
    low, high = step // 2, step
    while high - low > 1:
        middle = (low + high) // 2
        if found := store.find(key_of(after + middle)):
            newest, low = found, middle
        else:
            high = middle
    return after + low, newest
