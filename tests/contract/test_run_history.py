"""How long runs took: found in a long log without reading it, on every database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa
from clocks import FixedClock

from imtkit.model.entries import Draft, utc_text
from imtkit.model.expected import Took, expected_from
from imtkit.store import open_store
from imtkit.store.schema import metadata

if TYPE_CHECKING:
    from imtkit.store.log import SqlStore


def _entry(type_: str, **data: object) -> Draft:
    return Draft(type_, data, actor="A")


def _log_run(
    store: SqlStore, clock: FixedClock, run: str, seconds: Sequence[int], *, status: str
) -> str:
    """A run of the runbook 'check "1"' whose steps took so long."""
    opened = store.open_incident(_entry("incident.opened", title="x"))
    steps = [{"step": f"s{n}", "title": f"Step {n}"} for n in range(len(seconds))]
    about = {"runbook": 'check "1"', "parameters": {"runbook": "other"}, "steps": steps}
    store.append(opened.incident, _entry("run.started", run=run, **about))
    for n, took in enumerate(seconds):
        began = clock.now()
        clock.move(seconds=took)
        times = {"started_at": utc_text(began), "finished_at": utc_text(clock.now())}
        told = {"run": run, "step": f"s{n}", "status": "completed", **times}
        store.append(opened.incident, _entry("step.finished", **told))
        store.append(opened.incident, _entry("note.added", text=f'"run":"{run}"'))
    store.append(opened.incident, _entry("run.finished", run=run, status=status))
    return opened.incident


def test_completed_runs_are_found_by_their_runbook(store: SqlStore, clock: FixedClock) -> None:
    """Newest first, no more than asked for; others' and unfinished ones are left out."""
    for n in range(4):
        _log_run(store, clock, f"r{n}", (n, 10), status="completed")
    _log_run(store, clock, "bad", (99, 99), status="failed")
    known = store.completed_runs('check "1"', limit=3)
    assert known == [Took(f"r{n}", n + 10, {"s0": n, "s1": 10}) for n in (3, 2, 1)]
    assert store.completed_runs("other") == []
    assert store.completed_runs('check%"1"') == []


def test_what_to_expect_are_the_medians(store: SqlStore, clock: FixedClock) -> None:
    """Of the whole and of each step; of a run that was interrupted, only its steps count."""
    for n, took in enumerate((1, 2, 60)):
        _log_run(store, clock, f"r{n}", (took, 10), status="completed")
    incident = _log_run(store, clock, "parked", (3, 11), status="waiting")
    before = store.completed_runs('check "1"')
    assert [took.run for took in before] == ["r2", "r1", "r0"]
    clock.move(hours=2)
    store.append(incident, _entry("run.resumed", run="parked"))
    store.append(incident, _entry("run.finished", run="parked", status="completed"))
    known = store.completed_runs('check "1"')
    assert known[1:] == before
    expected = expected_from(known)
    assert expected.step_seconds == {"s0": 2.5, "s1": 10}
    assert expected.run_seconds == 13.0
    assert expected_from(known, but="parked").run_seconds == 12.0


def test_without_a_completed_run_nothing_is_expected(store: SqlStore, clock: FixedClock) -> None:
    """No number is made up."""
    _log_run(store, clock, "bad", (9,), status="failed")
    expected = expected_from(store.completed_runs('check "1"'))
    assert expected.run_seconds is None
    assert expected.step_seconds == {}


def test_a_log_of_the_version_before_gets_the_index(empty_url: str) -> None:
    """Migrating makes what the code expects."""
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    store = open_store(empty_url)
    with store._engine.writing() as connection:
        connection.execute(sa.text("DROP INDEX entries_run_started"))
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
    store.close()
    old = open_store(empty_url, is_migrating=True)
    assert old.migrate() == ["0002"]
    with old._engine.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    old.close()
