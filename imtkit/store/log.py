"""The log: append, read, list."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from imtkit.contracts import Clock, Decide, Fault, Head, Query
from imtkit.errors import ChainError, InputError, NotFoundError, StoreError, StoreVersionError
from imtkit.model.entries import CATALOGUE, WORKSPACE, Draft, Entry, utc_from_text, utc_text
from imtkit.model.expected import Took
from imtkit.model.fold import fold, foreseen
from imtkit.model.incident import Incident, Run, Summary
from imtkit.store import history, projection
from imtkit.store.chain import canonical, hash_of
from imtkit.store.engine import PostgresEngine, SqliteEngine
from imtkit.store.schema import VERSION, entries, heads, incidents
from imtkit.store.statements import statements_for
from imtkit.store.verify import first_faults

_PAGE = 2_000
"""How many entries are read at a time when all are."""

_RUNS_KNOWN = 5_000
"""Of how many runs it is kept in memory how long they took."""

_RUN_STANDS = ("run.requested", "run.started", "run.parked", "run.resumed", "run.finished")


class SqlStore:
    """The append-only log in a database (contracts.Store)."""

    def __init__(self, engine: SqliteEngine | PostgresEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._ask = statements_for(engine.dialect)
        self._took: dict[str, Took] = {}

    # Writing

    def append(self, incident: str, *drafts: Draft) -> list[Entry]:
        """Store drafts as the incident's next entries; they are on disk when this returns.

        A draft whose ``key`` is known adds nothing and returns the entry stored first.
        NotFoundError for an incident that was never opened.
        """
        return self.append_each({incident: drafts})[incident]

    def append_each(self, drafts: Mapping[str, Sequence[Draft]]) -> dict[str, list[Entry]]:
        """The same for several incidents in one write: all of it is on disk, or nothing."""
        told = {incident: _told(each) for incident, each in drafts.items()}
        with self._engine.writing() as connection:
            return {
                incident: self._store(connection, incident, each) for incident, each in told.items()
            }

    def change(self, incident: str, decide: Decide) -> list[Entry]:
        """Append what ``decide`` says of the incident as it stands, nobody writing between."""
        with self._engine.writing() as connection:
            stands = fold(incident, self._known(connection, incident))
            return self._store(connection, incident, _told(decide(stands)))

    def open_incident(self, draft: Draft) -> Entry:
        """Store an opening under the year's next free id, such as INC-2026-0042."""
        first = self.find(draft.key) if draft.key is not None else None
        return first or self.open_with(draft, lambda _: ())[0]

    def open_with(self, draft: Draft, decide: Decide) -> list[Entry]:
        """Store an opening, and what ``decide`` says of its incident then, in one write."""
        _told([draft])  # what cannot be stored is refused before it is anybody's turn
        with self._engine.writing() as connection:
            first = self._by_key(connection, draft.key)
            if first is not None:
                stands = fold(first.incident, self._known(connection, first.incident))
                return [first, *self._store(connection, first.incident, _told(decide(stands)))]
            id_ = projection.next_id(connection, self._ask, self._clock.now().year)
            stands = foreseen(Incident(id_), [draft], self._clock.now())
            return self._store(connection, id_, _told([draft, *decide(stands)]), is_new=True)

    def _store(
        self,
        connection: sa.Connection,
        incident: str,
        told: Sequence[tuple[Draft, str]],
        *,
        is_new: bool = False,
    ) -> list[Entry]:
        ends = self._ask.ends.run(connection, {"of": incident}).one_or_none()
        if ends is None and not is_new and incident != WORKSPACE:
            raise self._unknown(connection, incident)
        newest = ends.seq if ends else self._ask.newest.run(connection).scalar()
        place = (newest or 0, ends.n, ends.hash) if ends else (newest or 0, 0, "")
        stored: list[Entry] = []
        rows: list[dict[str, Any]] = []
        keys = [draft.key for draft, _ in told if draft.key is not None]
        known = self._by_keys(connection, keys)
        for draft, text in told:
            first = None if draft.key is None else known.get(draft.key)
            if first is None:
                row = self._row(draft, text, incident, place)
                place = (row["seq"], row["n"], row["hash"])
                rows.append(row)
                first = _entry(row)
                if draft.key is not None:
                    known[draft.key] = first
            stored.append(first)
        if rows:
            self._ask.insert.run_each(connection, rows)
            self._move_head(connection, incident, place[1], place[2])
            if any(_shows_in_lists(row) for row in rows) and incident != WORKSPACE:
                whole = self._read(connection, incident) if ends else map(_entry, rows)
                projection.write(connection, self._ask, fold(incident, whole))
        return stored

    def _row(
        self, draft: Draft, data: str, incident: str, place: tuple[int, int, str]
    ) -> dict[str, Any]:
        now = self._clock.now()
        seq, n, prev = place
        row: dict[str, Any] = {
            "seq": seq + 1,
            "incident": incident,
            "n": n + 1,
            "type": draft.type,
            "occurred_at": utc_text(draft.occurred_at or now),
            "zone": draft.zone,
            "recorded_at": utc_text(now),
            "actor": draft.actor,
            "source": draft.source,
            "visibility": draft.visibility,
            "data": data,
            "key": draft.key,
            "prev": prev,
        }
        row["hash"] = hash_of(row)
        return row

    def _move_head(self, connection: sa.Connection, incident: str, n: int, hash_: str) -> None:
        moved = {"of": incident, "to_n": n, "to_hash": hash_}
        if n == 1 or self._ask.move_head.run(connection, moved).rowcount == 0:
            row = {"incident": incident, "n": n, "hash": hash_}
            self._ask.insert_head.run(connection, row)

    def _unknown(self, connection: sa.Connection, incident: str) -> NotFoundError:
        newest = (incidents.c.year.desc(), incidents.c.number.desc())
        recent = sa.select(incidents.c.id).order_by(*newest).limit(500)
        return NotFoundError.of("Incident", incident, connection.execute(recent).scalars())

    def _by_key(self, connection: sa.Connection, key: str | None) -> Entry | None:
        if key is None:
            return None
        row = self._ask.by_key.run(connection, {"key": key}).one_or_none()
        return _entry(row._mapping) if row else None

    def _by_keys(self, connection: sa.Connection, keys: Collection[str]) -> dict[str, Entry]:
        return {str(row["key"]): _entry(row) for row in self._ask.keyed(connection, keys)}

    # Reading

    def entries(
        self,
        incident: str | None = None,
        *,
        after: int = 0,
        limit: int | None = None,
        types: Collection[str] = (),
    ) -> Iterator[Entry]:
        """Entries of one incident past position ``after``, or of all past ``seq`` ``after``; of
        these ``types``, where any are named.
        """
        place = entries.c.seq if incident is None else entries.c.n
        wanted = sa.select(entries).order_by(place)
        if incident is not None:
            wanted = wanted.where(entries.c.incident == incident)
        if types:
            wanted = wanted.where(entries.c.type.in_(types))
        left = limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(_PAGE, left)
            with self._engine.reading() as connection:
                page = connection.execute(wanted.where(place > after).limit(size)).all()
            for row in page:
                yield _entry(row._mapping)
            if len(page) < size:
                return
            after = page[-1].seq if incident is None else page[-1].n
            left = None if left is None else left - len(page)

    def find(self, *keys: str) -> Entry | None:
        """The entry stored under the first of these idempotency keys that is there."""
        with self._engine.reading() as connection:
            found = (self._by_key(connection, key) for key in keys)
            return next((entry for entry in found if entry is not None), None)

    def found(self, keys: Collection[str]) -> dict[str, Entry]:
        """The entries that are stored under these idempotency keys, by key; asked for together."""
        with self._engine.reading() as connection:
            return self._by_keys(connection, keys)

    def newest(self, incident: str) -> Entry | None:
        """The last entry of an incident's chain, or of the workspace's; None without any."""
        wanted = sa.select(entries).where(entries.c.incident == incident)
        with self._engine.reading() as connection:
            row = connection.execute(wanted.order_by(entries.c.n.desc()).limit(1)).one_or_none()
        return _entry(row._mapping) if row else None

    def incident(self, incident: str) -> Incident:
        """The incident as its entries say it is; NotFoundError names the nearest id."""
        with self._engine.reading() as connection:
            return fold(incident, self._known(connection, incident))

    def _known(self, connection: sa.Connection, incident: str) -> list[Entry]:
        found = self._read(connection, incident)
        if not found and incident != WORKSPACE:
            raise self._unknown(connection, incident)
        return found

    def _read(self, connection: sa.Connection, incident: str) -> list[Entry]:
        rows = self._ask.of_incident.run(connection, {"of": incident})
        return [_entry(row) for row in rows.mappings()]

    def incidents(self, query: Query | None = None) -> list[Summary]:
        """Incidents that a query asks for, newest first or, where it says so, worst first."""
        with self._engine.reading() as connection:
            return projection.read(connection, query or Query())

    def runs(self, statuses: Collection[str]) -> list[Run]:
        """The runs of all incidents of these statuses, without what their steps came to.

        Only what says how runs stand is read: much less than the incidents, of which a storm
        opens thousands.
        """
        wanted = (
            sa.select(entries)
            .join(incidents, incidents.c.id == entries.c.incident)
            .where(incidents.c.status.in_(statuses), entries.c.type.in_(_RUN_STANDS))
            .order_by(entries.c.incident, entries.c.n)
        )
        with self._engine.reading() as connection:
            read = [_entry(row._mapping) for row in connection.execute(wanted)]
        each = groupby(read, key=lambda entry: entry.incident)
        return [run for incident, own in each for run in fold(incident, own).runs]

    def completed_runs(self, runbook: str, *, limit: int = 10) -> list[Took]:
        """How long a runbook's runs took that completed, newest first.

        They are looked for among the newest 1,000 runs of all. ChainError when one is damaged.
        """
        if len(self._took) > _RUNS_KNOWN:
            self._took = {}
        with self._engine.reading() as connection:
            try:
                return list(history.completed_runs(connection, runbook, limit, self._took))
            except (ValueError, TypeError, AttributeError, KeyError) as error:
                raise ChainError(
                    f"A run of '{runbook}' cannot be read: {error!r}",
                    hint="See what is damaged with: imt store verify",
                ) from error

    def heads(self) -> list[Head]:
        """The end of every chain, as the entries have it."""
        last = sa.select(entries.c.incident, sa.func.max(entries.c.n).label("n")).group_by(
            entries.c.incident
        )
        ends = last.subquery()
        wanted = sa.select(entries.c.incident, entries.c.n, entries.c.hash).join(
            ends, (entries.c.incident == ends.c.incident) & (entries.c.n == ends.c.n)
        )
        with self._engine.reading() as connection:
            return [Head(row.incident, row.n, row.hash) for row in connection.execute(wanted)]

    # Care

    def verify(self, anchors: Sequence[Head] = ()) -> list[Fault]:
        """What is wrong with the log, first fault first; empty when every entry stands.

        ``anchors`` are heads kept outside (in records, in a file): only they show a cut tail
        to somebody who does not trust the database.
        """
        with self._engine.snapshot() as connection:
            kept = {
                str(row.incident): Head(str(row.incident), row.n, row.hash)
                for row in connection.execute(sa.select(heads))
            }
            wanted = sa.select(entries).order_by(entries.c.seq)
            rows = connection.execution_options(yield_per=_PAGE).execute(wanted)
            return first_faults((row._mapping for row in rows), kept, anchors)

    def missing_rules(self) -> list[str]:
        """The triggers that keep entries from being changed and are gone from the database."""
        with self._engine.reading() as connection:
            found = set(connection.exec_driver_sql(self._engine.rules_query).scalars())
        return sorted(set(self._engine.rules) - found)

    def stale_lists(self) -> list[str]:
        """Ids of incidents that lists show otherwise than the log does, or do not show."""
        with self._engine.snapshot() as connection:
            of = entries.c.incident
            known = connection.execute(sa.select(of).where(of != WORKSPACE).distinct()).scalars()
            folded = (fold(id_, self._read(connection, id_)) for id_ in known.all())
            return projection.differing(connection, folded)

    def rebuild(self) -> int:
        """Compute lists and heads anew from the log; the number of incidents."""
        with self._engine.writing() as connection:
            connection.execute(sa.delete(incidents))
            connection.execute(sa.delete(heads))
            known = connection.execute(sa.select(entries.c.incident).distinct()).scalars().all()
            for incident in known:
                whole = self._read(connection, incident)
                self._move_head(connection, incident, whole[-1].n, whole[-1].hash)
                if incident != WORKSPACE:
                    projection.write(connection, self._ask, fold(incident, whole))
        return sum(incident != WORKSPACE for incident in known)

    def prepare(self, *, is_migrating: bool = False) -> None:
        """See that the tables are this version's; an empty database gets them."""
        version = self._version()
        if version is None:
            self.migrate()
        elif version != VERSION and not is_migrating:
            newer = version > VERSION
            raise StoreVersionError(
                f"The log {self._engine.name} has tables of version {version}; "
                f"this imtkit works with {VERSION}.",
                hint="Upgrade imtkit." if newer else "Run: imt store migrate",
            )

    def _version(self) -> str | None:
        with self._engine.reading() as connection:
            # Asked first: another process may just be making both.
            has_entries = sa.inspect(connection).has_table("entries")
            if not sa.inspect(connection).has_table("alembic_version"):
                if has_entries:
                    raise StoreError(f"{self._engine.name} holds tables that are not imtkit's.")
                return None
            found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
            return None if found is None else str(found)

    def migrate(self) -> list[str]:
        """Bring the tables to this version; the versions that were stepped to."""
        from imtkit.store.migrations.steps import upgrade

        version = self._version()
        if version is not None and version > VERSION:
            raise StoreVersionError(
                f"The log {self._engine.name} has tables of version {version}, "
                f"newer than this imtkit's {VERSION}.",
                hint="Upgrade imtkit.",
            )
        with self._engine.writing() as connection:
            return upgrade(connection)

    def close(self) -> None:
        """Let go of connections."""
        self._engine.close()


def _told(drafts: Sequence[Draft]) -> list[tuple[Draft, str]]:
    """Drafts with their data as it is stored; before it is anybody's turn to write."""
    return [(draft, canonical(draft.data, draft.type).decode()) for draft in drafts]


def _shows_in_lists(row: Mapping[str, Any]) -> bool:
    known = CATALOGUE.get(row["type"])
    return (known is not None and known.changes_summary) or '"supersedes":' in row["data"]


def _entry(row: Mapping[Any, Any]) -> Entry:
    """The entry in a row; ChainError when somebody damaged the row so that it holds none."""
    try:
        return _entry_as_stored(row)
    except (ValueError, TypeError, AttributeError, RecursionError, InputError) as error:
        raise ChainError(
            f"Entry {row['n']} of {row['incident']} is damaged and cannot be read: {error}",
            hint="See all that is damaged with: imt store verify",
        ) from error


def _entry_as_stored(row: Mapping[Any, Any]) -> Entry:
    data = json.loads(row["data"])
    if not isinstance(data, dict):
        raise TypeError("its data is not a table.")
    return Entry(
        seq=row["seq"],
        incident=row["incident"],
        n=row["n"],
        type=row["type"],
        occurred_at=utc_from_text(row["occurred_at"]),
        zone=row["zone"],
        recorded_at=utc_from_text(row["recorded_at"]),
        actor=row["actor"],
        source=row["source"],
        visibility=row["visibility"],
        data=data,
        key=row["key"],
        prev=row["prev"],
        hash=row["hash"],
    )
