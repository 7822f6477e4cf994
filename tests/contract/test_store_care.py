"""What care finds around the entries: rules that are gone, lists that lie; on every database."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from terminal import caller

from imtkit.model.entries import WORKSPACE, Draft

if TYPE_CHECKING:
    from imtkit.store.log import SqlStore


def filled(store: SqlStore) -> str:
    """A log with two incidents and a workspace's entry; the first incident's id."""
    drafts = [Draft("incident.opened", {"title": f"x\x00{n}"}, actor="Ann") for n in (1, 2)]
    first, _ = [store.open_incident(draft).incident for draft in drafts]
    store.append(first, Draft("role.assigned", {"role": "owner", "person": "Bob"}, actor="Ann"))
    store.append(WORKSPACE, Draft("note.added", {"text": "x"}, actor="Ann"))
    return first


def run(store: SqlStore, statement: str) -> None:
    with store._engine.writing() as connection:
        connection.exec_driver_sql(statement)


def test_a_sound_log_gives_no_warning(store: SqlStore) -> None:
    """Its rules are there, and its lists say what it says."""
    filled(store)
    assert (store.missing_rules(), store.stale_lists()) == ([], [])


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE incidents SET status = 'closed' WHERE number = 1",
        "UPDATE incidents SET owner = '' WHERE number = 1",
        "DELETE FROM incidents WHERE number = 1",
    ],
)
def test_lists_that_are_not_the_log_are_named_and_rebuilt(store: SqlStore, change: str) -> None:
    """The incident is named, the log itself stands, and rebuilding mends the lists."""
    first = filled(store)
    run(store, change)
    assert store.stale_lists() == [first]
    assert store.verify() == []
    store.rebuild()
    assert store.stale_lists() == []


def test_an_incident_that_only_lists_know_is_named(store: SqlStore) -> None:
    """A row without entries is no incident."""
    filled(store)
    run(store, "UPDATE incidents SET id = 'INC-1999-0001' WHERE number = 2")
    assert store.stale_lists() == [f"INC-{n}" for n in ("1999-0001", "2026-0002")]


def test_rules_that_are_gone_are_named(store: SqlStore) -> None:
    """Whoever took the refusal of changes away is not unnoticed."""
    for rule in store._engine.rules:
        on = "" if store._engine.is_sqlite else " ON entries"
        run(store, f"DROP TRIGGER {rule}{on}")
    assert store.missing_rules() == sorted(store._engine.rules)


def test_verify_warns_and_stands(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both are warnings on stderr with the next step: entries are what was stored, code 0."""
    from contextlib import closing

    from imtkit.store import open_store

    monkeypatch.chdir(workspace)
    with closing(open_store(f"sqlite:///{workspace}/outputs/imt.db")) as store:
        first = filled(store)
        run(store, "DROP TRIGGER entries_no_UPDATE")
        run(store, "UPDATE incidents SET status = 'closed' WHERE number = 1")
    done = caller(capsys)("store", "verify")
    assert done.code == 0
    assert "4 entries in 3 chains are what was stored." in done.out
    assert "entries_no_UPDATE" in done.err
    assert f"{first}. Run: imt store rebuild" in done.err
    told = caller(capsys)("store", "verify", "--json")
    assert len(json.loads(told.out)["warnings"]) == 2
