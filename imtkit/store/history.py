"""The earlier runs of a runbook, found without reading the whole log."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from imtkit.model.expected import Took
from imtkit.store.chain import canonical
from imtkit.store.schema import RUN_STARTED, entries

_RUNS = 1_000
"""How many runs, of whatever runbook, are looked through."""

_PAGE = 100

_ENTRIES = 5_000
"""Within how many entries of its incident a run must have ended."""

_OF_RUNS = ("run.started", "run.parked", "run.resumed", "run.finished", "step.finished")

_STARTED = (
    sa.select(entries.c.seq, entries.c.incident, entries.c.n, entries.c.data)
    .where(RUN_STARTED)
    .where(entries.c.seq < sa.bindparam("before"))
    .order_by(entries.c.seq.desc())
    .limit(_PAGE)
)
_OF_RUN = (
    sa.select(entries.c.type, entries.c.occurred_at, entries.c.data)
    .where(entries.c.incident == sa.bindparam("of"))
    .where(entries.c.n.between(sa.bindparam("first"), sa.bindparam("last")))
    .where(sa.or_(*(entries.c.type == type_ for type_ in _OF_RUNS)))
    .order_by(entries.c.n)
)


def completed_runs(
    connection: sa.Connection, runbook: str, limit: int, known: dict[str, Took]
) -> Iterator[Took]:
    """How long the runs of a runbook took that completed, newest first.

    ``known`` are runs that were read before, by id; those that are read now are put there. A
    completed run is over, so what is known of it stays true.
    """
    left = limit
    for row, id_ in _runs(connection, runbook):
        took = known.get(id_)
        if took is None:
            about = {"of": row.incident, "first": row.n, "last": row.n + _ENTRIES}
            took = _took(id_, connection.execute(_OF_RUN, about).all())
        if took is not None:
            known[id_] = took
            yield took
            left -= 1
        if not left:
            return


def _runs(connection: sa.Connection, runbook: str) -> Iterator[tuple[Any, str]]:
    """The newest runs of a runbook: the rows of their first entries, and their ids."""
    stored = _as_stored("runbook", runbook)
    before = 2**62
    for _ in range(_RUNS // _PAGE):
        page = connection.execute(_STARTED, {"before": before}).all()
        for row in page:
            if stored in row.data:  # perhaps only as one of its parameters
                told = json.loads(row.data)
                if told.get("runbook") == runbook:
                    yield row, str(told.get("run", ""))
        if len(page) < _PAGE:
            return
        before = page[-1].seq


def _took(id_: str, rows: Sequence[Any]) -> Took | None:
    """How long a run took, by its own entries; None when it did not complete."""
    steps: dict[str, float] = {}
    times: dict[str, datetime] = {}
    status = ""
    stored = _as_stored("run", id_)
    for row in rows:
        told = json.loads(row.data) if stored in row.data else {}
        if told.get("run") != id_:
            continue
        times[row.type] = _time(row.occurred_at)
        if row.type == "run.finished":
            status = str(told.get("status", ""))
        elif row.type == "step.finished" and told.get("status") == "completed":
            span = _time(told["finished_at"]) - _time(told["started_at"])
            steps[str(told.get("step", ""))] = span.total_seconds()
    if status != "completed":
        return None
    if "run.parked" in times or "run.resumed" in times:
        return Took(id_, sum(steps.values()), steps)
    return Took(id_, (times["run.finished"] - times["run.started"]).total_seconds(), steps)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _as_stored(name: str, value: str) -> str:
    """What a text of canonical JSON holds in which a field has this value."""
    return canonical({name: value}, name).decode()[1:-1]
