"""A PostgreSQL server's own figures: sessions, locks, replication, bloat, statements.

The only door to psycopg. PostgreSQL 13 and newer; the role ``pg_monitor`` is enough. A session
of ours reads only, waits for no lock, and gives up on its own after a few seconds.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, LiteralString

from imtkit.errors import InputError, ServiceDownError, ServiceError
from imtkit.probes import pg_queries as sql
from imtkit.probes.pg_facts import (
    Bloat,
    Connections,
    Holder,
    Locks,
    Reach,
    Replay,
    Replication,
    Session,
    Slot,
    Standby,
    Statement,
    Statements,
    Table,
    Transactions,
    Wraparound,
)
from imtkit.probes.pg_findings import Facts, Limits, diagnose

if TYPE_CHECKING:
    import psycopg

__all__ = [
    "Facts",
    "Limits",
    "bloat",
    "connect",
    "connections",
    "diagnose",
    "end_session",
    "locks",
    "reach",
    "replication",
    "statements",
    "transactions",
]

Row = Mapping[str, Any]

NAME = "imtkit"
_DRIVER = re.compile(r"^(postgres(?:ql)?)\+\w+://")


@contextmanager
def connect(
    dsn: str, *, timeout_seconds: float = 5.0, statement_timeout_seconds: float = 10.0
) -> Iterator[psycopg.Connection[Row]]:
    """A read-only session, closed afterwards; each statement commits by itself.

    ``dsn`` is a postgresql:// URL (SQLAlchemy's postgresql+psycopg:// too) or libpq's
    key=value text. ServiceDownError when nobody answers or no session is free, ServiceError
    when the server refuses us, InputError when the DSN cannot be read. No error holds the DSN.
    """
    import psycopg
    from psycopg.rows import dict_row

    info = _conninfo(dsn, timeout_seconds)
    try:
        connection = psycopg.connect(info, autocommit=True, row_factory=dict_row)
    except psycopg.Error as exc:
        raise _refusal(exc) from exc
    with connection:
        for name, value in (
            ("default_transaction_read_only", "on"),
            ("statement_timeout", f"{statement_timeout_seconds * 1000:.0f}"),
            ("lock_timeout", "1000"),
        ):
            rows(connection, sql.SETTING, {"name": name, "value": value})
        yield connection


def _conninfo(dsn: str, timeout_seconds: float) -> str:
    import psycopg
    from psycopg.conninfo import make_conninfo

    try:
        return make_conninfo(
            _DRIVER.sub(r"\1://", dsn),
            connect_timeout=max(
                2, round(timeout_seconds)
            ),  # libpq counts whole seconds, 2 at least
            application_name=NAME,
        )
    except psycopg.ProgrammingError:
        # libpq repeats what it could not read, and that may hold the password.
        raise InputError(
            "The PostgreSQL DSN cannot be read.",
            hint="Write postgresql://USER@HOST:5432/DATABASE.",
        ) from None


_REFUSALS = (
    # what the server or libpq says, whether it is down, what to do next
    (
        r"too many clients|remaining connection slots|too many connections",
        True,
        "Every connection is taken. End idle sessions at their clients or their pooler; a "
        "superuser has reserved connections.",
    ),
    (r"is starting up|not yet accepting", True, "It is recovering: watch its log, try again."),
    (r"is shutting down", True, "Somebody is stopping it, or it crashed: read its log."),
    (r"[Cc]onnection refused", True, "See whether the server runs and listens on that port."),
    (r"[Nn]o such file or directory", True, "No server has its socket there; is it running?"),
    (r"timeout|timed out", True, "Nobody answers: look at the host, the network, a firewall."),
    (r"translate host name|resolve|Name or service", True, "Check the host's name in the DSN."),
    (r"password|authentication|no pg_hba.conf", False, "Check user and password in the DSN."),
    (r"database .* does not exist|role .* does not exist", False, "Check the names in the DSN."),
)


def _refusal(exc: psycopg.Error) -> ServiceError:
    """What a failed connection means. The words are those of libpq and the server in English."""
    told = " ".join(str(exc).split())
    for pattern, is_down, hint in _REFUSALS:
        if re.search(pattern, told):
            kind = ServiceDownError if is_down else ServiceError
            return kind(f"PostgreSQL: {told}", hint=hint, retryable=is_down)
    hint = "Read the server's log; if it says nothing, look at the network between."
    return ServiceDownError(f"PostgreSQL: {told}", hint=hint, retryable=True)


def rows(
    connection: psycopg.Connection[Row], query: LiteralString, values: Row | None = None
) -> list[Row]:
    """The rows of one query. ServiceDownError when the session is gone, else ServiceError."""
    import psycopg

    try:
        return connection.execute(query, values or {}).fetchall()
    except psycopg.errors.QueryCanceled as exc:
        raise ServiceError(
            "PostgreSQL did not answer a question about itself in time.",
            hint="The server is very busy. Ask again, or look at its host.",
            retryable=True,
        ) from exc
    except psycopg.errors.InsufficientPrivilege as exc:
        raise ServiceError(
            f"PostgreSQL does not let this user see that: {exc}",
            hint="An administrator can help: GRANT pg_monitor TO that user.",
        ) from exc
    except psycopg.OperationalError as exc:
        raise _refusal(exc) from exc
    except psycopg.Error as exc:
        raise ServiceError(f"PostgreSQL could not answer: {' '.join(str(exc).split())}") from exc


def reach(dsn: str, *, timeout_seconds: float = 5.0) -> Reach:
    """Whether the server lets us in, how long that takes, and what it is.

    A server that is down is an answer here, not an error; InputError for a DSN that cannot be
    read.
    """
    began = time.perf_counter()
    try:
        with connect(dsn, timeout_seconds=timeout_seconds) as connection:
            seconds = time.perf_counter() - began
            return Reach(is_up=True, seconds=seconds, **rows(connection, sql.SERVER)[0])
    except ServiceError as exc:
        seconds = time.perf_counter() - began
        return Reach(is_up=False, seconds=seconds, error=str(exc), hint=exc.hint)


def connections(connection: psycopg.Connection[Row]) -> Connections:
    """Who is connected, by state and by client, against how many may be."""
    room = rows(connection, sql.ROOM)[0]
    groups = rows(connection, sql.SESSIONS_BY_GROUP)
    states: dict[str, int] = {}
    clients: dict[str, int] = {}
    for row in groups:
        states[row["state"]] = states.get(row["state"], 0) + row["count"]
        clients[row["client"]] = clients.get(row["client"], 0) + row["count"]
    return Connections(
        used=sum(states.values()),
        most=room["most"],
        reserved=room["reserved"],
        by_state=states,
        by_client=clients,
    )


def locks(connection: psycopg.Connection[Row]) -> Locks:
    """Who waits for a lock and who holds it, the whole chain of each."""
    return Locks(tuple(_holder(row) for row in rows(connection, sql.LOCKS)))


def _holder(row: Row) -> Holder:
    return Holder(
        session=_session(row),
        blocked_by=tuple(row["blocked_by"]),
        waits_for=row["waits_for"],
        waited_seconds=row["waited_seconds"],
    )


def _session(row: Row) -> Session:
    return Session(**{name: row[name] for name in Session.__dataclass_fields__})


def transactions(connection: psycopg.Connection[Row], *, count: int = 20) -> Transactions:
    """The oldest open transactions, prepared ones too, oldest first."""
    open_ones = rows(connection, sql.TRANSACTIONS, {"name": NAME, "count": count})
    return Transactions(tuple(_session(row) for row in open_ones))


def replication(connection: psycopg.Connection[Row]) -> Replication:
    """How far standbys are behind, how far this server is when it is one, what slots retain."""
    replay = rows(connection, sql.REPLAY)[0]
    is_replica = bool(replay["is_replica"])
    return Replication(
        is_replica=is_replica,
        standbys=tuple(Standby(**row) for row in rows(connection, sql.STANDBYS)),
        slots=tuple(Slot(**row) for row in rows(connection, sql.SLOTS)),
        replay=_replay(connection, replay) if is_replica else None,
    )


def _replay(connection: psycopg.Connection[Row], row: Row) -> Replay:
    receiver = rows(connection, sql.RECEIVER)
    facts = {name: row[name] for name in ("behind_bytes", "behind_seconds", "is_paused")}
    return Replay(is_streaming=bool(receiver), **facts)


def bloat(connection: psycopg.Connection[Row], *, count: int = 20) -> Bloat:
    """Dead rows by table of the connected database, most first; transaction id age by database."""
    return Bloat(
        tables=tuple(Table(**row) for row in rows(connection, sql.TABLES, {"count": count})),
        wraparound=tuple(Wraparound(**row) for row in rows(connection, sql.WRAPAROUND)),
    )


def statements(connection: psycopg.Connection[Row], *, count: int = 15) -> Statements:
    """What takes the time: by pg_stat_statements where it is installed, and what runs now."""
    running = rows(connection, sql.RUNNING, {"name": NAME, "count": count})
    sessions = tuple(_session(row) for row in running)
    installed = rows(connection, sql.STATEMENTS_SCHEMA)
    if not installed:
        missing = "the extension pg_stat_statements is not installed in this database"
        return Statements(running=sessions, missing=missing)
    from psycopg import sql as compose

    query = compose.SQL(sql.STATEMENTS).format(compose.Identifier(installed[0]["schema"]))
    try:
        told = rows(connection, query, {"count": count})  # type: ignore[arg-type]  # composed
    except ServiceError as exc:
        return Statements(running=sessions, missing=str(exc))
    return Statements(slow=tuple(Statement(**row) for row in told), running=sessions)


def end_session(dsn: str, pid: int, *, started_at: datetime, kill: bool = False) -> bool:
    """Ask the server to cancel what a session runs, or with ``kill`` to end it; whether it did.

    ``started_at`` is the session's own ``started_at``: process ids are used again, and the one
    that was looked at may be gone by now. Then nothing is done and the answer is False.
    ServiceError when this user may not (it needs pg_signal_backend).
    """
    with connect(dsn) as connection:
        query = sql.TERMINATE if kill else sql.CANCEL
        done = rows(connection, query, {"pid": pid, "started_at": started_at})
        return bool(done and done[0]["done"])
