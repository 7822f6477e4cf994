"""See what senders posted and what became of it, and handle again what was refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Literal

from imtkit.alerts.pipeline import Playbook
from imtkit.errors import InputError, NotFoundError
from imtkit.kit import alerts, intake
from imtkit.kit.alerts import Outcome
from imtkit.kit.desk import Desk
from imtkit.model.entries import WORKSPACE, Entry, utc_from_text

Fate = Literal["waiting", "handled", "refused", "retried", "silenced"]

_PAGE = 50
"""How many entries are read at once, each with its body."""

_KEYS = 500
"""How many refusals are asked for at once."""

_SEE = "See them with: imt alerts list --refused"


@dataclass(frozen=True, slots=True)
class Kept:
    """A delivery that was kept, or an alert of one that a silence held back (``silenced``).

    ``place`` is its position in the workspace's chain and names it. ``waiting``: not yet turned
    into alerts. ``retried``: refused first, and handled since. ``reason`` is why it was refused,
    or which silence it is. ``size`` is the body's, in bytes.
    """

    place: int
    received_at: datetime
    fate: Fate
    source: str
    reason: str = ""
    alert: str = ""
    until: datetime | None = None
    size: int = 0


@dataclass(frozen=True, slots=True)
class Retried:
    """What became of a delivery that was refused; with a ``reason`` it is refused still."""

    place: int
    source: str
    outcomes: tuple[Outcome, ...] = ()
    reason: str = ""


def list_(desk: Desk, *, limit: int = 20) -> list[Kept]:
    """The newest deliveries and silenced alerts, newest first."""
    return list(islice(_all(desk), limit))


def refused(desk: Desk, *, limit: int | None = None) -> list[Kept]:
    """Deliveries that were refused and not handled since, newest first."""
    every = _refusals(desk)
    still = (one for one in every if not desk.store.find(_retried_key(int(one.data["delivery"]))))
    return [
        _kept(_delivery_at(desk, int(one.data["delivery"])), "refused", str(one.data["reason"]))
        for one in islice(still, limit)
    ]


def retry(desk: Desk, places: Iterable[int]) -> list[Retried]:
    """Handle refused deliveries again, as if they were handled when they came.

    What is in the log already stays as it is: twice is once. NotFoundError or InputError for a
    place of no refused delivery, ConfigError while a rule cannot be meant; then nothing is done.
    """
    deliveries = [_refused_at(desk, place) for place in dict.fromkeys(places)]
    book = alerts.playbook(desk.settings)
    return [_retried(desk, entry, book) for entry in deliveries]


def _all(desk: Desk) -> Iterator[Kept]:
    """Every delivery and every silenced alert, from the newest back."""
    through = intake.progress(desk).through
    newest = desk.store.newest(WORKSPACE)
    end = newest.n if newest else 0
    reasons: dict[int, str] = {}
    retried: set[int] = set()
    while end > 0:
        start = max(0, end - _PAGE)
        page = list(desk.store.entries(WORKSPACE, after=start, limit=end - start))
        for entry in reversed(page):  # what a delivery came to stands behind it
            place = entry.data.get("delivery")
            if entry.type == "delivery.refused" and isinstance(place, int):
                reasons[place] = str(entry.data.get("reason", ""))
            elif entry.type == "delivery.retried" and isinstance(place, int):
                retried.add(place)
            elif entry.type == "alert.silenced":
                yield _held_back(entry)
            elif entry.type == "delivery.received":
                yield _kept(entry, _fate(entry.n, through, reasons, retried), reasons.get(entry.n))
        end = start


def _fate(place: int, through: int, reasons: dict[int, str], retried: set[int]) -> Fate:
    if place in reasons:
        return "retried" if place in retried else "refused"
    return "handled" if place <= through else "waiting"


def _kept(entry: Entry, fate: Fate, reason: str | None) -> Kept:
    return Kept(
        entry.n,
        entry.recorded_at,
        fate,
        str(entry.data.get("source", "")),
        reason or "",
        size=len(str(entry.data.get("body", "")).encode("utf-8", "surrogatepass")),
    )


def _held_back(entry: Entry) -> Kept:
    told = {name: str(entry.data.get(name, "")) for name in ("source", "silence", "name", "until")}
    until = utc_from_text(told["until"]) if told["until"] else None
    place, at = entry.n, entry.recorded_at
    return Kept(place, at, "silenced", told["source"], told["silence"], told["name"], until)


def _refusals(desk: Desk) -> Iterator[Entry]:
    """What says that deliveries were refused, from the newest back; no body is read for that."""
    newest = desk.store.newest(WORKSPACE)
    end = newest.n if newest else 0
    while end > 0:
        keys = [intake.refused_key(place) for place in range(end, max(0, end - _KEYS), -1)]
        found = desk.store.found(keys)
        yield from (found[key] for key in keys if key in found)
        end -= _KEYS


def _delivery_at(desk: Desk, place: int) -> Entry:
    entry = next(iter(desk.store.entries(WORKSPACE, after=max(place - 1, 0), limit=1)), None)
    if entry is None or entry.n != place or entry.type != "delivery.received":
        raise NotFoundError(f"There is no delivery {place}.", hint=_SEE)
    return entry


def _refused_at(desk: Desk, place: int) -> Entry:
    entry = _delivery_at(desk, place)
    if desk.store.find(intake.refused_key(place)) is None:
        raise InputError(f"Delivery {place} was not refused.", hint=_SEE)
    return entry


def _retried(desk: Desk, entry: Entry, book: Playbook) -> Retried:
    name = str(entry.data.get("source", ""))
    outcomes = intake.outcomes_or_reason(desk, entry, book)
    if isinstance(outcomes, str):
        return Retried(entry.n, name, reason=outcomes)
    data = {"delivery": entry.n, "source": name, "incidents": _incidents(outcomes)}
    draft = desk.draft("delivery.retried", data, key=_retried_key(entry.n))
    desk.store.append(WORKSPACE, draft)
    return Retried(entry.n, name, tuple(outcomes))


def _incidents(outcomes: Sequence[Outcome]) -> list[str]:
    return list(dict.fromkeys(one.incident for one in outcomes if one.incident))


def _retried_key(place: int) -> str:
    return f"delivery/retried/{place}"
