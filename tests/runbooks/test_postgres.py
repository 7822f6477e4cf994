"""The runbook for PostgreSQL: against a real server in trouble, well, and gone."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from servers import Postgres, start_postgres, until
from sites import closed_port

RUNBOOK = Path(__file__).resolve().parents[2] / "runbooks" / "postgres.ipynb"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server with a table, of this module's own."""
    with start_postgres() as started:
        with psycopg.connect(started.dsn, autocommit=True) as admin:
            admin.execute("CREATE TABLE orders AS SELECT n AS id FROM generate_series(1, 9) n")
        yield started


@contextmanager
def forgotten(server: Postgres) -> Iterator[psycopg.Connection]:
    """A client that holds a row in a transaction it forgot, with another waiting for it."""
    with psycopg.connect(server.dsn) as holder, psycopg.connect(server.dsn) as waiter:
        holder.execute("UPDATE orders SET id = id WHERE id = 1")

        def wait() -> None:
            with suppress(psycopg.Error):
                waiter.execute("UPDATE orders SET id = id WHERE id = 1")

        thread = threading.Thread(target=wait)
        thread.start()
        try:
            with psycopg.connect(server.dsn, autocommit=True) as admin:
                query = "SELECT pid FROM pg_locks WHERE NOT granted"
                until(lambda: admin.execute(query).fetchone())
            yield holder
        finally:
            holder.close()
            thread.join()


@pytest.mark.postgres
def test_a_blocked_server_is_diagnosed_and_left_alone(go, server: Postgres) -> None:
    """Who blocks whom is found and drawn; unattended, nobody's session is ended."""
    with forgotten(server) as holder:
        pid = holder.info.backend_pid
        ran = go("postgres", dsn=server.dsn, wait_warning=0.0, idle_warning=0.0)
        holder.execute("SELECT 1")
    assert f"pid {pid} keeps 1 session waiting" in ran.said("conclude")
    assert f"pid {pid} has idled in an open transaction" in ran.said("conclude")
    assert "└── waits" in ran.said("locks")
    assert "WARNING" in ran.said("verify")
    assert not ran.incident.decisions
    assert "image/png" in {one.media_type for one in ran.incident.evidence}


@pytest.mark.postgres
def test_a_person_who_fills_the_action_in_ends_the_session(
    go, server: Postgres, workspace: Path
) -> None:
    """With a pid and a decision filled in, that session is ended, logged, and verified."""
    with forgotten(server) as holder:
        pid = holder.info.backend_pid
        filled = workspace / "runbooks" / "acting.ipynb"
        fill_in(filled, {"pid = 0": f"pid = {pid}", "kill = False": "kill = True"})
        ran = go(str(filled), dsn=server.dsn, wait_warning=0.0, idle_warning=0.0)
        with pytest.raises(psycopg.OperationalError):
            holder.execute("SELECT 1")
    assert f"Ended pid {pid} " in ran.notes
    assert f"pid {pid} keeps" in ran.said("conclude")
    assert f"pid {pid} keeps" not in ran.said("verify")


def fill_in(path: Path, words: dict[str, str]) -> None:
    """A copy of the runbook with lines filled in, as a person would."""
    document = json.loads(RUNBOOK.read_text(encoding="utf-8"))
    for cell in document["cells"]:
        if "action" in cell["metadata"].get("tags", []):
            text = "".join(cell["source"])
            for blank, filled in words.items():
                text = text.replace(blank, filled, 1)
            cell["source"] = text
    path.write_text(json.dumps(document), encoding="utf-8")


@pytest.mark.postgres
def test_a_well_server_is_called_well(go, server: Postgres) -> None:
    """The same runbook against a server without a fault says so."""
    ran = go("postgres", dsn=server.dsn)
    assert "no fault found" in ran.notes
    assert "CRITICAL" not in ran.said("conclude")
    assert "Nobody waits for a lock" in ran.said("conclude")


def test_a_server_that_is_gone_does_not_stop_the_diagnosis(go) -> None:
    """With nobody at the port that is the finding; the rest is said not to be measured."""
    ran = go("postgres", dsn=f"postgresql://app@127.0.0.1:{closed_port()}/shop")
    assert "does not let us in" in ran.said("conclude")
    assert "Not measured" in ran.said("locks")
    assert "Not measured" in ran.said("statements")
    assert "not measured" in ran.said("verify")
