"""The statements of every append, and of every look at an incident, each compiled once.

SQLAlchemy finds the compiled form of a statement anew at every use, which costs more than
SQLite needs to run it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from typing import Any

import sqlalchemy as sa

from imtkit.store.schema import entries, heads, incidents

_OF = entries.c.incident == sa.bindparam("of")
_ENDS = (
    sa.select(
        entries.c.n,
        entries.c.hash,
        sa.select(sa.func.max(entries.c.seq)).scalar_subquery().label("seq"),
    )
    .where(_OF)
    .order_by(entries.c.n.desc())
    .limit(1)
)
_MOVE_HEAD = (
    sa.update(heads)
    .where(heads.c.incident == sa.bindparam("of"))
    .values(n=sa.bindparam("to_n"), hash=sa.bindparam("to_hash"))
)
_OF_INCIDENT = sa.select(entries).where(_OF).order_by(entries.c.n)
_TAKE_ROW = sa.delete(incidents).where(incidents.c.id == sa.bindparam("of"))
_NUMBER = sa.select(sa.func.max(incidents.c.number)).where(
    incidents.c.year == sa.bindparam("in_year")
)
_NEWEST = sa.select(sa.func.max(entries.c.seq))
_BY_KEY = sa.select(entries).where(entries.c.key == sa.bindparam("key"))
KEYS = 32
"""How many keys one statement asks for: with fewer, the last stands there more than once."""
_SLOTS = tuple(f"key{number}" for number in range(KEYS))
_BY_KEYS = sa.select(entries).where(entries.c.key.in_([sa.bindparam(slot) for slot in _SLOTS]))


@dataclass(frozen=True, slots=True)
class Prepared:
    """One statement in a dialect's own words, and the order its values are wanted in."""

    text: str
    names: tuple[str, ...] | None
    fixed: Mapping[str, Any]

    def run(
        self, connection: sa.Connection, values: Mapping[str, Any] | None = None
    ) -> sa.CursorResult[Any]:
        """Run it once."""
        return connection.exec_driver_sql(self.text, self._ordered(values or {}))

    def run_each(self, connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run it for each of several rows."""
        if len(rows) == 1:
            self.run(connection, rows[0])
        elif rows:
            each = [self._ordered(row) for row in rows]
            connection.exec_driver_sql(self.text, each)

    def _ordered(self, values: Mapping[str, Any]) -> tuple[Any, ...] | dict[str, Any]:
        given = {**self.fixed, **values}
        return given if self.names is None else tuple(given[name] for name in self.names)


@dataclass(frozen=True, slots=True)
class Statements:
    """What is asked of the database all the time, in the words of one dialect."""

    newest: Prepared
    ends: Prepared
    by_key: Prepared
    by_keys: Prepared
    insert: Prepared
    insert_head: Prepared
    move_head: Prepared
    of_incident: Prepared
    number: Prepared
    take_row: Prepared
    put_row: Prepared

    def keyed(self, connection: sa.Connection, keys: Collection[str]) -> Iterator[sa.RowMapping]:
        """The rows of the entries that are stored under any of these keys."""
        wanted = list(dict.fromkeys(keys))
        for place in range(0, len(wanted), KEYS):
            few = wanted[place : place + KEYS]
            if len(few) == 1:
                found = self.by_key.run(connection, {"key": few[0]})
            else:
                told = dict(zip_longest(_SLOTS, few, fillvalue=few[-1]))
                found = self.by_keys.run(connection, told)
            yield from found.mappings()


def prepare(statement: sa.ClauseElement, dialect: sa.Dialect) -> Prepared:
    """A statement in a dialect's words; its values are those of its ``bindparam``s."""
    compiled = statement.compile(dialect=dialect)
    order: Sequence[str] | None = getattr(compiled, "positiontup", None)
    names = None if order is None else tuple(order)
    return Prepared(str(compiled), names, dict(compiled.params))


def statements_for(dialect: sa.Dialect) -> Statements:
    """The statements in a dialect's words."""
    worded = partial(prepare, dialect=dialect)
    return Statements(
        newest=worded(_NEWEST),
        ends=worded(_ENDS),
        by_key=worded(_BY_KEY),
        by_keys=worded(_BY_KEYS),
        insert=worded(sa.insert(entries)),
        insert_head=worded(sa.insert(heads)),
        move_head=worded(_MOVE_HEAD),
        of_incident=worded(_OF_INCIDENT),
        number=worded(_NUMBER),
        take_row=worded(_TAKE_ROW),
        put_row=worded(sa.insert(incidents)),
    )
