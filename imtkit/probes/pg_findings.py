"""What the figures of a PostgreSQL server mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from imtkit.model.words import counted, one_line
from imtkit.probes.findings import Finding, Findings, Level, level_of
from imtkit.probes.pg_facts import (
    Bloat,
    Connections,
    Holder,
    Locks,
    Reach,
    Replication,
    Session,
    Statements,
    Transactions,
)
from imtkit.probes.tables import bytes_text, mix_text, seconds_text, share_text

Facts = Reach | Connections | Locks | Transactions | Replication | Bloat | Statements

_MIB = 1024.0**2


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on it is a warning, and from where on critical.

    Shares are between 0 and 1, times in seconds, sizes in bytes. A replica's lag in bytes
    matters where its time is not known. Tables with fewer than ``dead_rows`` dead rows are not
    judged. ``age`` counts transaction ids; a database stops taking them at 2 147 million.
    """

    connections_warning: float = 0.8
    connections_critical: float = 0.95
    wait_warning: float = 5.0
    wait_critical: float = 60.0
    transaction_warning: float = 300.0
    transaction_critical: float = 3600.0
    idle_warning: float = 60.0
    idle_critical: float = 600.0
    lag_warning: float = 10.0
    lag_critical: float = 120.0
    lag_bytes_warning: float = 64 * _MIB
    lag_bytes_critical: float = 1024 * _MIB
    slot_bytes_warning: float = 1024 * _MIB
    slot_bytes_critical: float = 10240 * _MIB
    dead_rows: int = 10_000
    dead_warning: float = 0.2
    dead_critical: float = 0.5
    age_warning: int = 500_000_000
    age_critical: int = 1_500_000_000
    statement_warning: float = 5.0
    statement_critical: float = 60.0
    mean_warning: float = 1.0


def diagnose(facts: Facts | None, limits: Limits = Limits()) -> Findings:
    """What one group of figures says; 'ok' with the figures themselves when nothing is wrong.

    Of None (it could not be asked) nothing is said at all.
    """
    match facts:
        case None:
            return Findings()
        case Reach():
            found = _reach(facts)
        case Connections():
            found = _connections(facts, limits)
        case Locks():
            found = _locks(facts, limits)
        case Transactions():
            found = _transactions(facts, limits)
        case Replication():
            found = _replication(facts, limits)
        case Bloat():
            found = _bloat(facts, limits)
        case Statements():
            found = _statements(facts, limits)
    return Findings(found)


def _reach(reach: Reach) -> Iterator[Finding]:
    if not reach.is_up:
        yield Finding("critical", "PostgreSQL does not let us in.", reach.error, reach.hint)
        return
    kind = "a replica" if reach.is_replica else "a primary"
    since = f"{reach.started_at:%Y-%m-%d %H:%M} UTC" if reach.started_at else "an unknown time"
    yield Finding(
        "ok",
        f"PostgreSQL {reach.version} lets us in after {seconds_text(reach.seconds)}.",
        f"it is {kind}, up since {since}",
    )
    if not reach.sees_all:
        yield Finding(
            "warning",
            f"User '{reach.user}' sees only its own sessions' details.",
            "it is neither a superuser nor a member of pg_monitor; locks and statements of "
            "others may be missing below",
            f'An administrator can help: GRANT pg_monitor TO "{reach.user}";',
        )


def _connections(facts: Connections, limits: Limits) -> Iterator[Finding]:
    level = level_of(facts.share, limits.connections_warning, limits.connections_critical)
    room = facts.most - facts.reserved
    used = f"{facts.used} of {room} connections are taken ({share_text(facts.share)})"
    first, count = max(
        facts.by_client.items(), key=lambda item: (item[1], item[0]), default=("nobody", 0)
    )
    yield Finding(
        level,
        f"{used}.",
        f"{mix_text(facts.by_state)}; {facts.reserved} more are reserved; "
        f"most by {one_line(first)}: {count}",
        ""
        if level == "ok"
        else "See whether that client leaks connections or lacks a pool; end its idle sessions "
        "before raising max_connections.",
    )


def _locks(facts: Locks, limits: Limits) -> Iterator[Finding]:
    if not facts.waiting:
        yield Finding("ok", "Nobody waits for a lock.")
        return
    roots = [one for one in facts.roots if facts.held_up_by(one.session.pid)]
    for root in roots:
        yield _chain(facts, root, limits)
    held = {pid for root in roots for pid in facts.held_up_by(root.session.pid)}
    others = [one for one in facts.waiting if one.session.pid not in held]
    if others:
        longest = others[0].waited_seconds or 0.0
        yield Finding(
            level_of(longest, limits.wait_warning, limits.wait_critical),
            f"{counted(len(others), 'session')} waiting for locks that nobody here holds alone.",
            f"longest {seconds_text(longest)}; they wait in a circle (PostgreSQL ends one of "
            "them after deadlock_timeout) or for a prepared transaction",
            "Look again in a few seconds; then at pg_prepared_xacts.",
        )


def _chain(facts: Locks, root: Holder, limits: Limits) -> Finding:
    held = facts.held_up_by(root.session.pid)
    longest = next(one for one in facts.waiting if one.session.pid in held)
    waited = longest.waited_seconds or 0.0
    if root.session.state.startswith("idle in transaction"):
        advice = "Its client forgot to end the transaction: ask its owner, or end the session."
    else:
        advice = "Let it finish if it soon will; else ask its owner, or cancel it."
    return Finding(
        level_of(waited, limits.wait_warning, limits.wait_critical),
        f"pid {root.session.pid} keeps {counted(len(held), 'session')} waiting, "
        f"the longest for {seconds_text(waited)}.",
        f"the holder: {root.session.text}; the one that waits longest wants "
        f"{longest.waits_for} for: {one_line(longest.session.query, most=80)}",
        advice,
    )


def _transactions(facts: Transactions, limits: Limits) -> Iterator[Finding]:
    found = False
    for session in facts.sessions:
        finding = _transaction(session, limits)
        if finding is not None:
            found = True
            yield finding
    if not found:
        ages = [one.transaction_seconds or 0.0 for one in facts.sessions]
        oldest = f"oldest {seconds_text(max(ages))}" if ages else "none is open"
        yield Finding("ok", "No transaction is open too long.", oldest)


def _transaction(session: Session, limits: Limits) -> Finding | None:
    age = session.transaction_seconds or 0.0
    if session.state.startswith("idle in transaction"):
        idle = session.state_seconds or 0.0
        level = level_of(idle, limits.idle_warning, limits.idle_critical)
        what = f"pid {session.pid} has idled in an open transaction for {seconds_text(idle)}."
        advice = "Its client waits or forgot it: ask its owner, or end the session."
    elif session.state == "prepared":
        level = level_of(age, limits.idle_warning, limits.idle_critical)
        what = f"A prepared transaction has been open for {seconds_text(age)}."
        advice = "Its coordinator decides it: COMMIT PREPARED or ROLLBACK PREPARED."
    else:
        level = level_of(age, limits.transaction_warning, limits.transaction_critical)
        what = f"pid {session.pid} has worked in one transaction for {seconds_text(age)}."
        advice = "See whether it is meant (a dump, a migration); it keeps vacuum from cleaning."
    return None if level == "ok" else Finding(level, what, session.text, advice)


def _replication(facts: Replication, limits: Limits) -> Iterator[Finding]:
    found = [*_replay(facts, limits), *_standbys(facts, limits), *_slots(facts, limits)]
    yield from found
    if not found:
        kind = "replica" if facts.is_replica else "primary"
        readers = f"{counted(len(facts.standbys), 'standby')}, {counted(len(facts.slots), 'slot')}"
        yield Finding("ok", "Nothing lags in replication.", f"this is a {kind}; {readers}")


def _replay(facts: Replication, limits: Limits) -> Iterator[Finding]:
    replay = facts.replay
    if replay is None:
        return
    behind = _behind(replay.behind_seconds, replay.behind_bytes)
    level = _lag_level(replay.behind_seconds, replay.behind_bytes, limits)
    if replay.is_paused:
        advice = "Somebody paused it: pg_wal_replay_resume() goes on."
        yield Finding("critical", "Replay is paused on this replica.", behind, advice)
    elif level != "ok":
        advice = "Look at its disk and CPU, and for long queries that hold replay back."
        yield Finding(level, "This replica is behind.", behind, advice)
    if not replay.is_streaming:
        advice = "See whether the primary runs, and what this replica's log says of it."
        yield Finding("critical", "This replica receives nothing from its primary.", behind, advice)


def _standbys(facts: Replication, limits: Limits) -> Iterator[Finding]:
    for one in facts.standbys:
        level = _lag_level(one.behind_seconds, one.behind_bytes, limits)
        if level != "ok":
            yield Finding(
                level,
                f"Standby '{one.name}' is behind.",
                f"{_behind(one.behind_seconds, one.behind_bytes)}; state {one.state}, {one.client}",
                "Look at the standby's disk and network, and for long queries on it.",
            )


def _slots(facts: Replication, limits: Limits) -> Iterator[Finding]:
    for one in facts.slots:
        kept = one.retained_bytes or 0.0
        level = level_of(kept, limits.slot_bytes_warning, limits.slot_bytes_critical)
        grounds = f"it retains {bytes_text(kept)} of WAL; status {one.wal_status or 'unknown'}"
        if one.wal_status == "lost":
            advice = "What reads it must be built anew; then drop the slot."
            yield Finding("critical", f"Slot '{one.name}' has lost its WAL.", grounds, advice)
        elif level != "ok" or not one.is_active:
            state = "is in use, far behind" if one.is_active else "is used by nobody"
            yield Finding(
                level if level == "critical" else "warning",
                f"Replication slot '{one.name}' {state}.",
                grounds,
                "Bring its reader back, or drop the slot if nobody needs it: it fills the disk.",
            )


def _lag_level(seconds: float | None, size: float | None, limits: Limits) -> Level:
    if seconds is not None:
        return level_of(seconds, limits.lag_warning, limits.lag_critical)
    return level_of(size or 0.0, limits.lag_bytes_warning, limits.lag_bytes_critical)


def _behind(seconds: float | None, size: float | None) -> str:
    time = "an unknown time" if seconds is None else seconds_text(seconds)
    return f"{time} and {'unknown bytes' if size is None else bytes_text(size)} behind"


def _bloat(facts: Bloat, limits: Limits) -> Iterator[Finding]:
    found = False
    for table in facts.tables:
        level = level_of(table.dead_share, limits.dead_warning, limits.dead_critical)
        if table.dead < limits.dead_rows or level == "ok":
            continue
        found = True
        last = f"{table.vacuumed_at:%Y-%m-%d %H:%M} UTC" if table.vacuumed_at else "never"
        reason = "" if table.has_autovacuum else "; autovacuum is switched off for it"
        yield Finding(
            level,
            f"{share_text(table.dead_share)} of the rows in {table.name} are dead.",
            f"{table.dead} dead, {table.live} live, {bytes_text(table.bytes)}; "
            f"last vacuumed {last}{reason}",
            "Find what keeps vacuum from it (long transactions, a slot, a switch), then VACUUM it.",
        )
    for one in facts.wraparound:
        level = level_of(one.age, limits.age_warning, limits.age_critical)
        if level != "ok":
            found = True
            yield Finding(
                level,
                f"Database '{one.database}' nears transaction id wraparound.",
                f"its oldest transaction id is {one.age / 1e6:.0f} million old, of 2147 million",
                "Find what holds vacuum back, then VACUUM (FREEZE) its oldest tables.",
            )
    if not found:
        worst = max((one.age for one in facts.wraparound), default=0)
        seen = f"{counted(len(facts.tables), 'table')} looked at"
        grounds = f"{seen}; oldest transaction id {worst / 1e6:.1f} million old"
        yield Finding("ok", "Vacuum keeps up.", grounds)


def _statements(facts: Statements, limits: Limits) -> Iterator[Finding]:
    found = False
    for one in facts.running:
        seconds = one.statement_seconds or 0.0
        level = level_of(seconds, limits.statement_warning, limits.statement_critical)
        if level != "ok":
            found = True
            what = f"pid {one.pid} has run one statement for {seconds_text(seconds)}."
            advice = "EXPLAIN it; cancel it if it may be cancelled."
            if one.waits_on.startswith("Lock"):
                advice = "It waits for a lock: see who holds that."
            yield Finding(level, what, one.text, advice)
    for statement in facts.slow:
        if statement.mean_seconds >= limits.mean_warning:
            found = True
            yield Finding(
                "warning",
                f"A statement takes {seconds_text(statement.mean_seconds)} on average.",
                f"{statement.calls} calls, {seconds_text(statement.total_seconds)} in all, "
                f"longest {seconds_text(statement.longest_seconds)}: "
                f"{one_line(statement.query, most=100)}",
                "EXPLAIN (ANALYZE, BUFFERS) it on a copy; look for a missing index.",
            )
    grounds = f"{len(facts.running)} run now; {facts.missing or 'statistics are recorded'}"
    if not found:
        yield Finding("ok", "No statement is slow.", grounds)
