"""What every log does, whichever database keeps it."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
import rfc8785
import sqlalchemy as sa
from clocks import NOON, FixedClock

from imtkit.contracts import Head, Query
from imtkit.errors import InputError, NotFoundError, StateError, StoreError
from imtkit.model.entries import WORKSPACE, Draft
from imtkit.model.fold import summarise
from imtkit.store.chain import line_of

if TYPE_CHECKING:
    from imtkit.model.incident import Incident
    from imtkit.store.log import SqlStore

Again = Callable[[], "SqlStore"]

HOSTILE = (
    "100% of 'orders' fail",
    'a "quoted" title; DROP TABLE entries; --',
    "under_score and back\\slash",
    "Überlast 検査 🔥 é",
    "percent %s %(name)s {brace} :colon ?",
    "nul \x00 and bell \x07",
)


def opening(title: str = "Orders fail", **data: Any) -> Draft:
    return Draft(
        "incident.opened",
        {"title": title, "severity": "sev3", "mode": "live", **data},
        actor="Ann Example",
        source="cli",
    )


def note(text: str, *, key: str | None = None) -> Draft:
    return Draft("note.added", {"text": text}, actor="Ann Example", source="cli", key=key)


def opened(store: SqlStore, title: str = "Orders fail", **data: Any) -> str:
    return store.open_incident(opening(title, **data)).incident


# Appending


def test_entries_of_some_types_are_read_alone(store: SqlStore) -> None:
    """Of one incident or of all, past a place and up to a number, as with any."""
    first, second = opened(store), opened(store)
    for n in range(3):
        store.append(first, note(f"{n}"))
        store.append(second, note(f"{n}"))
    types = ("note.added",)
    assert [entry.n for entry in store.entries(first, types=types)] == [2, 3, 4]
    assert [entry.n for entry in store.entries(first, after=2, types=types, limit=1)] == [3]
    assert [entry.seq for entry in store.entries(after=4, types=types)] == [5, 6, 7, 8]
    both = ("incident.opened", *types)
    assert list(store.entries(types=both)) == list(store.entries())
    assert list(store.entries(types=("run.started",))) == []


def test_entries_come_back_in_the_order_they_were_appended(store: SqlStore) -> None:
    """Positions count from 1 in the incident and through the whole log, without gaps."""
    first, second = opened(store), opened(store)
    for number in range(3):
        store.append(first, note(f"a{number}"), note(f"b{number}"))
        store.append(second, note(f"c{number}"))
    assert [e.n for e in store.entries(first)] == list(range(1, 8))
    assert [e.n for e in store.entries(second)] == list(range(1, 5))
    assert [e.seq for e in store.entries()] == list(range(1, 12))
    texts = [e.data["text"] for e in store.entries(first, after=1)]
    assert texts == ["a0", "b0", "a1", "b1", "a2", "b2"]


def test_an_append_returns_what_is_read_afterwards(store: SqlStore) -> None:
    """The entry that append returns and the one that is stored are equal, field by field."""
    incident = opened(store)
    told = datetime(2026, 11, 21, 9, 30, tzinfo=ZoneInfo("Europe/Zurich"))
    draft = Draft(
        "note.added",
        {"text": "x", "list": [1, 2.5, None, True, {"a": "b"}], "tuple": (1, 2)},
        actor="Ann Example",
        source="cli",
        visibility="external",
        occurred_at=told,
        zone="Europe/Zurich",
        key="k",
    )
    stored = store.append(incident, draft)[0]
    assert list(store.entries(incident))[-1] == stored
    assert stored.occurred_at == told
    assert stored.occurred_at.tzinfo is UTC
    assert stored.zone == "Europe/Zurich"
    assert stored.recorded_at == NOON
    assert stored.data["tuple"] == [1, 2]
    assert store.find("k") == stored


def test_many_keys_are_asked_for_together(store: SqlStore) -> None:
    """However many there are, each that is there comes with its entry; the others do not."""
    incident = opened(store)
    kept = store.append(incident, *(note(f"a{n}", key=f"k{n}") for n in range(70)))
    wanted = [f"k{n}" for n in range(-3, 73)]
    assert store.found(wanted) == {one.key: one for one in kept}
    assert store.found(["k5", "k5"]) == {"k5": kept[5]}
    assert store.found([]) == store.found(["k-1"]) == {}


def test_several_incidents_are_written_in_one_go(store: SqlStore) -> None:
    """Each gets its own, a known key its first entry; if one cannot be, none of it is stored."""
    first, second = opened(store), opened(store)
    store.append(first, note("there", key="k"))
    drafts = {second: [note("b"), note("again", key="k")], WORKSPACE: [note("w")], first: []}
    stored = store.append_each(drafts)
    assert [e.data["text"] for e in stored[second]] == ["b", "there"]
    assert [e.incident for e in stored[WORKSPACE]] == [WORKSPACE]
    assert stored[first] == []
    before = list(store.entries())
    with pytest.raises(NotFoundError):
        store.append_each({first: [note("c")], "INC-1999-0001": [note("d")]})
    assert list(store.entries()) == before
    assert store.verify() == []


def test_the_newest_entry_of_a_chain_is_read_alone(store: SqlStore) -> None:
    """It is the last that was written there; a chain without entries has none."""
    first, second = opened(store), opened(store)
    (last,) = store.append(first, note("last"))
    store.append(second, note("elsewhere"))
    assert store.newest(first) == last
    assert store.newest(WORKSPACE) is None


def test_each_entry_links_to_the_one_before_it_in_its_incident(store: SqlStore) -> None:
    """``prev`` is the hash of the entry before; the first has none."""
    first, second = opened(store), opened(store)
    store.append(first, note("a"), note("b"))
    store.append(second, note("c"))
    for incident in (first, second):
        chain = list(store.entries(incident))
        assert [e.prev for e in chain] == ["", *(e.hash for e in chain[:-1])]
    assert {h.incident: (h.count, h.hash) for h in store.heads()} == {
        first: (3, list(store.entries(first))[-1].hash),
        second: (2, list(store.entries(second))[-1].hash),
    }


def test_a_hash_is_the_sha256_of_the_entry_as_rfc_8785_writes_it(store: SqlStore) -> None:
    """Anybody can check an entry with a JSON canonicaliser and SHA-256, without imtkit."""
    import hashlib

    incident = opened(store, "Ünï – “quoted” \u2028 \x7f")
    store.append(
        incident, note("€ \ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"))
    )
    for entry in store.entries():
        body = json.loads(line_of(entry))
        said = body.pop("hash")
        assert hashlib.sha256(rfc8785.dumps(body)).hexdigest() == said == entry.hash


def test_an_incident_nobody_opened_gets_no_entries(store: SqlStore) -> None:
    """Appending, changing or reading an unknown id is refused, and names the nearest."""
    incident = opened(store)
    wrong = incident.replace("INC", "INK")
    for attempt in (
        lambda: store.append(wrong, note("x")),
        lambda: store.append(wrong),
        lambda: store.change(wrong, lambda _: [note("x")]),
        lambda: store.incident(wrong),
    ):
        with pytest.raises(NotFoundError, match=f"Incident '{wrong}' not found") as caught:
            attempt()
        assert incident in caught.value.hint
    assert len(list(store.entries())) == 1


def test_the_workspace_has_a_chain_of_its_own(store: SqlStore) -> None:
    """What belongs to no incident is logged under 'workspace' and opens no incident."""
    store.append(WORKSPACE, note("alert on arrival"))
    store.append(WORKSPACE, note("another"))
    assert [e.n for e in store.entries(WORKSPACE)] == [1, 2]
    assert store.incidents() == []
    assert store.verify() == []


def test_appending_nothing_stores_nothing(store: SqlStore) -> None:
    """An empty append is allowed and leaves no trace."""
    incident = opened(store)
    assert store.append(incident) == []
    assert store.change(incident, lambda _: []) == []
    assert len(list(store.entries())) == 1


def test_several_drafts_are_stored_together_or_not_at_all(store: SqlStore) -> None:
    """One draft that cannot be kept takes the whole append with it."""
    incident = opened(store)
    bad = Draft("note.added", {"text": float("nan")}, actor="Ann")
    with pytest.raises(InputError, match="cannot be kept exactly"):
        store.append(incident, note("good"), bad)
    assert len(list(store.entries(incident))) == 1
    assert store.verify() == []


# Keys


def test_a_known_key_returns_the_entry_stored_first(store: SqlStore) -> None:
    """A retried append adds nothing, even with other data and for another incident."""
    one, two = opened(store), opened(store)
    first = store.append(one, note("first", key="k"))[0]
    assert store.append(one, note("second", key="k")) == [first]
    assert store.append(two, note("third", key="k")) == [first]
    assert [e.data.get("text") for e in store.entries(two)] == [None]


def test_a_key_twice_in_one_append_is_one_entry(store: SqlStore) -> None:
    """Both places of the answer hold the same entry."""
    incident = opened(store)
    stored = store.append(incident, note("a", key="k"), note("b", key="k"), note("c"))
    assert stored[0] == stored[1]
    assert [e.n for e in store.entries(incident)] == [1, 2, 3]


def test_an_opening_with_a_known_key_returns_the_first_incident(store: SqlStore) -> None:
    """A retried opening opens nothing."""
    draft = Draft("incident.opened", {"title": "x"}, actor="Ann", key="alert/1")
    assert store.open_incident(draft) == store.open_incident(draft)
    assert len(store.incidents()) == 1


def test_an_incident_is_opened_with_what_is_said_of_it(store: SqlStore) -> None:
    """``decide`` is shown the incident as it is opened, or as it was when it is there already; if
    what it says cannot be stored, nothing is.
    """
    shown: list[Incident] = []

    def told(incident: Incident) -> list[Draft]:
        shown.append(incident)
        return [note("said", key=f"said/{len(incident.entries)}")]

    draft = replace(opening("Orders fail"), key="o/1")
    first = store.open_with(draft, told)
    again = store.open_with(draft, told)
    id_ = first[0].incident
    assert [(e.incident, e.n, e.type) for e in first] == [
        (id_, 1, "incident.opened"),
        (id_, 2, "note.added"),
    ]
    assert again[0] == first[0]
    assert [(e.incident, e.n) for e in again[1:]] == [(id_, 3)]
    assert [(one.id, one.title, len(one.entries)) for one in shown] == [
        (id_, "Orders fail", 1),
        (id_, "Orders fail", 2),
    ]
    before = list(store.entries())
    with pytest.raises(InputError):
        store.open_with(opening("x"), lambda _: [replace(note("y"), data={"text": float("nan")})])
    assert list(store.entries()) == before
    assert [one.id for one in store.incidents()] == [id_]
    assert store.verify() == []
    assert store.stale_lists() == []


def test_many_retries_at_once_store_one_entry(store: SqlStore) -> None:
    """Threads that race with one key all get the same entry."""
    incident = opened(store)
    with ThreadPoolExecutor(8) as pool:
        stored = list(
            pool.map(lambda i: store.append(incident, note(f"{i}", key="k"))[0], range(24))
        )
    assert len({e.seq for e in stored}) == 1
    assert len(list(store.entries(incident))) == 2


# Changing


def test_a_change_sees_the_incident_as_it_stands(store: SqlStore) -> None:
    """The decider is handed the folded incident, and what it returns is stored after it."""
    incident = opened(store)
    store.append(incident, note("a"))

    def decide(stands: Incident) -> list[Draft]:
        assert stands.title == "Orders fail"
        return [note(f"there were {len(stands.entries)}")]

    assert store.change(incident, decide)[0].data == {"text": "there were 2"}


def test_a_change_that_is_refused_stores_nothing(store: SqlStore) -> None:
    """What the decider raises reaches the caller as it is."""
    incident = opened(store)

    def refuse(_: Incident) -> list[Draft]:
        raise StateError("no")

    with pytest.raises(StateError, match=r"^no$"):
        store.change(incident, refuse)
    store.append(incident, note("works again"))
    assert [e.n for e in store.entries(incident)] == [1, 2]


def test_of_two_deciders_that_race_exactly_one_wins(open_again: Again) -> None:
    """Each decider looks and writes with nobody in between, whoever else is at the log."""
    stores = [open_again() for _ in range(4)]
    incident = opened(stores[0])

    def take(store: SqlStore) -> int:
        def unless_taken(stands: Incident) -> list[Draft]:
            return (
                [] if stands.owner else [Draft("role.assigned", {"role": "owner", "person": "A"})]
            )

        return len(store.change(incident, unless_taken))

    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            wins = sum(pool.map(take, stores))
            assert wins == 1
            stores[0].append(incident, Draft("role.assigned", {"role": "owner", "person": ""}))
    assert stores[0].verify() == []


# Opening


def test_ids_count_up_in_their_year(store: SqlStore, clock: FixedClock) -> None:
    """INC-2026-0001, INC-2026-0002 …; a new year begins at 1."""
    assert [opened(store) for _ in range(2)] == ["INC-2026-0001", "INC-2026-0002"]
    clock.moment = datetime(2027, 1, 1, tzinfo=UTC)
    assert opened(store) == "INC-2027-0001"


def test_incidents_opened_at_once_get_different_ids_without_gaps(open_again: Again) -> None:
    """However many open at once, ids are unique and have no gaps."""
    stores = [open_again() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(lambda i: opened(stores[i % 4], f"t{i}"), range(24)))
    year = datetime.now(UTC).year
    assert sorted(ids) == [f"INC-{year}-{n:04d}" for n in range(1, 25)]


def test_the_ten_thousandth_incident_sorts_after_the_ones_before(store: SqlStore) -> None:
    """Lists go by number, not by text."""
    from imtkit.store.schema import incidents

    opened(store)
    with store._engine.writing() as connection:  # 9,998 openings would take too long
        connection.execute(sa.update(incidents).values(number=9999, id="INC-2026-9999"))
    assert opened(store) == "INC-2026-10000"
    assert [s.id for s in store.incidents()] == ["INC-2026-10000", "INC-2026-9999"]
    assert [s.id for s in store.incidents(Query(before="INC-2026-10000"))] == ["INC-2026-9999"]


# Reading


def test_entries_are_read_in_pages_that_miss_none(store: SqlStore) -> None:
    """``after`` and ``limit`` cut where they say, over the size of one page too."""
    incident = opened(store)
    store.append(incident, *(note(str(i)) for i in range(2_500)))
    assert [e.n for e in store.entries(incident)] == list(range(1, 2_502))
    assert [e.n for e in store.entries(incident, after=2_498)] == [2_499, 2_500, 2_501]
    assert [e.n for e in store.entries(incident, after=1, limit=2_100)] == list(range(2, 2_102))
    assert [e.seq for e in store.entries(after=10, limit=3)] == [11, 12, 13]
    assert list(store.entries(incident, limit=0)) == []
    assert list(store.entries("INC-2026-9999")) == []


def test_an_unknown_key_finds_nothing(store: SqlStore) -> None:
    """``find`` is None, not an error."""
    assert store.find("nobody's") is None


@pytest.mark.parametrize("title", HOSTILE)
def test_hostile_titles_are_kept_and_found_as_they_are(store: SqlStore, title: str) -> None:
    """Quotes, percent signs, underscores and control characters are text, here and in a query."""
    incident = opened(store, title, services=[title])
    decoy = opened(store, "something else", services=["other"])
    assert store.incident(incident).title == title
    assert [s.id for s in store.incidents()] == [decoy, incident]
    wanted = title.replace("\x00", "\u2400")
    assert [s.id for s in store.incidents(Query(text=wanted))] == [incident]
    assert [s.id for s in store.incidents(Query(service=title))] == [incident]


@pytest.mark.parametrize("text", ["%", "_", "\\", "100_", "O_ders", "'"])
def test_what_a_query_looks_for_is_no_pattern(store: SqlStore, text: str) -> None:
    """``%`` and ``_`` find themselves alone."""
    opened(store, "Orders 1000")
    hit = opened(store, f"literally {text} here")
    assert [s.id for s in store.incidents(Query(text=text))] == [hit]


def test_queries_combine(store: SqlStore, clock: FixedClock) -> None:
    """Status, severity, mode, service and text narrow each other; ids come newest first."""
    a = opened(store, "Orders slow", severity="sev1", services=["orders", "web"])
    b = opened(store, "orders gone", severity="sev2", services=["orders-eu"], mode="drill")
    c = opened(store, "Mail", severity="sev1", services=["mail"])
    store.append(c, Draft("incident.acknowledged", actor="Bo"))

    def ids(**wanted: Any) -> list[str]:
        return [s.id for s in store.incidents(Query(**wanted))]

    assert ids() == [c, b, a]
    assert ids(severities=("sev1",)) == [c, a]
    assert ids(severities=("sev1", "sev2"), modes=("live",)) == [c, a]
    assert ids(statuses=("acknowledged",)) == [c]
    assert ids(service="orders") == [a]
    assert ids(text="ORDERS") == [b, a]
    assert ids(text="orders", modes=("drill",)) == [b]
    assert ids(ids=(a, c, "INC-1999-0001")) == [c, a]
    assert ids(ids=(a, b), modes=("live",)) == [a]
    assert ids(limit=2) == [c, b]
    assert ids(before=b) == [a]
    assert ids(statuses=("closed",)) == []


def test_lists_come_worst_first_before_any_page_is_cut(store: SqlStore) -> None:
    """By the order of severities a query gives, then newest; unnamed ones last; pages miss none."""
    severities = ("sev1", "sev9", "sev3", "sev2", "sev3", "sev2")
    ids = [opened(store, severity=severity) for severity in severities]
    worst = tuple(ids[at] for at in (0, 5, 3, 4, 2, 1))

    def page(before: str = "", **wanted: Any) -> tuple[str, ...]:
        query = Query(worst_first=("sev1", "sev2", "sev3"), before=before, **wanted)
        return tuple(one.id for one in store.incidents(query))

    assert page() == worst
    assert page(limit=2) == worst[:2]
    for at, last in enumerate(worst, start=1):
        assert page(last) == worst[at:]
    assert page(severities=("sev2", "sev9")) == (ids[5], ids[3], ids[1])
    assert page(f"INC-2026-{'9' * 40}") == worst  # no id: no page before


def test_runs_of_incidents_stand_as_their_incidents_say(store: SqlStore) -> None:
    """Asked for, going on, parked, over: of all incidents of a status, however many."""
    ids = [opened(store) for _ in range(3)]
    for id_ in ids:
        for name in ("a", "b", "c", "d"):
            store.append(id_, Draft("run.requested", {"run": f"{id_}-{name}", "runbook": "look"}))
        for name in ("b", "c", "d"):
            store.append(id_, Draft("run.started", {"run": f"{id_}-{name}", "runbook": "look"}))
        store.append(id_, note("between"), Draft("run.parked", {"run": f"{id_}-c"}))
        store.append(id_, Draft("run.finished", {"run": f"{id_}-d", "status": "completed"}))
    store.append(ids[2], Draft("incident.closed", actor="Bo"))
    found = store.runs(("open", "acknowledged"))
    known = [run for id_ in ids[:2] for run in store.incident(id_).runs]
    assert [(one.id, one.incident, one.status) for one in found] == [
        (one.id, one.incident, one.status) for one in known
    ]
    assert [one.status for one in found[:4]] == ["queued", "running", "waiting", "completed"]
    assert store.runs(()) == []


def test_lists_say_what_the_fold_says(store: SqlStore) -> None:
    """A row of a list equals the summary of the folded incident, times and lists included."""
    incident = opened(store, "x", services=["a", "ü"], tags=["t"], owner="team")
    for type_ in ("acknowledged", "mitigated", "resolved", "closed"):
        store.append(incident, Draft(f"incident.{type_}", actor="Bo"))
    assert store.incidents() == [summarise(store.incident(incident))]
    assert store.incidents()[0].closed_at == NOON


def test_a_rebuilt_list_equals_the_kept_one(store: SqlStore) -> None:
    """Lists and heads can be computed anew from the log alone."""
    incident = opened(store, "x")
    opened(store, "y", severity="sev1")
    store.append(WORKSPACE, note("w"))
    store.append(incident, Draft("severity.changed", {"from": "sev3", "to": "sev1"}, actor="Bo"))
    store.append(incident, Draft("field.set", {"name": "title", "value": "z"}, actor="Bo"))
    store.append(incident, Draft("note.added", {"text": "n"}, actor="Bo"))
    before, heads = store.incidents(), store.heads()
    assert store.rebuild() == 2
    assert store.incidents() == before
    assert store.heads() == heads
    assert store.verify() == []
    assert opened(store) == "INC-2026-0003"


def test_a_correction_reaches_the_lists(store: SqlStore) -> None:
    """Any entry that supersedes another makes the row anew."""
    incident = opened(store, "Ordrs")
    data = {"title": "Orders", "severity": "sev2", "supersedes": 1}
    store.append(incident, Draft("incident.opened", data, actor="Bo"))
    assert [(s.title, s.severity) for s in store.incidents()] == [("Orders", "sev2")]


# What can be kept


EXACT = (
    {"float": 0.1, "small": 5e-324, "large": 1.7976931348623157e308, "minus": -0.5},
    {"whole": 2**53 - 1, "negative": -(2**53) + 1},
    {"text": "é e\u0301 \u2028 😀 \x00 \x1f \x7f", "empty": ""},
    {"😀": 1, "\ue000": 2, "a": 3, "": 4},
    {"deep": [[[[{"x": [None, True, False]}]]]]},
    {},
)


@pytest.mark.parametrize("data", EXACT)
def test_what_has_an_exact_form_comes_back_exactly(store: SqlStore, data: dict[str, Any]) -> None:
    """Floats, every plane of Unicode, NUL and odd names survive, types included."""
    incident = opened(store)
    kept = store.append(incident, Draft("note.added", data, actor="Ann"))[0]
    again = list(store.entries(incident))[-1]
    assert again == kept
    assert json.dumps(again.data, sort_keys=True) == json.dumps(data, sort_keys=True)
    assert store.verify() == []


INEXACT = (
    {"n": 2**53},
    {"n": 10**400},
    {"x": float("nan")},
    {"x": float("inf")},
    {"t": "half \ud83d"},
    {"\udc00": 1},
    {"b": b"bytes"},
    {"when": datetime(2026, 1, 1, tzinfo=UTC)},
    {1: "number as a name"},
)


def _nested(depth: int) -> dict[str, Any]:
    inner: Any = 1
    for _ in range(depth):
        inner = [inner]
    return {"x": inner}


@pytest.mark.parametrize("data", [*INEXACT, _nested(150), _nested(100_000)], ids=range(11))
def test_what_has_no_exact_form_is_refused(store: SqlStore, data: dict[Any, Any]) -> None:
    """NaN, whole numbers past 2**53, half characters, bytes, bottomless nesting: InputError."""
    incident = opened(store)
    with pytest.raises(InputError):
        store.append(incident, Draft("note.added", data, actor="Ann"))
    assert len(list(store.entries(incident))) == 1


def test_half_a_character_in_a_name_is_refused(store: SqlStore) -> None:
    """Not only data: actor, type and key must be text as well."""
    incident = opened(store)
    for draft in (
        Draft("note.added", actor="A\ud83d"),
        Draft("note.\udc00", actor="A"),
        Draft("note.added", actor="A", key="\udc00"),
    ):
        with pytest.raises(InputError):
            store.append(incident, draft)


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 3, 29, 2, 30, tzinfo=ZoneInfo("Europe/Zurich")),
        datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Zurich")),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=-11, minutes=-30))),
        datetime(1, 1, 2, tzinfo=UTC),
    ],
)
def test_times_keep_their_moment_to_the_microsecond(store: SqlStore, moment: datetime) -> None:
    """Whatever zone a time was told in, it comes back as the same moment in UTC."""
    incident = opened(store)
    kept = store.append(incident, Draft("note.added", actor="A", occurred_at=moment))[0]
    assert kept.occurred_at == moment.astimezone(UTC)
    assert list(store.entries(incident))[-1].occurred_at == kept.occurred_at


# Append only


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET actor = 'Mallory' WHERE seq = 1",
        "DELETE FROM entries WHERE seq = 2",
        "DELETE FROM entries",
    ],
)
def test_the_database_itself_refuses_to_change_the_log(store: SqlStore, statement: str) -> None:
    """An UPDATE or DELETE by anybody who uses SQL is refused, and changes nothing."""
    incident = opened(store)
    store.append(incident, note("x"))
    before = list(store.entries())
    with pytest.raises(StoreError, match="append-only"), store._engine.writing() as connection:
        connection.exec_driver_sql(statement)
    assert list(store.entries()) == before


def test_verify_reads_one_moment_while_others_write(open_again: Again) -> None:
    """Appends that arrive during a verification are no faults."""
    writer, reader = open_again(), open_again()
    incident = opened(writer)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(
            lambda: [writer.append(incident, note(str(i))) for i in range(100)] and None
        )
        while not writing.done():
            assert reader.verify() == []
        writing.result()
    assert reader.verify(reader.heads()) == []


def test_anchors_of_another_log_are_missed(store: SqlStore) -> None:
    """An anchor that names an incident or entry which is not there is a fault."""
    incident = opened(store)
    faults = store.verify([Head("INC-2020-0001", 3, "0" * 64), Head(incident, 2, "0" * 64)])
    assert [(f.incident, f.n) for f in faults] == [("INC-2020-0001", 3), (incident, 2)]


def test_incidents_are_found_by_the_fingerprint_of_an_alert(store: SqlStore) -> None:
    """Whatever stands in it; an incident that no alert came to is not among them."""
    hit, other = opened(store), opened(store)
    for name in ("a", 'b"%_\\ü'):
        told = {"fingerprint": name, "labels": {}}
        store.append(hit, Draft("alert.received", told, actor="automation/x", source="alert"))
        store.append(other, note(f'"fingerprint":"{name}"'))
        assert [s.id for s in store.incidents(Query(alert=name))] == [hit]
    assert store.incidents(Query(alert="%")) == []
