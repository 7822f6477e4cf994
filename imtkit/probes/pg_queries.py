"""What is asked of PostgreSQL 13 and newer; every name is qualified, so no search path matters.

Where a column came later than 13 it is read through ``to_jsonb``, which gives null instead of
an error where it is absent.
"""

# ruff: noqa: S608  the parts that are joined are constants of this file

from __future__ import annotations

from typing import LiteralString

SETTING: LiteralString = "SELECT pg_catalog.set_config(%(name)s, %(value)s, false)"

SERVER: LiteralString = """
SELECT pg_catalog.current_setting('server_version') AS version,
       pg_catalog.pg_is_in_recovery() AS is_replica,
       pg_catalog.pg_postmaster_start_time() AS started_at,
       CURRENT_USER::text AS "user",
       pg_catalog.current_database()::text AS database,
       (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = CURRENT_USER)
         OR pg_catalog.pg_has_role(CURRENT_USER, 'pg_monitor', 'USAGE') AS sees_all
"""

ROOM: LiteralString = """
SELECT pg_catalog.current_setting('max_connections')::int AS most,
       pg_catalog.current_setting('superuser_reserved_connections')::int
         + coalesce(pg_catalog.current_setting('reserved_connections', true), '0')::int AS reserved
"""

# Walsenders and background workers do not count against max_connections. Without pg_monitor
# the type of other people's sessions is hidden; then everything in a database counts.
SESSIONS_BY_GROUP: LiteralString = """
SELECT coalesce(state, 'hidden') AS state,
       coalesce(usename::text, '?') || ' / ' || coalesce(nullif(application_name, ''), '(no name)')
         || ' / ' || coalesce(host(client_addr), 'local') AS client,
       count(*)::int AS count
FROM pg_catalog.pg_stat_activity
WHERE backend_type = 'client backend' OR (backend_type IS NULL AND datid IS NOT NULL)
GROUP BY 1, 2
"""

_SESSION: LiteralString = """
       a.pid,
       coalesce(a.usename::text, '') AS "user",
       coalesce(a.datname::text, '') AS database,
       coalesce(a.application_name, '') AS application,
       coalesce(host(a.client_addr), 'local') AS client,
       coalesce(a.state, 'hidden') AS state,
       coalesce(a.wait_event_type || ': ' || a.wait_event, '') AS waits_on,
       a.backend_start AS started_at,
       extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS transaction_seconds,
       extract(epoch FROM clock_timestamp() - a.state_change)::float8 AS state_seconds,
       extract(epoch FROM clock_timestamp() - a.query_start)::float8 AS statement_seconds,
       coalesce(a.query, '') AS query
"""

# pg_blocking_pids is asked only of those who wait, because each call stops the lock manager
# for a moment. A blocker 0 is a prepared transaction.
LOCKS: LiteralString = (
    """
WITH waiting AS MATERIALIZED (
  SELECT pid, pg_catalog.pg_blocking_pids(pid) AS blockers
  FROM pg_catalog.pg_stat_activity WHERE wait_event_type = 'Lock'
), wanted AS (
  SELECT DISTINCT ON (l.pid) l.pid,
         l.mode || ' on ' || CASE
           WHEN l.relation IS NOT NULL AND d.datname = pg_catalog.current_database()
             THEN l.relation::regclass::text
           WHEN l.relation IS NOT NULL THEN 'relation ' || l.relation
           ELSE l.locktype END AS waits_for,
         extract(epoch FROM clock_timestamp()
           - (to_jsonb(l) ->> 'waitstart')::timestamptz)::float8 AS waited_seconds
  FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_database d ON d.oid = l.database
  WHERE NOT l.granted
)
SELECT"""
    + _SESSION
    + """,
       ARRAY(SELECT DISTINCT b FROM unnest(w.blockers) AS b ORDER BY b) AS blocked_by,
       coalesce(n.waits_for, '') AS waits_for,
       CASE WHEN w.pid IS NULL THEN NULL ELSE coalesce(n.waited_seconds,
         extract(epoch FROM clock_timestamp() - a.query_start)::float8) END AS waited_seconds
FROM pg_catalog.pg_stat_activity a
LEFT JOIN waiting w USING (pid)
LEFT JOIN wanted n USING (pid)
WHERE w.pid IS NOT NULL OR a.pid IN (SELECT unnest(blockers) FROM waiting)
ORDER BY a.xact_start NULLS LAST, a.pid
"""
)

TRANSACTIONS: LiteralString = (
    "SELECT * FROM (SELECT"
    + _SESSION
    + """
FROM pg_catalog.pg_stat_activity a
WHERE a.xact_start IS NOT NULL AND a.backend_type = 'client backend'
  AND a.pid <> pg_catalog.pg_backend_pid() AND a.application_name <> %(name)s
UNION ALL
SELECT 0, p.owner::text, p.database::text, 'prepared transaction ' || p.gid, '', 'prepared', '',
       p.prepared,
       extract(epoch FROM clock_timestamp() - p.prepared)::float8,
       extract(epoch FROM clock_timestamp() - p.prepared)::float8, NULL, ''
FROM pg_catalog.pg_prepared_xacts p) AS found
ORDER BY transaction_seconds DESC LIMIT %(count)s
"""
)

RUNNING: LiteralString = (
    "SELECT"
    + _SESSION
    + """
FROM pg_catalog.pg_stat_activity a
WHERE a.state = 'active' AND a.backend_type IN ('client backend', 'autovacuum worker')
  AND a.pid <> pg_catalog.pg_backend_pid() AND a.application_name <> %(name)s
ORDER BY a.query_start LIMIT %(count)s
"""
)

STANDBYS: LiteralString = """
SELECT coalesce(nullif(application_name, ''), pid::text) AS name,
       coalesce(host(client_addr), 'local') AS client,
       coalesce(state, 'hidden') AS state,
       coalesce(sync_state, '') AS sync,
       (pg_catalog.pg_wal_lsn_diff(CASE WHEN pg_catalog.pg_is_in_recovery()
          THEN pg_catalog.pg_last_wal_receive_lsn() ELSE pg_catalog.pg_current_wal_lsn() END,
          replay_lsn))::float8 AS behind_bytes,
       extract(epoch FROM replay_lag)::float8 AS behind_seconds
FROM pg_catalog.pg_stat_replication ORDER BY 5 DESC NULLS FIRST
"""

# Everything that arrived is replayed: then the age of the last transaction is only the time
# since somebody wrote, and not a lag.
REPLAY: LiteralString = """
SELECT pg_catalog.pg_is_in_recovery() AS is_replica,
       pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_receive_lsn(),
         pg_catalog.pg_last_wal_replay_lsn())::float8 AS behind_bytes,
       CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN NULL
            WHEN pg_catalog.pg_last_wal_receive_lsn() = pg_catalog.pg_last_wal_replay_lsn() THEN 0
            ELSE extract(epoch FROM clock_timestamp()
              - pg_catalog.pg_last_xact_replay_timestamp()) END::float8 AS behind_seconds,
       CASE WHEN pg_catalog.pg_is_in_recovery()
            THEN pg_catalog.pg_is_wal_replay_paused() ELSE false END AS is_paused
"""

RECEIVER: LiteralString = "SELECT pid FROM pg_catalog.pg_stat_wal_receiver"

SLOTS: LiteralString = """
SELECT slot_name::text AS name, slot_type AS kind, active AS is_active,
       pg_catalog.pg_wal_lsn_diff(CASE WHEN pg_catalog.pg_is_in_recovery()
         THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END,
         restart_lsn)::float8 AS retained_bytes,
       coalesce(wal_status, '') AS wal_status
FROM pg_catalog.pg_replication_slots ORDER BY 4 DESC NULLS LAST
"""

TABLES: LiteralString = """
SELECT s.schemaname || '.' || s.relname AS name,
       pg_catalog.pg_total_relation_size(s.relid)::int8 AS bytes,
       s.n_live_tup AS live, s.n_dead_tup AS dead,
       greatest(s.last_vacuum, s.last_autovacuum) AS vacuumed_at,
       greatest(s.last_analyze, s.last_autoanalyze) AS analysed_at,
       coalesce(c.reloptions::text, '') !~* 'autovacuum_enabled=(f|off|no|0)'
         AND pg_catalog.current_setting('autovacuum')::bool AS has_autovacuum
FROM pg_catalog.pg_stat_user_tables s JOIN pg_catalog.pg_class c ON c.oid = s.relid
ORDER BY s.n_dead_tup DESC, 2 DESC LIMIT %(count)s
"""

WRAPAROUND: LiteralString = """
SELECT datname::text AS database,
       greatest(age(datfrozenxid), pg_catalog.mxid_age(datminmxid))::int8 AS age,
       pg_catalog.current_setting('autovacuum_freeze_max_age')::int8 AS freeze_age
FROM pg_catalog.pg_database ORDER BY 2 DESC
"""

STATEMENTS_SCHEMA: LiteralString = """
SELECT n.nspname::text AS schema FROM pg_catalog.pg_extension e
JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'
"""

STATEMENTS: LiteralString = """
SELECT coalesce(pg_catalog.pg_get_userbyid(s.userid)::text, '') AS "user",
       coalesce(d.datname::text, '') AS database,
       s.calls, s.total_exec_time / 1000 AS total_seconds, s.mean_exec_time / 1000 AS mean_seconds,
       s.max_exec_time / 1000 AS longest_seconds, s.rows, coalesce(s.query, '') AS query
FROM {}.pg_stat_statements s LEFT JOIN pg_catalog.pg_database d ON d.oid = s.dbid
ORDER BY s.total_exec_time DESC LIMIT %(count)s
"""

_SAME: LiteralString = (
    "FROM pg_catalog.pg_stat_activity WHERE pid = %(pid)s AND backend_start = %(started_at)s"
)
CANCEL: LiteralString = "SELECT pg_catalog.pg_cancel_backend(pid) AS done " + _SAME
TERMINATE: LiteralString = "SELECT pg_catalog.pg_terminate_backend(pid) AS done " + _SAME
