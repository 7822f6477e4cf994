"""What the figures of a PostgreSQL server mean, without a server."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from imtkit.probes.pg_findings import Limits, diagnose

NOW = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
SESSION = Session(7, "app", "shop", "web", "10.0.0.7", "active", "", NOW, 9.0, 9.0, 9.0, "SELECT 1")
TABLE = Table("public.t", 8192, 100, 0, None, None, has_autovacuum=True)


def session(pid: int, **facts: object) -> Session:
    return replace(SESSION, pid=pid, **facts)  # type: ignore[arg-type]


def waiting(pid: int, *blockers: int, seconds: float = 9.0) -> Holder:
    return Holder(session(pid), blockers, "row", seconds)


@pytest.mark.parametrize(
    ("used", "level"), [(10, "ok"), (78, "warning"), (95, "critical"), (99, "critical")]
)
def test_connections_are_judged_against_what_ordinary_users_may_have(used: int, level: str) -> None:
    """Reserved connections do not count as room."""
    facts = Connections(used, 100, 3, {"idle": used}, {"app / web / local": used})
    found = diagnose(facts)
    assert found.worst == level
    assert f"{used} of 97" in found[0].what
    assert bool(found[0].next_step) is (level != "ok")


@pytest.mark.parametrize(("seconds", "level"), [(1, "ok"), (9, "warning"), (90, "critical")])
def test_a_chain_is_as_bad_as_its_longest_wait(seconds: float, level: str) -> None:
    """One finding for each root, by the longest wait behind it."""
    locks = Locks((Holder(session(1)), waiting(2, 1, seconds=seconds)))
    assert [one.level for one in diagnose(locks)] == [level]


def test_the_advice_depends_on_what_the_holder_does() -> None:
    """A holder that idles is to be ended; one that works may be waited for."""
    idle = Holder(session(1, state="idle in transaction"))
    assert "forgot" in diagnose(Locks((idle, waiting(2, 1))))[0].next_step
    assert "finish" in diagnose(Locks((Holder(session(1)), waiting(2, 1))))[0].next_step


def test_a_circle_is_told_and_ends() -> None:
    """Two who wait for each other have no root; they are shown once each, and judged."""
    locks = Locks((waiting(1, 2), waiting(2, 1)))
    assert len(locks.tree.splitlines()) == 2
    assert locks.held_up_by(1) == {1, 2}
    assert "circle" in diagnose(locks)[0].grounds


@given(
    st.dictionaries(
        st.integers(1, 8), st.lists(st.integers(0, 9), max_size=4, unique=True), max_size=8
    )
)
def test_any_graph_of_waits_is_told_completely(graph: dict[int, list[int]]) -> None:
    """Whoever waits for whom, each session stands in the tree exactly once."""
    locks = Locks(tuple(waiting(pid, *blockers) for pid, blockers in graph.items()))
    lines = locks.tree.splitlines()
    for pid in graph:
        assert sum(f"pid {pid} (app" in line for line in lines) == 1
    diagnose(locks)


def test_nobody_waiting_is_well() -> None:
    """No lock, no chain, no tree."""
    assert diagnose(Locks()).worst == "ok"
    assert Locks().tree == ""


@pytest.mark.parametrize(
    ("facts", "level", "word"),
    [
        ({"state": "active", "transaction_seconds": 10.0}, "ok", "oldest 10.0 s"),
        ({"state": "active", "transaction_seconds": 4000.0}, "critical", "vacuum"),
        ({"state": "idle in transaction", "state_seconds": 61.0}, "warning", "has idled"),
        (
            {"state": "idle in transaction (aborted)", "state_seconds": 601.0},
            "critical",
            "has idled",
        ),
        ({"state": "prepared", "transaction_seconds": 90.0}, "warning", "COMMIT PREPARED"),
        ({"state": "hidden", "transaction_seconds": None}, "ok", "too long"),
    ],
)
def test_transactions_are_judged_by_what_they_do(
    facts: dict[str, object], level: str, word: str
) -> None:
    """Idle ones are bad sooner than busy ones; what is hidden is not guessed at."""
    found = diagnose(Transactions((session(7, **facts),)))
    assert found.worst == level
    assert word in found.text


def standby(seconds: float | None, size: float | None) -> Replication:
    return Replication(False, (Standby("a", "local", "streaming", "async", size, seconds),))


@pytest.mark.parametrize(
    ("facts", "level"),
    [
        (standby(0.1, 0.0), "ok"),
        (standby(11.0, 0.0), "warning"),
        (standby(None, 2.0**31), "critical"),
        (standby(None, None), "ok"),
        (Replication(True, replay=Replay(True, 0.0, 0.0, False)), "ok"),
        (Replication(True, replay=Replay(True, 1e6, 300.0, False)), "critical"),
        (Replication(True, replay=Replay(True, 0.0, 0.0, True)), "critical"),
        (Replication(True, replay=Replay(False, 0.0, 0.0, False)), "critical"),
        (Replication(False, slots=(Slot("s", "physical", True, 1.0, "reserved"),)), "ok"),
        (Replication(False, slots=(Slot("s", "physical", False, 1.0, "reserved"),)), "warning"),
        (Replication(False, slots=(Slot("s", "logical", True, 1e12, "extended"),)), "critical"),
        (Replication(False, slots=(Slot("s", "logical", False, None, "lost"),)), "critical"),
    ],
)
def test_replication_is_judged_by_time_then_bytes(facts: Replication, level: str) -> None:
    """Lag in time where it is known, in bytes else; slots by what they keep and who reads."""
    assert diagnose(facts).worst == level


@pytest.mark.parametrize(
    ("live", "dead", "level"),
    [
        (100, 900, "ok"),
        (100_000, 5_000, "ok"),
        (50_000, 20_000, "warning"),
        (1, 20_000, "critical"),
    ],
)
def test_dead_rows_count_by_share_and_number(live: int, dead: int, level: str) -> None:
    """A small table that is all dead is nothing; a large one is."""
    assert diagnose(Bloat((replace(TABLE, live=live, dead=dead),))).worst == level


@pytest.mark.parametrize(
    ("age", "level"), [(1_000, "ok"), (600_000_000, "warning"), (2_000_000_000, "critical")]
)
def test_wraparound_is_seen_coming(age: int, level: str) -> None:
    """An old transaction id warns long before the server stops."""
    assert diagnose(Bloat((), (Wraparound("shop", age, 200_000_000),))).worst == level


def test_statements_are_judged_now_and_on_average() -> None:
    """A statement that runs long now, and one that is slow on average, are both findings."""
    slow = Statement("app", "shop", 10, 20.0, 2.0, 5.0, 1, "SELECT slow")
    found = diagnose(Statements((slow,), (session(7, statement_seconds=61.0),)))
    assert [one.level for one in found] == ["critical", "warning"]
    assert diagnose(Statements(running=(SESSION,)), Limits(statement_warning=10)).worst == "ok"


def test_a_closed_door_is_critical_with_its_hint() -> None:
    """What stopped us is the ground, and its hint the next step."""
    found = diagnose(Reach(False, 0.1, error="refused", hint="look at the port"))
    assert (found.worst, found[0].next_step) == ("critical", "look at the port")


def test_tables_have_their_columns_when_empty() -> None:
    """Every group of figures is a table, with its columns, also with no rows."""
    assert "pid" in Locks().frame().columns
    assert "dead_share" in Bloat().frame().columns
    for frame in (
        Connections(0, 1, 0).frame(),
        Transactions().frame(),
        Replication(False).frame(),
        Replication(False).slot_frame(),
        Statements().frame(),
        Statements().running_frame(),
    ):
        assert len(frame) == 0
        assert len(frame.columns) > 1
