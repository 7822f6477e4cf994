"""Keep what senders post before they are answered, and turn it into alerts afterwards.

What is posted is kept whole, as one entry of the workspace's chain: a body of 10 MB makes the
log 10 MB larger, for good. The same body from the same source is kept once, however often it
is sent, as long as it tells of which occurrence of its alerts it speaks, or holds its sender's
id of the message: its key is its SHA-256. Else the header ``Request-ID`` belongs to the key. A
sender that tells none of these sends the same body for the next one, which is kept too. What a
silence holds back is kept anew when that is over: it counts then.

Entries ``deliveries.handled`` say how far the kept deliveries have become alerts, so that
whoever dies in between loses nothing: what comes after the newest of them is handled again,
and handling twice changes nothing.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from imtkit import config
from imtkit.alerts import sns
from imtkit.alerts.payloads import Delivery, delivery_from
from imtkit.alerts.pipeline import Playbook, labels_of
from imtkit.alerts.rules import Silence, does_match, rulebook_from_settings
from imtkit.alerts.signatures import check
from imtkit.alerts.sns import Certificates, check_sns
from imtkit.config import Settings
from imtkit.config.alerts import SourceSettings
from imtkit.errors import (
    ChainError,
    ConfigError,
    ImtkitError,
    PayloadError,
    SignatureError,
    StoreError,
)
from imtkit.kit import alerts
from imtkit.kit.alerts import Arrival, Outcome
from imtkit.kit.desk import Desk
from imtkit.model.entries import AUTOMATION, WORKSPACE, Draft, Entry, utc_text
from imtkit.store.numbered import newest_numbered

__all__ = [
    "Certificates",
    "Posted",
    "Progress",
    "arrival",
    "confirm",
    "handle_next",
    "keep",
    "outcomes_or_reason",
    "parse",
    "progress",
    "prove",
    "read",
    "refused_key",
    "silences_of",
    "unusable",
]

log = logging.getLogger(__name__)

KEPT_HEADERS = (
    "content-type",
    "user-agent",
    "request-id",
    "x-request-id",
    "x-webhook-id",
    "x-amz-sns-message-id",
    "x-amz-sns-message-type",
    "sentry-hook-resource",
    "sentry-hook-timestamp",
)
"""What helps to follow a delivery back to its sender; no header that proves anything."""

_PAGE = 10
"""How many entries are read at once: each may hold the largest body that is taken."""

_LONGEST_WAIT = timedelta(seconds=10)
"""How long at most a delivery waits to be kept, before its sender is told to come again."""

_TRIES = 3
"""How often a delivery is handled that fails by a fault of ours, before it is set aside."""


@dataclass(frozen=True, slots=True)
class Posted:
    """What a sender posted: proven to be its own, and readable.

    ``confirm`` is the address by which an SNS ``topic`` wants its subscription confirmed.
    ``says_when``: the same body would mean the same once more, for every alert in it tells which
    occurrence of it this is, or it holds its sender's own id of the message. ``held_until`` is the
    end of the first silence that speaks of one of its alerts now; empty: none does.
    """

    source: str
    body: str
    sha256: str
    headers: Mapping[str, str] = field(default_factory=dict)
    confirm: str = ""
    topic: str = ""
    says_when: bool = True
    held_until: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far kept deliveries have become alerts.

    ``through`` is the position in the workspace's chain up to which all are; ``marks`` counts
    the entries that say so. ``handled`` and ``refused`` count deliveries since this process
    began; ``incidents`` are those in which the last ones asked for runs. ``is_marked``: the log
    says how far this is. ``book`` is what the last ones were handled by, with what was read of
    runs that go on, so that neither is read again from its beginning.
    """

    through: int = 0
    marks: int = 0
    handled: int = 0
    refused: int = 0
    incidents: frozenset[str] = frozenset()
    is_marked: bool = True
    book: Playbook | None = field(default=None, compare=False, repr=False)


def read(
    source: SourceSettings,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: datetime,
    certificates: Certificates,
    silences: Sequence[Silence] = (),
) -> Posted:
    """What was posted, once it is known to be the sender's and can be read. Nothing is stored.

    SignatureError when it proves nothing, PayloadError when it is not what such a sender posts,
    ConfigError when a secret cannot be had, ServiceError when Amazon's certificate cannot.
    ``headers`` are known by their names in lower case.
    """
    subscribe_url = ""
    if source.kind == "sns" and source.proof == "signature":
        subscribe_url = check_sns(source, body, certificates, now).subscribe_url
    else:
        prove(source, headers, body, now=now)
    text, delivery = parse(source, body, now=now)
    return Posted(
        source.name,
        text,
        hashlib.sha256(body).hexdigest(),
        {name: headers[name][:200] for name in KEPT_HEADERS if headers.get(name)},
        subscribe_url or delivery.confirm,
        delivery.topic,
        delivery.is_named or all(notice.has_episode for notice in delivery.notices),
        _held_until(delivery, silences, now),
    )


def silences_of(settings: Settings) -> tuple[Silence, ...]:
    """The workspace's silences; none where rules cannot be meant, which nothing is handled by."""
    try:
        return rulebook_from_settings(settings).silences
    except ConfigError:
        return ()


def _held_until(delivery: Delivery, silences: Sequence[Silence], now: datetime) -> str:
    """When the first silence ends that holds one of the alerts back; one that begins while the
    delivery waits to be kept is on already.
    """
    moments = (now + _LONGEST_WAIT, now)
    on = [(one, at) for one in silences for at in moments if one.is_on(at)]
    held = [
        silence.until(at)  # which takes long: never for each alert anew
        for silence, at in on
        if any(does_match(silence.matchers, labels_of(notice)) for notice in delivery.notices)
    ]
    ends = [end for end in held if end is not None]
    return utc_text(min(ends)) if ends else "for-good" if held else ""


def parse(source: SourceSettings, body: bytes, *, now: datetime) -> tuple[str, Delivery]:
    """A body as text, and what it says; PayloadError when it is not what such a sender posts."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PayloadError(
            f"The body is not UTF-8: byte {error.start} does not fit.",
            hint="JSON is sent in UTF-8 (RFC 8259, section 8.1).",
        ) from error
    return text, delivery_from(source, body, at=now)


def prove(
    source: SourceSettings, headers: Mapping[str, str], body: bytes, *, now: datetime
) -> None:
    """See that a request is its sender's own; SignatureError when it is not.

    A bearer token is proof whatever the body is: it can be asked for before that is read.
    """
    if source.proof != "none":
        check(source, _secrets(source), headers, body, now)


def confirm(
    source: SourceSettings, posted: Posted, *, ask: Callable[[str], None] = sns.confirm
) -> None:
    """Tell Amazon that we want what a topic says; SignatureError for a topic not named for it.

    ``ask`` is given the address that confirms the subscription.
    """
    if posted.topic not in source.topics:
        raise SignatureError(
            f"Alert source '{source.name}': {posted.topic[:300]} is not among its topics."
        )
    ask(posted.confirm)


def unusable(settings: Settings) -> dict[str, str]:
    """The senders whose secrets cannot be had, so that nothing they post is believed; and why."""
    found = {}
    for name, source in settings.alerts.sources.items():
        try:
            _secrets(source)
        except ConfigError as error:
            found[name] = f"{error} {error.hint}"
    return found


def _secrets(source: SourceSettings) -> list[str]:
    """The secrets of a sender that can be had; ConfigError when none can."""
    known: list[str] = []
    missing: ConfigError | None = None
    for reference in source.secrets:
        try:
            known.append(config.resolve_secret(reference))
        except ConfigError as error:
            missing = error
    if missing is not None:
        if not known:
            raise missing
        log.warning("Alert source '%s' lacks a secret: %s", source.name, missing)
    return known


def keep(desk: Desk, deliveries: Sequence[Posted]) -> list[Entry]:
    """Store deliveries, all in one append; they are on disk when this returns.

    The entries, in the order given: one that was kept before is the entry stored first.
    """
    return desk.store.append(WORKSPACE, *(_received(desk, one) for one in deliveries))


def progress(desk: Desk) -> Progress:
    """How far the deliveries are handled, as the log has it; found with a few dozen look-ups."""
    return _up_to_date(desk, Progress())


def handle_next(
    desk: Desk,
    since: Progress,
    *,
    most: int = 100,
    is_over: Callable[[], bool] = lambda: False,
) -> Progress:
    """Turn the next kept deliveries into alerts, in their order; how far it came (see ``mark``).

    At most ``most`` at a time, some of them together; none are begun once ``is_over``. A delivery
    that cannot become alerts is set aside as ``delivery.refused`` and holds up no other.
    StoreError when the log is down before anything was done: nothing is lost, try again.
    """
    done = begun_at = replace(_up_to_date(desk, since), incidents=frozenset())
    book: Playbook | None = None
    try:
        for page in _waiting(desk, done.through, most):
            if is_over():
                break
            if kept := [entry for entry in page if entry.type == "delivery.received"]:
                book = book or alerts.playbook(desk.settings, known=done.book)
                done = replace(_handled(desk, kept, book, done), book=book, is_marked=False)
            done = replace(done, through=page[-1].n)
    except StoreError:
        if done.through == begun_at.through:
            raise
        log.warning("The log failed after delivery %d was handled.", done.through)
    return done


def _waiting(desk: Desk, after: int, most: int) -> Iterator[list[Entry]]:
    """The next entries, a few at a time."""
    while most > 0:
        page = list(desk.store.entries(WORKSPACE, after=after, limit=min(_PAGE, most)))
        if not page:
            return
        yield page
        after, most = page[-1].n, most - len(page)


def _handled(desk: Desk, kept: Sequence[Entry], book: Playbook, done: Progress) -> Progress:
    """Deliveries as alerts, all together; where that fails each by itself, so that those are set
    aside alone that cannot be.
    """
    try:
        return _taken_in(desk, kept, book, done)
    except StoreError as error:
        if not isinstance(error, ChainError):
            raise
    except Exception:  # noqa: BLE001 # whatever it was: it comes again with the one it is in
        log.debug("Deliveries %d to %d are handled one by one.", kept[0].n, kept[-1].n)
    for entry in kept:
        done = _handled_alone(desk, entry, book, done)
    return done


def _handled_alone(desk: Desk, entry: Entry, book: Playbook, done: Progress) -> Progress:
    """One delivery as alerts, or set aside with the reason."""
    found = outcomes_or_reason(desk, entry, book, tries=_TRIES)
    if isinstance(found, str):
        return _refused(desk, entry, found, done)
    return _with_handled(done, [found])


def outcomes_or_reason(
    desk: Desk, kept: Entry, book: Playbook, *, tries: int = 1
) -> list[Outcome] | str:
    """What the alerts of one kept delivery came to, or why it cannot become alerts.

    A fault of imtkit's own is a reason only when it comes ``tries`` times. StoreError when the log
    is down, which says nothing of the delivery; one that is damaged (ChainError) is a reason.
    """
    fault: Exception | None = None
    for _ in range(tries):
        try:
            [outcomes] = alerts.receive_all(desk, [arrival(desk, kept)], book)
        except ImtkitError as error:
            if isinstance(error, StoreError) and not isinstance(error, ChainError):
                raise
            return str(error)
        except Exception as error:  # noqa: BLE001 # a fault of ours holds up none that follow
            fault = error
        else:
            return outcomes
    log.error("Delivery %d could not be turned into alerts.", kept.n, exc_info=fault)
    return f"a fault of imtkit's own: {fault!r}"


def _taken_in(desk: Desk, kept: Sequence[Entry], book: Playbook, done: Progress) -> Progress:
    found = alerts.receive_all(desk, [arrival(desk, entry) for entry in kept], book)
    return _with_handled(done, found)


def _with_handled(done: Progress, found: Sequence[Sequence[Outcome]]) -> Progress:
    """How far it is with deliveries that came to this, each of them a list."""
    asked = (one.incident for outcomes in found for one in outcomes if one.requested)
    return replace(done, handled=done.handled + len(found), incidents=done.incidents.union(asked))


def arrival(desk: Desk, kept: Entry) -> Arrival:
    """A kept delivery as it came; NotFoundError when imt.toml has no such source any more."""
    source = alerts.source_named(desk.settings, str(kept.data["source"]))
    body = str(kept.data["body"]).encode()
    return Arrival(source, delivery_from(source, body, at=kept.recorded_at), kept.recorded_at)


def _refused(desk: Desk, entry: Entry, reason: str, done: Progress) -> Progress:
    data = {"delivery": entry.n, "source": entry.data.get("source", ""), "reason": reason[:1000]}
    draft = desk.draft("delivery.refused", data, key=refused_key(entry.n))
    desk.store.append(WORKSPACE, draft)
    log.warning("Delivery %d was set aside: %s", entry.n, reason[:300])
    return replace(done, refused=done.refused + 1)


def refused_key(place: int) -> str:
    """The key of the entry that says that the delivery at this place was refused."""
    return f"delivery/refused/{place}"


def mark(desk: Desk, done: Progress) -> Progress:
    """Say in the log how far it is, unless it does; where another server said so first, what that
    one said. Until then a server that dies has it all handled again, which changes nothing.
    """
    if done.is_marked:
        return done
    key, data = _mark_key(done.marks + 1), {"through": done.through}
    (told,) = desk.store.append(WORKSPACE, desk.draft("deliveries.handled", data, key=key))
    return replace(_beyond(done, done.marks + 1, told), is_marked=True)


def _up_to_date(desk: Desk, known: Progress) -> Progress:
    """How far it is by the newest mark; no body is read for that."""
    marks, newest = newest_numbered(desk.store, _mark_key, after=known.marks)
    return known if newest is None else _beyond(known, marks, newest)


def _beyond(known: Progress, marks: int, mark: Entry) -> Progress:
    return replace(known, marks=marks, through=max(known.through, int(mark.data["through"])))


def _mark_key(number: int) -> str:
    return f"deliveries/handled/{number}"


def _received(desk: Desk, posted: Posted) -> Draft:
    data = {
        "source": posted.source,
        "body": posted.body,
        "headers": dict(posted.headers),
        "sha256": posted.sha256,
    }
    machine = desk.acting_as(f"{AUTOMATION}{posted.source}", "alert")
    return machine.draft("delivery.received", data, key=_kept_once(posted))


def _kept_once(posted: Posted) -> str | None:
    """By what a delivery is known when it is sent again; None when nothing tells that it is.

    A header is not signed: it counts with the same body only.
    """
    request = posted.headers.get("request-id", "")
    if not (posted.says_when or request):
        return None
    named = "" if posted.says_when else f"/id/{hashlib.sha256(request.encode()).hexdigest()}"
    held = f"/held/{posted.held_until}" if posted.held_until else ""
    return f"delivery/{posted.source}/{posted.sha256}{named}{held}"
