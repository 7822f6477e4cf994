"""Kept deliveries become alerts in their order, once, whatever dies in between."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import alert_messages as messages
import pytest
from alert_messages import source as source_of
from clocks import FixedClock
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import handled, message

from imtkit.config.alerts import SourceSettings
from imtkit.contracts import Store
from imtkit.errors import PayloadError, SignatureError, StoreBusyError, StoreError
from imtkit.kit import Desk, intake
from imtkit.kit.intake import Certificates, Posted, Progress
from imtkit.model.entries import WORKSPACE, Draft, Entry
from imtkit.store import open_store

OPEN = SourceSettings("open", "alertmanager", proof="none")


@pytest.fixture
def at_work(desk: Desk) -> Desk:
    """The server's desk, in a workspace that knows the sender 'open'."""
    sources = {"open": OPEN}
    settings = replace(desk.settings, alerts=replace(desk.settings.alerts, sources=sources))
    return replace(desk, settings=settings, actor="automation/serve", source="web")


def posted(number: int = 1, source: str = "open") -> Posted:
    """A delivery of one alert."""
    body = message(number, service=f"s{number}")
    return Posted(source, body.decode(), hashlib.sha256(body).hexdigest())


def types(desk: Desk, incident: str | None = None) -> list[str]:
    """The types of all entries, or of one chain's."""
    return [one.type for one in desk.store.entries(incident)]


def test_many_are_kept_in_one_append_and_each_once(at_work: Desk):
    """The same body is one entry, also within one append; a new one stands behind it."""
    entries = intake.keep(at_work, [posted(1), posted(2), posted(1)])
    assert [one.n for one in entries] == [1, 2, 1]
    assert intake.keep(at_work, [posted(2), posted(3)])[1].n == 3
    assert types(at_work) == 3 * ["delivery.received"]


def test_the_same_body_from_two_senders_is_two_deliveries(at_work: Desk):
    """Who sent it decides what it means."""
    assert [one.n for one in intake.keep(at_work, [posted(1), posted(1, "other")])] == [1, 2]


def test_deliveries_become_alerts_in_their_order(at_work: Desk):
    """Incidents are opened as deliveries came, and one entry says how far it is."""
    intake.keep(at_work, [posted(number) for number in range(5)])
    done = handled(at_work, intake.progress(at_work))
    assert (done.through, done.handled, done.refused, done.marks) == (5, 5, 0, 1)
    services = [at_work.store.incident(one.id).services for one in at_work.store.incidents()]
    assert services[::-1] == [(f"s{number}",) for number in range(5)]
    assert done.incidents == frozenset(), "no rule asked for a run"
    assert types(at_work, WORKSPACE)[-1] == "deliveries.handled"


def test_nothing_new_writes_nothing(at_work: Desk):
    """A pass over nothing but its own marks leaves the log as it is."""
    intake.keep(at_work, [posted(1)])
    done = handled(at_work, intake.progress(at_work))
    before = types(at_work)
    done = handled(at_work, done)
    done = handled(at_work, done)
    assert types(at_work) == before
    assert done.through == 2
    assert done.incidents == frozenset()


def test_only_so_many_are_handled_at_a_time(at_work: Desk):
    """A pass ends, so that others have their turn; the next goes on where it ended."""
    intake.keep(at_work, [posted(number) for number in range(25)])
    done = intake.progress(at_work)
    seen = []
    while (after := handled(at_work, done, most=12)).through > done.through:
        seen.append(after.handled - done.handled)
        done = after
    assert seen == [12, 12, 1, 0]
    assert done.handled == 25


def test_a_poisoned_delivery_is_set_aside_and_stops_nobody(at_work: Desk):
    """From a sender that is known no more, or damaged: why stands in the log, the next is done."""
    odd = at_work.draft("delivery.received", {"source": "open", "body": 5}, key="delivery/odd")
    intake.keep(at_work, [posted(1, "gone")])
    at_work.store.append(WORKSPACE, odd)
    intake.keep(at_work, [replace(posted(2), body="{", sha256="x"), posted(3)])
    done = handled(at_work, intake.progress(at_work))
    assert (done.handled, done.refused) == (1, 3)
    refused = [one for one in at_work.store.entries(WORKSPACE) if one.type == "delivery.refused"]
    assert [one.data["delivery"] for one in refused] == [1, 2, 3]
    assert "Alert source 'gone' not found" in str(refused[0].data["reason"])


@pytest.mark.parametrize("marks", [0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 100])
def test_the_newest_mark_is_found_in_few_looks(at_work: Desk, marks: int):
    """However many marks there are: doubling and halving, and no body is read."""
    for number in range(1, marks + 1):
        data, key = {"through": number * 10}, f"deliveries/handled/{number}"
        at_work.store.append(WORKSPACE, at_work.draft("deliveries.handled", data, key=key))
    counted = Counted(at_work.store)
    found = intake.progress(replace(at_work, store=counted))
    assert (found.marks, found.through) == (marks, marks * 10)
    assert counted.looks <= 2 * max(1, marks).bit_length() + 1
    assert counted.reads == 0


def test_two_servers_share_the_work(at_work: Desk):
    """What one has handled the other passes over; both come to the same end."""
    one = two = intake.progress(at_work)
    for round_ in range(3):
        intake.keep(at_work, [posted(round_ * 10 + number) for number in range(5)])
        one = handled(at_work, one)
        before = types(at_work)
        two = handled(at_work, two)
        assert types(at_work) == before
        assert two.through >= one.through - 1
    assert (one.handled, two.handled) == (15, 0)


class Counted:
    """A log that counts how often it is asked."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.looks = self.reads = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def find(self, *keys: str) -> Entry | None:
        self.looks += 1
        return self._store.find(*keys)

    def entries(self, incident: str | None = None, **how: Any) -> Iterator[Entry]:
        self.reads += 1
        return self._store.entries(incident, **how)


@dataclass
class Dying:
    """A log that fails at its n-th write, before it or, as if its answer was lost, after it."""

    store: Store
    writes_left: int
    is_after: bool

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def _may_die(self) -> None:
        self.writes_left -= 1
        if self.writes_left == 0:
            raise StoreBusyError(retryable=True)

    def _written(self, write: Any, *arguments: Any) -> Any:
        if not self.is_after:
            self._may_die()
        done = write(*arguments)
        if self.is_after:
            self._may_die()
        return done

    def append(self, incident: str, *drafts: Draft) -> Any:
        return self._written(self.store.append, incident, *drafts)

    def append_each(self, drafts: Any) -> Any:
        return self._written(self.store.append_each, drafts)

    def change(self, incident: str, decide: Any) -> Any:
        return self._written(self.store.change, incident, decide)

    def open_with(self, draft: Draft, decide: Any) -> Any:
        return self._written(self.store.open_with, draft, decide)


@settings(max_examples=40)
@given(deaths=st.lists(st.tuples(st.integers(1, 12), st.booleans()), max_size=6))
def test_whatever_write_fails_nothing_is_lost_or_doubled(
    at_work: Desk, deaths: list[tuple[int, bool]]
):
    """A server that dies at any write, and its successors: each alert is there once."""
    store = open_store("sqlite://", clock=FixedClock())
    desk = replace(at_work, store=store)
    intake.keep(desk, [posted(number) for number in range(4)])
    for writes, is_after in deaths:
        dying = replace(desk, store=Dying(store, writes, is_after))
        try:
            progress = intake.progress(dying)
            while (after := handled(dying, progress)).through > progress.through:
                progress = after
        except StoreError:
            continue
    handled(desk, intake.progress(desk))
    found = [one for one in store.entries() if one.type == "alert.received"]
    assert sorted(str(one.data["fingerprint"]) for one in found) == [f"{n:016x}" for n in range(4)]
    assert sum(one.type == "incident.opened" for one in store.entries()) == 4
    assert store.verify() == []
    store.close()


def test_a_log_that_is_down_is_said_and_costs_nothing(at_work: Desk):
    """Nothing was done: the error comes through, and the next pass does it all."""
    intake.keep(at_work, [posted(1)])
    dying = replace(at_work, store=Dying(at_work.store, 1, is_after=False))
    with pytest.raises(StoreBusyError):
        handled(dying, Progress())
    assert handled(at_work, Progress()).handled == 1


def test_a_delivery_is_read_as_of_when_it_came(at_work: Desk, clock: FixedClock):
    """A sender that tells no time means the time it was kept, also when it is handled later."""
    fields = {"name": "title", "status": "state"}
    source = SourceSettings("own", "mapped", proof="none", fields=fields)
    alerts = replace(at_work.settings.alerts, sources={"own": source})
    desk = replace(at_work, settings=replace(at_work.settings, alerts=alerts))
    came_at = clock.now()
    intake.keep(desk, [Posted("own", '{"title":"Disk full","state":"bad"}', "digest")])
    clock.moment += timedelta(hours=3)
    handled(desk, Progress())
    (summary,) = desk.store.incidents()
    (alert,) = desk.store.incident(summary.id).alerts
    assert alert.started_at == came_at


def test_a_sender_that_tells_no_time_is_heard_each_time(at_work: Desk, clock: FixedClock):
    """It posts the same words when the same thing breaks again: that is another occurrence."""
    source = SourceSettings("own", "mapped", proof="none", fields={"name": "t", "status": "s"})
    alerts = replace(at_work.settings.alerts, sources={"own": source})
    desk = replace(at_work, settings=replace(at_work.settings, alerts=alerts))
    progress = Progress()
    for state in ("bad", "bad", "ok", "bad"):
        body = f'{{"t":"Disk full","s":"{state}"}}'.encode()
        read = intake.read(source, {}, body, now=clock.now(), certificates=Certificates())
        intake.keep(desk, [read])
        progress = handled(desk, progress)
        clock.moment += timedelta(minutes=5)
    assert progress.handled == 4
    told = [one for one in types(desk) if one.startswith("alert.")]
    assert told == ["alert.received", "alert.resolved", "alert.received"]


@pytest.mark.parametrize(
    ("source", "message", "head"),
    [
        (source_of("pagerduty"), messages.pagerduty("incident.resolved"), {}),
        (source_of("sns"), messages.sns(NewStateValue="OK"), {}),
        (source_of("sentry"), messages.sentry_issue("resolved"), {"request-id": "c0ffee"}),
    ],
    ids=lambda one: getattr(one, "kind", ""),
)
def test_a_message_that_is_sent_again_is_kept_once(
    at_work: Desk, clock: FixedClock, source: SourceSettings, message: Any, head: dict[str, str]
):
    """It tells of no occurrence, but has its sender's own id; the next message has another."""

    def kept(said: bytes, headers: dict[str, str]) -> int:
        read = intake.read(source, headers, said, now=clock.now(), certificates=Certificates())
        clock.moment += timedelta(minutes=1)
        return intake.keep(at_work, [read])[0].n

    said = messages.body(message)
    assert [kept(said, head), kept(said, head)] == [1, 1]
    if head:
        assert kept(said, {"request-id": "another"}) == 2
        assert kept(said + b" ", head) == 3, "who knows an id holds nothing back by it"
    else:
        assert kept(said.replace(b"01ORDERSEVENT", b"02").replace(b"0001", b"0002"), head) == 2


def test_what_is_no_utf8_is_no_json(clock: FixedClock):
    """It is refused before anything is made of it, and says which byte."""
    with pytest.raises(PayloadError, match="byte 1 does not fit"):
        intake.read(OPEN, {}, b"{\xff}", now=clock.now(), certificates=Certificates())


def test_one_secret_of_two_is_enough(clock: FixedClock, monkeypatch: pytest.MonkeyPatch):
    """While a secret is replaced, one that cannot be had does not lock the sender out."""
    monkeypatch.setenv("NEW_ONE", "canary")
    references = ("secret://env/OLD_ONE", "secret://env/NEW_ONE")
    source = SourceSettings("shop", "alertmanager", "bearer", references)
    intake.prove(source, {"authorization": "Bearer canary"}, b"", now=clock.now())
    with pytest.raises(SignatureError):
        intake.prove(source, {"authorization": "Bearer other"}, b"", now=clock.now())


def test_only_topics_that_are_named_are_confirmed():
    """Whatever a message says, nothing is fetched for a topic that imt.toml does not name."""
    source = SourceSettings("aws", "sns", proof="none", topics=("arn:aws:sns:eu-west-1:1:ours",))
    stranger = Posted("aws", "{}", "0", confirm="https://sns.example/", topic="arn:theirs")
    with pytest.raises(SignatureError, match="arn:theirs is not among its topics"):
        intake.confirm(source, stranger)
    with pytest.raises(SignatureError, match="not one of Amazon SNS's own addresses"):
        intake.confirm(source, replace(stranger, topic=source.topics[0]))
