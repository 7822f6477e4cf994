"""One row an incident, for lists: written with the entries it comes from, rebuilt at will."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from imtkit.contracts import Query
from imtkit.model.entries import utc_from_text, utc_text
from imtkit.model.fold import summarise
from imtkit.model.incident import Incident, Summary
from imtkit.store.chain import canonical
from imtkit.store.schema import entries, incidents
from imtkit.store.statements import Prepared, Statements, prepare

_ID = re.compile(r"INC-([0-9]{4})-([0-9]{1,9})")  # of what an address says, what a column takes
_TIMES = ("opened_at", "acknowledged_at", "mitigated_at", "resolved_at", "closed_at")


def next_id(connection: sa.Connection, ask: Statements, year: int) -> str:
    """The year's next free incident id."""
    newest = ask.number.run(connection, {"in_year": year}).scalar()
    return f"INC-{year}-{(newest or 0) + 1:04d}"


def write(connection: sa.Connection, ask: Statements, incident: Incident) -> None:
    """Put the incident's row in place."""
    ask.take_row.run(connection, {"of": incident.id})
    ask.put_row.run(connection, _row(incident))


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
    values = _values(query)
    asked = _asked(connection.dialect, frozenset(values))
    return [_summary(row) for row in asked.run(connection, values).mappings()]


def _values(query: Query) -> dict[str, Any]:
    """What a query asks for, by the names that ``_asked`` has for it."""
    values: dict[str, Any] = {"most": query.limit}
    for column, names in _LISTED.items():
        each = getattr(query, names)
        values |= {f"{column}_{number}": one for number, one in enumerate(each)}
    values |= {f"rank_{number}": one for number, one in enumerate(query.worst_first)}
    if query.service:
        values["service"] = _anywhere(json.dumps(query.service, ensure_ascii=False))
    if query.alert:
        told = canonical({"fingerprint": query.alert}, "a query").decode()[1:-1]
        values["alert"] = _anywhere(told)
    if query.text:
        values["text"] = _anywhere(_keepable(query.text))
    if match := _ID.fullmatch(query.before):
        values |= {"before_year": int(match[1]), "before_number": int(match[2])}
        values |= {"before": query.before} if query.worst_first else {}
    return values


_LISTED = {"id": "ids", "status": "statuses", "severity": "severities", "mode": "modes"}
"""Columns by whose values a query may ask, and how it calls several of those."""

_ESCAPE = "/"


def _anywhere(text: str) -> str:
    """The pattern of what contains a text."""
    for sign in (_ESCAPE, "%", "_"):
        text = text.replace(sign, f"{_ESCAPE}{sign}")
    return f"%{text}%"


@lru_cache(maxsize=64)
def _asked(dialect: sa.Dialect, names: frozenset[str]) -> Prepared:
    """The statement for a query that has values of these names."""
    wanted = sa.select(incidents).limit(sa.bindparam("most", type_=sa.Integer))
    for column in _LISTED:
        any_of: list[Any] = [sa.bindparam(one) for one in _numbered(names, column)]
        if any_of:
            wanted = wanted.where(incidents.c[column].in_(any_of))
    if "service" in names:
        wanted = wanted.where(incidents.c.services.like(sa.bindparam("service"), escape=_ESCAPE))
    if "alert" in names:
        came = sa.select(entries.c.n).where(
            entries.c.incident == incidents.c.id,
            entries.c.type == "alert.received",
            entries.c.data.like(sa.bindparam("alert"), escape=_ESCAPE),  # perhaps only as a label
        )
        wanted = wanted.where(came.exists())
    if "text" in names:
        title, text = sa.func.lower(incidents.c.title), sa.func.lower(sa.bindparam("text"))
        wanted = wanted.where(title.like(text, escape=_ESCAPE))
    return prepare(_placed(wanted, names), dialect)


def _numbered(names: frozenset[str], stem: str) -> list[str]:
    return [one for one in sorted(names) if re.fullmatch(f"{stem}_[0-9]+", one)]


def _placed(wanted: sa.Select[Any], names: frozenset[str]) -> sa.Select[Any]:
    """The same in the query's order, from behind the incident that ended the page before."""
    newest = (incidents.c.year.desc(), incidents.c.number.desc())
    before = (
        sa.bindparam("before_year", type_=sa.Integer),
        sa.bindparam("before_number", type_=sa.Integer),
    )
    is_older = sa.tuple_(incidents.c.year, incidents.c.number) < sa.tuple_(*before)
    is_page = "before_year" in names
    ranked = len(_numbered(names, "rank"))
    if not ranked:
        wanted = wanted.order_by(*newest)
        return wanted.where(is_older) if is_page else wanted
    rank = _rank(incidents.c.severity, ranked)
    wanted = wanted.order_by(rank, *newest)
    if not is_page:
        return wanted
    last = incidents.alias("last")
    its_rank = sa.select(_rank(last.c.severity, ranked)).where(last.c.id == sa.bindparam("before"))
    its = its_rank.scalar_subquery()
    return wanted.where((rank > its) | ((rank == its) & is_older))


def _rank(severity: sa.Column[str], count: int) -> sa.Case[int]:
    """0 for the worst severity; those that are not named come last."""
    ranks = [(severity == sa.bindparam(f"rank_{number}"), number) for number in range(count)]
    return sa.case(*ranks, else_=count)


def _summary(row: sa.RowMapping) -> Summary:
    values: dict[str, Any] = {name: row[name] for name in Summary.__slots__}
    values["services"] = tuple(json.loads(row["services"]))
    values["tags"] = tuple(json.loads(row["tags"]))
    for name in _TIMES:
        values[name] = utc_from_text(row[name]) if row[name] else None
    return Summary(**values)
