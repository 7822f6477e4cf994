"""One row an incident, for lists: written with the entries it comes from, rebuilt at will."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from imtkit.contracts import Query
from imtkit.model.entries import utc_from_text, utc_text
from imtkit.model.fold import summarise
from imtkit.model.incident import Incident, Summary
from imtkit.store.chain import canonical
from imtkit.store.schema import entries, incidents

_ID = re.compile(r"INC-([0-9]{4})-([0-9]{1,9})")  # of what an address says, what a column takes
_TIMES = ("opened_at", "acknowledged_at", "mitigated_at", "resolved_at", "closed_at")


def next_id(connection: sa.Connection, year: int) -> str:
    """The year's next free incident id."""
    newest = connection.execute(
        sa.select(sa.func.max(incidents.c.number)).where(incidents.c.year == year)
    ).scalar()
    return f"INC-{year}-{(newest or 0) + 1:04d}"


def write(connection: sa.Connection, incident: Incident) -> None:
    """Put the incident's row in place."""
    connection.execute(sa.delete(incidents).where(incidents.c.id == incident.id))
    connection.execute(sa.insert(incidents).values(**_row(incident)))


def differing(connection: sa.Connection, folded: Iterable[Incident]) -> list[str]:
    """Ids whose rows are not what these incidents, all that the log has, make of them."""
    rows = connection.execute(sa.select(incidents))
    kept = {str(row.id): dict(row._mapping) for row in rows}
    wrong = [one.id for one in folded if kept.pop(one.id, None) != _row(one)]
    return sorted({*wrong, *kept})


def _row(incident: Incident) -> dict[str, Any]:
    summary = summarise(incident)
    match = _ID.fullmatch(incident.id)
    year, number = (int(match[1]), int(match[2])) if match else (0, 0)
    values = ((name, getattr(summary, name)) for name in Summary.__slots__)
    row: dict[str, Any] = {k: _keepable(v) if isinstance(v, str) else v for k, v in values}
    row["services"] = json.dumps(summary.services, ensure_ascii=False)
    row["tags"] = json.dumps(summary.tags, ensure_ascii=False)
    for name in _TIMES:
        row[name] = utc_text(row[name]) if row[name] else None
    return {**row, "year": year, "number": number}


def _keepable(text: str) -> str:
    return text.replace("\x00", "\u2400")  # PostgreSQL keeps no NUL in a text


def read(connection: sa.Connection, query: Query) -> list[Summary]:
    """The rows a query asks for, in the order that it asks for."""
    wanted = _placed(sa.select(incidents), query)
    if query.ids:
        wanted = wanted.where(incidents.c.id.in_(query.ids))
    if query.statuses:
        wanted = wanted.where(incidents.c.status.in_(query.statuses))
    if query.severities:
        wanted = wanted.where(incidents.c.severity.in_(query.severities))
    if query.modes:
        wanted = wanted.where(incidents.c.mode.in_(query.modes))
    if query.service:
        quoted = json.dumps(query.service, ensure_ascii=False)
        wanted = wanted.where(incidents.c.services.contains(quoted, autoescape=True))
    if query.alert:
        told = canonical({"fingerprint": query.alert}, "a query").decode()[1:-1]
        came = sa.select(entries.c.n).where(
            entries.c.incident == incidents.c.id,
            entries.c.type == "alert.received",
            entries.c.data.contains(told, autoescape=True),  # perhaps only as a label
        )
        wanted = wanted.where(came.exists())
    if query.text:
        wanted = wanted.where(incidents.c.title.icontains(_keepable(query.text), autoescape=True))
    return [_summary(row._mapping) for row in connection.execute(wanted.limit(query.limit))]


def _placed(wanted: sa.Select[Any], query: Query) -> sa.Select[Any]:
    """The same in the query's order, from behind the incident that ended the page before."""
    place = sa.tuple_(incidents.c.year, incidents.c.number)
    newest = (incidents.c.year.desc(), incidents.c.number.desc())
    match = _ID.fullmatch(query.before)
    is_older = place < (int(match[1]), int(match[2])) if match else None
    if not query.worst_first:
        wanted = wanted.order_by(*newest)
        return wanted if is_older is None else wanted.where(is_older)
    rank = _rank(incidents.c.severity, query.worst_first)
    wanted = wanted.order_by(rank, *newest)
    if is_older is None:
        return wanted
    last = incidents.alias("last")
    its_rank = sa.select(_rank(last.c.severity, query.worst_first)).where(last.c.id == query.before)
    its = its_rank.scalar_subquery()
    return wanted.where((rank > its) | ((rank == its) & is_older))


def _rank(severity: sa.Column[str], names: tuple[str, ...]) -> sa.Case[int]:
    """0 for the worst severity; those that are not named come last."""
    ranks = {name: rank for rank, name in enumerate(names)}
    return sa.case(ranks, value=severity, else_=len(ranks))


def _summary(row: sa.RowMapping) -> Summary:
    values: dict[str, Any] = {name: row[name] for name in Summary.__slots__}
    values["services"] = tuple(json.loads(row["services"]))
    values["tags"] = tuple(json.loads(row["tags"]))
    for name in _TIMES:
        values[name] = utc_from_text(row[name]) if row[name] else None
    return Summary(**values)
