"""How long it takes to fold an incident, and to list among 100,000 of them.

    python bench/fold.py [FOLDER]

The incidents are rows put straight into the store's own tables: lists read those alone. Ends
within 90 seconds.
"""

from __future__ import annotations

import json
import random
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import sqlalchemy as sa
from facts import folder_for, machine, table

from imtkit.contracts import Query
from imtkit.model.entries import Draft, utc_text
from imtkit.model.fold import fold
from imtkit.store import open_store
from imtkit.store.log import SqlStore
from imtkit.store.schema import incidents

INCIDENTS = 100_000
LENGTHS = (10, 100, 1_000, 10_000)
MIX = (
    # what a log is made of, roughly: steps of runs, notes, ticks, a few decisions
    *(("step.started", {"run": "r", "step": "s{n}", "title": "Look"}),) * 4,
    *(("step.finished", {"run": "r", "step": "s{n}", "status": "completed"}),) * 4,
    *(("note.added", {"text": "restarted the second node, error rate falls"}),) * 6,
    *(("checklist.ticked", {"list": "l", "item": "i{m}"}),) * 2,
    ("decision.made", {"text": "fail over", "reason": "the disk is dying"}),
    ("field.set", {"name": "cause", "value": "disk"}),
)
QUERIES = {
    "newest 100": Query(),
    "open ones": Query(statuses=("open",)),
    "sev1 or sev2, drills": Query(severities=("sev1", "sev2"), modes=("drill",)),
    "one service": Query(service="service-7"),
    "a rare word in titles": Query(text="zebra"),
    "a word in no title": Query(text="nowhere"),
    "a page from the middle": Query(before="INC-2022-0100"),
}


def median_ms(act: Callable[[], object], *, seconds: float) -> float:
    """The median time of a call, over at least three and for so long."""
    act()
    spans: list[float] = []
    ends_at = time.perf_counter() + seconds
    while len(spans) < 3 or time.perf_counter() < ends_at:
        before = time.perf_counter()
        act()
        spans.append(time.perf_counter() - before)
    return statistics.median(spans) * 1000


def fill(store: SqlStore, length: int) -> str:
    """An incident with so many entries."""
    opening = Draft("incident.opened", {"title": "x", "severity": "sev3"}, actor="Ann")
    incident = store.open_incident(opening).incident
    items = [{"id": f"i{m}", "text": f"item {m}"} for m in range(10)]
    head = [
        Draft("run.started", {"run": "r", "runbook": "host"}, actor="Ann"),
        Draft("checklist.shown", {"list": "l", "title": "L", "items": items}, actor="Ann"),
    ]
    chance = random.Random(length)
    rest = []
    for _ in range(length - len(head) - 1):
        type_, data = chance.choice(MIX)
        places = {"n": chance.randrange(20), "m": chance.randrange(10)}
        filled = {key: value.format(**places) for key, value in data.items()}
        rest.append(Draft(type_, filled, actor="Ann"))
    store.append(incident, *head, *rest)
    return incident


def folds(store: SqlStore) -> list[tuple[str, ...]]:
    """For each length: folding alone, reading and folding; per entry, and as a multiple of what
    parsing the entries' JSON takes.
    """
    rows: list[tuple[str, ...]] = []
    for length in LENGTHS:
        incident = fill(store, length)
        entries = list(store.entries(incident))
        assert len(entries) == length
        texts = [json.dumps(entry.data) for entry in entries]
        parse = median_ms(partial(_parse, texts), seconds=0.5)
        alone = median_ms(partial(fold, incident, entries), seconds=1)
        read = median_ms(partial(store.incident, incident), seconds=1)
        rows.append(
            (
                f"{length:,} entries",
                f"{alone:.2f} ms",
                f"{alone / length * 1000:.1f} µs",
                f"{alone / parse:.1f}",
                f"{read:.2f} ms",
                f"{read / length * 1000:.1f} µs",
                f"{read / parse:.1f}",
            )
        )
    return rows


def _parse(texts: list[str]) -> None:
    for text in texts:
        json.loads(text)


def crowd(store: SqlStore) -> None:
    """100,000 incidents over ten years, written straight into the lists' table."""
    chance = random.Random(1)
    words = ("orders", "mail", "login", "search", "slow", "down", "failing", "errors", "queue")
    begin = datetime(2015, 1, 1, tzinfo=UTC)
    rows = []
    for index in range(INCIDENTS):
        year, number = 2015 + index // 10_000, index % 10_000 + 1
        at = begin + timedelta(minutes=53 * index)
        is_over = index < INCIDENTS - 40
        title = " ".join(chance.choices(words, k=5)) + (" zebra" if index % 5_000 == 0 else "")
        rows.append(
            {
                "id": f"INC-{year}-{number:04d}",
                "year": year,
                "number": number,
                "title": title,
                "severity": f"sev{chance.randint(1, 4)}",
                "status": "closed" if is_over else "open",
                "mode": "drill" if index % 20 == 0 else "live",
                "category": "",
                "owner": f"team-{index % 30}",
                "services": f'["service-{index % 400}"]',
                "tags": "[]",
                "opened_at": utc_text(at),
                "acknowledged_at": utc_text(at + timedelta(minutes=3)),
                "mitigated_at": None,
                "resolved_at": utc_text(at + timedelta(hours=1)) if is_over else None,
                "closed_at": utc_text(at + timedelta(days=1)) if is_over else None,
                "reopened": 0,
            }
        )
    with store._engine.writing() as connection:
        connection.execute(sa.insert(incidents), rows)


def lists(store: SqlStore, path: Path) -> list[tuple[str, ...]]:
    """For each query: rows found, time, and how often bare SQLite fetches the newest 100 in it."""
    with closing(sqlite3.connect(path)) as bare:
        newest = "SELECT * FROM incidents ORDER BY year DESC, number DESC LIMIT 100"
        floor = median_ms(lambda: bare.execute(newest).fetchall(), seconds=1)
    rows: list[tuple[str, ...]] = [("newest 100, bare SQLite", "100", f"{floor:.2f} ms", "1.0")]
    for name, query in QUERIES.items():
        listed = partial(store.incidents, query)
        spent = median_ms(listed, seconds=1)
        rows.append((name, str(len(listed())), f"{spent:.2f} ms", f"{spent / floor:.1f}"))
    return rows


def main() -> None:
    """Measure, and print two tables."""
    with folder_for(sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        print(machine())
        path = folder / "imt.db"
        store = open_store(f"sqlite:///{path}")
        spans = ("fold", "per entry", "× json.loads")
        head = ("incident of", *spans, "read and fold", *spans[1:])
        table("From entries to an incident", head, folds(store))
        crowd(store)
        places = ("query", "rows", "median", "× bare SQLite")
        table(f"Lists among {INCIDENTS:,} incidents", places, lists(store, path))
        before = time.perf_counter()
        store.open_incident(Draft("incident.opened", {"title": "one more"}, actor="Ann"))
        print(f"\nOpening one more: {(time.perf_counter() - before) * 1000:.1f} ms")
        store.close()


if __name__ == "__main__":
    main()
