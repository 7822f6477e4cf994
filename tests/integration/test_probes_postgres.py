"""The PostgreSQL probe against a real server that is brought into real trouble."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from servers import Plan, Postgres, start_postgres, until
from sites import closed_port

from imtkit.errors import InputError, ServiceDownError, ServiceError
from imtkit.probes import postgres
from imtkit.probes.findings import Findings

pytestmark = pytest.mark.postgres

SETTINGS = {
    "max_connections": "20",
    "superuser_reserved_connections": "2",
    "max_prepared_transactions": "2",
    "shared_preload_libraries": "pg_stat_statements",
    "autovacuum": "off",
}
QUICK = postgres.Limits(
    wait_warning=0.0, idle_warning=0.0, transaction_warning=0.0, statement_warning=0.0
)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server of this module's own, with two ordinary users and little room."""
    with start_postgres(plan=Plan(SETTINGS)) as started:
        with psycopg.connect(started.dsn, autocommit=True) as admin:
            admin.execute("CREATE ROLE app LOGIN")
            admin.execute("CREATE ROLE watcher LOGIN IN ROLE pg_monitor")
            admin.execute("CREATE DATABASE plain")
            admin.execute(
                "CREATE TABLE stock AS SELECT n AS id, 0 AS count FROM generate_series(1, 9) n"
            )
            admin.execute("GRANT ALL ON stock TO app")
            admin.execute("CREATE EXTENSION pg_stat_statements")
        yield started


@contextmanager
def client(server: Postgres, user: str = "app", **options: Any) -> Iterator[psycopg.Connection]:
    """An ordinary client's session, ended whatever state it is left in."""
    connection = psycopg.connect(server.dsn_of(user), **options)
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def in_background(connection: psycopg.Connection, query: str) -> Iterator[None]:
    """A query that a thread waits for; cancelled at the end if it has not ended."""

    def run() -> None:
        with suppress(psycopg.Error):
            connection.execute(query)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        connection.cancel_safe()
        thread.join()


def look(server: Postgres, what: Any, user: str = "watcher") -> Any:
    with postgres.connect(server.dsn_of(user)) as connection:
        return what(connection)


def levels(found: Findings) -> list[str]:
    return [one.level for one in found]


def test_a_well_server_is_called_well(server: Postgres) -> None:
    """With nobody doing anything, every group of figures is 'ok' and says its grounds."""
    reach = postgres.reach(server.dsn_of("watcher"))
    assert levels(postgres.diagnose(reach)) == ["ok"]
    for what in (
        postgres.connections,
        postgres.locks,
        postgres.transactions,
        postgres.replication,
        postgres.bloat,
        postgres.statements,
    ):
        assert levels(postgres.diagnose(look(server, what))) == ["ok"], what


def test_our_session_reads_only_and_is_named(server: Postgres) -> None:
    """The probe's session cannot write, has a time limit, and shows its name."""
    with postgres.connect(server.dsn_of("app"), statement_timeout_seconds=0.2) as connection:
        shown = postgres.rows(connection, "SELECT current_setting('application_name') AS name")
        assert shown[0]["name"] == "imtkit"
        with pytest.raises(ServiceError, match="read-only"):
            postgres.rows(connection, "DELETE FROM stock RETURNING id")
        with pytest.raises(ServiceError, match="in time") as late:
            postgres.rows(connection, "SELECT pg_sleep(5)")
        assert late.value.retryable


def test_who_blocks_whom_is_found_over_two_steps(server: Postgres) -> None:
    """A forgotten transaction holds a row; a second waits for it and a third for the second."""
    with ExitStack() as stack:
        first, second, third = (stack.enter_context(client(server)) for _ in range(3))
        first.execute("UPDATE stock SET count = 1 WHERE id = 1")
        second.execute("UPDATE stock SET count = 2 WHERE id = 2")
        stack.enter_context(in_background(second, "UPDATE stock SET count = 2 WHERE id = 1"))
        until(lambda: len(look(server, postgres.locks).waiting) == 1)
        stack.enter_context(in_background(third, "UPDATE stock SET count = 3 WHERE id = 2"))
        until(lambda: len(look(server, postgres.locks).waiting) == 2)
        locks = look(server, postgres.locks)
        holder = first.info.backend_pid
        middle = second.info.backend_pid
        assert [one.session.pid for one in locks.roots] == [holder]
        assert locks.held_up_by(holder) == {middle, third.info.backend_pid}
        assert locks.held_up_by(middle) == {third.info.backend_pid}
        lines = locks.tree.splitlines()
        assert [len(line) - len(line.lstrip(" └─")) for line in lines] == [0, 4, 8]
        found = postgres.diagnose(locks, QUICK)
        assert len(found) == 1
        assert f"pid {holder} keeps 2 sessions waiting" in found[0].what
        assert "forgot" in found[0].next_step
        assert sorted(locks.frame()["pid"]) == sorted([holder, middle, third.info.backend_pid])
        relation = next(one for one in locks.holders if one.session.pid == middle)
        assert relation.waited_seconds is not None
    until(lambda: not look(server, postgres.locks).holders)


def test_a_table_lock_names_the_table(server: Postgres) -> None:
    """Somebody who waits for a whole table is shown with its name and the lock's mode."""
    with client(server) as holder, client(server, "postgres") as admin:
        holder.execute("SELECT * FROM stock")
        with in_background(admin, "ALTER TABLE stock ADD COLUMN more int"):
            until(lambda: look(server, postgres.locks).waiting)
            waiting = look(server, postgres.locks).waiting[0]
            assert waiting.waits_for == "AccessExclusiveLock on stock"


def test_a_prepared_transaction_that_blocks_is_shown(server: Postgres) -> None:
    """A lock that belongs to no process is told as a prepared transaction's."""
    with client(server) as one, client(server) as other:
        one.execute("BEGIN")
        one.execute("UPDATE stock SET count = 1 WHERE id = 3")
        one.execute("PREPARE TRANSACTION 'left-behind'")
        try:
            with in_background(other, "UPDATE stock SET count = 2 WHERE id = 3"):
                until(lambda: look(server, postgres.locks).waiting)
                locks = look(server, postgres.locks)
                assert locks.waiting[0].blocked_by == (0,)
                assert locks.tree.startswith("a prepared transaction\n└── waits ")
                assert "prepared" in postgres.diagnose(locks).text
            old = postgres.diagnose(look(server, postgres.transactions), QUICK)
            assert "A prepared transaction has been open" in old.text
        finally:
            one.rollback()
            one.autocommit = True
            one.execute("ROLLBACK PREPARED 'left-behind'")


def test_an_idle_transaction_is_found_and_can_be_ended(server: Postgres) -> None:
    """The idle one is named; ending it takes its pid and its start, and a stale start nothing."""
    with client(server) as idle:
        idle.execute("SELECT 1")
        pid = idle.info.backend_pid
        found = postgres.diagnose(look(server, postgres.transactions), QUICK)
        assert f"pid {pid} has idled in an open transaction" in found.text
        session = look(server, postgres.transactions).sessions[0]
        stale = session.started_at - timedelta(seconds=1)
        assert not postgres.end_session(server.dsn, pid, started_at=stale, kill=True)
        assert postgres.end_session(server.dsn, pid, started_at=session.started_at, kill=True)
        with pytest.raises(psycopg.OperationalError):
            idle.execute("SELECT 1")
    until(lambda: not look(server, postgres.transactions).sessions)


def test_ending_a_session_needs_the_right(server: Postgres) -> None:
    """A user that may only look is refused, and told so."""
    with client(server, "postgres") as one:
        one.execute("SELECT 1")
        session = look(server, postgres.transactions).sessions[0]
        with pytest.raises(ServiceError, match="let this user"):
            postgres.end_session(
                server.dsn_of("watcher"), session.pid, started_at=session.started_at
            )


def test_a_statement_that_runs_long_is_shown(server: Postgres) -> None:
    """What runs now is listed with its age, the longest first."""
    with client(server) as one, in_background(one, "SELECT pg_sleep(20)"):
        until(lambda: look(server, postgres.statements).running)
        facts = look(server, postgres.statements)
        found = postgres.diagnose(facts, QUICK)
    assert "pg_sleep" in found.text
    assert "has run one statement" in found.text
    assert list(facts.running_frame()["user"]) == ["app"]


def test_slow_statements_come_from_the_extension(server: Postgres) -> None:
    """With pg_stat_statements a statement that is slow on average is found after it ran."""
    with client(server) as one:
        one.execute("SELECT pg_sleep(0.3) AS slowly")
    facts = look(server, postgres.statements)
    assert facts.missing == ""
    assert "slowly" in " ".join(facts.frame()["query"])
    found = postgres.diagnose(facts, postgres.Limits(mean_warning=0.2))
    assert "on average" in found.text


def test_without_the_extension_that_is_said(server: Postgres) -> None:
    """Where statements are not recorded, that is said, and what runs now is shown anyway."""
    with postgres.connect(server.dsn_of("watcher", "plain")) as connection:
        facts = postgres.statements(connection)
    assert "not installed" in facts.missing
    assert "not installed" in postgres.diagnose(facts).text


def test_used_up_connections_are_critical_and_then_nobody_gets_in(server: Postgres) -> None:
    """The last free places are a critical finding; with none left, reach says which trouble."""
    with ExitStack() as stack:
        for _ in range(17):
            stack.enter_context(client(server, application_name="leaky"))
        facts = look(server, postgres.connections)
        assert facts.share == 1.0
        found = postgres.diagnose(facts)
        assert found.worst == "critical"
        assert "app / leaky / 127.0.0.1: 17" in found[0].grounds
        assert facts.frame()["sessions"].max() == 17
        stack.enter_context(client(server))
        with pytest.raises(ServiceDownError) as full:
            look(server, postgres.connections)
        assert full.value.retryable
        assert "Every connection is taken" in full.value.hint
        down = postgres.reach(server.dsn_of("watcher"))
        assert "idle sessions" in postgres.diagnose(down)[0].next_step
    until(lambda: look(server, postgres.connections).used == 1)


def test_dead_rows_are_counted_and_vacuum_heals(server: Postgres) -> None:
    """Rows that were deleted and not vacuumed are found; after VACUUM the finding is gone."""
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        admin.execute(
            "CREATE TABLE big WITH (autovacuum_enabled=off) AS SELECT generate_series(1, 20000) n"
        )
        admin.execute("DELETE FROM big WHERE n > 5000")
        admin.execute("SELECT pg_stat_force_next_flush()")
        until(lambda: any(one.dead >= 15000 for one in look(server, postgres.bloat).tables))
        found = postgres.diagnose(look(server, postgres.bloat))
        assert found.worst == "critical"
        assert "public.big" in found[0].what
        assert "autovacuum is switched off" in found[0].grounds
        admin.execute("VACUUM big")
        until(lambda: postgres.diagnose(look(server, postgres.bloat)).worst == "ok")
        admin.execute("DROP TABLE big")


def test_a_user_without_the_role_is_told_what_is_missing(server: Postgres) -> None:
    """Without pg_monitor the probe still works, and says that it sees less."""
    found = postgres.diagnose(postgres.reach(server.dsn_of("app")))
    assert found.worst == "warning"
    assert "GRANT pg_monitor" in found.text
    with client(server, "postgres") as other:
        other.execute("SELECT 1")
        assert look(server, postgres.connections, "app").used >= 2
        look(server, postgres.locks, "app")
        look(server, postgres.transactions, "app")
        look(server, postgres.replication, "app")


def test_a_replica_is_measured_from_both_sides(server: Postgres) -> None:
    """A real standby is near; paused, both it and the primary say so; gone, its slot is idle."""
    plan = Plan(SETTINGS, primary=server, slot="replica_one")
    with start_postgres(plan=plan) as replica:
        until(lambda: look(server, postgres.replication).standbys)
        until(lambda: look(replica, postgres.replication).replay.is_streaming)
        there = look(replica, postgres.replication)
        assert there.is_replica
        assert postgres.diagnose(there).worst == "ok"
        assert postgres.diagnose(look(server, postgres.replication)).worst == "ok"
        with psycopg.connect(replica.dsn, autocommit=True) as admin:
            with client(server, autocommit=True) as writer:
                writer.execute("UPDATE stock SET count = 7")
            until(lambda: admin.execute("SELECT min(count) FROM stock").fetchone() == (7,))
            admin.execute("SELECT pg_wal_replay_pause()")
        with psycopg.connect(server.dsn, autocommit=True) as admin:
            admin.execute("UPDATE stock SET count = count + 1")
        until(lambda: (look(replica, postgres.replication).replay.behind_bytes or 0) > 0)
        paused = look(replica, postgres.replication)
        assert "Replay is paused" in postgres.diagnose(paused).text
        assert (paused.replay.behind_seconds or 0) > 0
        strict = postgres.Limits(lag_warning=0.0, lag_bytes_warning=1.0)
        behind = look(server, postgres.replication)
        assert behind.standbys[0].behind_bytes > 0
        assert "is behind" in postgres.diagnose(behind, strict).text
        assert list(behind.frame()["sync"]) == ["async"]
    until(lambda: not look(server, postgres.replication).standbys)
    idle = postgres.diagnose(look(server, postgres.replication))
    assert "'replica_one' is used by nobody" in idle.text
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        until(lambda: not look(server, postgres.replication).slots[0].is_active)
        admin.execute("SELECT pg_drop_replication_slot('replica_one')")
    assert postgres.diagnose(look(server, postgres.replication)).worst == "ok"


def test_a_server_that_is_down_is_an_answer() -> None:
    """Nobody at the port is a critical finding with its next step, and not an error."""
    down = postgres.reach(f"postgresql://app@127.0.0.1:{closed_port()}/postgres")
    assert not down.is_up
    found = postgres.diagnose(down)
    assert found.worst == "critical"
    assert "listens on that port" in found[0].next_step


def test_a_wrong_database_or_user_is_our_mistake(server: Postgres) -> None:
    """What the server refuses is a ServiceError that trying again does not help."""
    with pytest.raises(ServiceError, match="nowhere") as wrong, ExitStack() as stack:
        stack.enter_context(postgres.connect(server.dsn_of("app", "nowhere")))
    assert not wrong.value.retryable
    assert not isinstance(wrong.value, ServiceDownError)


@pytest.mark.parametrize("dsn", ["postgresql//me:hunter2@x/y", "host=x pasword=hunter2", "hunter2"])
def test_a_malformed_dsn_is_refused_without_repeating_it(dsn: str) -> None:
    """What cannot be read may hold a password; the error does not, nor does its cause."""
    with pytest.raises(InputError) as refused:
        postgres.reach(dsn)
    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_a_sqlalchemy_url_is_taken_too(server: Postgres) -> None:
    """The URL that imt.toml uses for its own store works for the probe as well."""
    url = server.dsn_of("watcher").replace("postgresql://", "postgresql+psycopg://")
    assert postgres.reach(url).is_up


def test_a_session_that_is_cut_is_a_service_that_is_down(server: Postgres) -> None:
    """When the server ends our session in the middle, that is ServiceDownError."""
    with postgres.connect(server.dsn_of("watcher")) as connection:
        with psycopg.connect(server.dsn, autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
        with pytest.raises(ServiceDownError):
            postgres.connections(connection)
