"""Eight processes at one log, and what is left when they are killed."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from appenders import Appender, Job, run_all

from imtkit.model.entries import Draft
from imtkit.store import open_store

PROCESSES = 8
EACH = 125


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a log that processes can share."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/imt.db"
    return str(request.getfixturevalue("postgres_log"))


def jobs(url: str, incidents: list[str], *, each: int, padding: int = 0) -> list[Job]:
    return [
        Job(url, incidents[p % len(incidents)], [f"{p}/{k}" for k in range(each)], padding)
        for p in range(PROCESSES)
    ]


def opened(url: str, count: int) -> list[str]:
    store = open_store(url)
    draft = Draft("incident.opened", {"title": "x"}, actor="Ann")
    ids = [store.open_incident(draft).incident for _ in range(count)]
    store.close()
    return ids


def test_eight_processes_append_and_nothing_is_lost(url: str) -> None:
    """Every entry is there once, whole, linked, in the order its writer was told."""
    incidents = opened(url, 2)
    done = run_all(jobs(url, incidents, each=40, padding=5_000))
    store = open_store(url)
    entries = [e for e in store.entries() if e.key]
    assert all(len(appender.acknowledged) == 40 for appender in done)
    assert Counter(e.key for e in entries) == {f"{p}/{k}": 1 for p in range(8) for k in range(40)}
    assert all(len(e.data["padding"]) == 5_000 for e in entries)
    assert [e.seq for e in store.entries()] == list(range(1, 2 + 8 * 40 + 1))
    for appender in done:
        keys = set(appender.acknowledged)
        assert [e.key for e in entries if e.key in keys] == appender.acknowledged
    assert store.verify(store.heads()) == []
    store.close()


def test_kill_9_loses_nothing_that_was_acknowledged(url: str) -> None:
    """Six of eight are killed at random moments of 1,000 appends, then their work is retried.

    What was acknowledged is stored, what was not is whole or absent, the chain stands, and a
    retry under the same keys stores nothing twice.
    """
    (incident,) = opened(url, 1)
    chance = random.Random(20261121)
    doomed = {f"{p}/{chance.randrange(1, EACH - 1)}" for p in range(6)}

    def perhaps_kill(appender: Appender) -> None:
        if appender.acknowledged[-1] in doomed:
            time.sleep(chance.uniform(0, 0.003))  # into whatever it is doing by now
            appender.kill()

    work = jobs(url, [incident], each=EACH, padding=500)
    told = run_all(work, on_acknowledged=perhaps_kill)
    assert sum(appender.process.exitcode == -9 for appender in told) >= 5
    acknowledged = [key for appender in told for key in appender.acknowledged]

    store = open_store(url)
    stored = Counter(e.key for e in store.entries(incident) if e.key)
    assert set(acknowledged) <= set(stored)
    assert len(stored) - len(acknowledged) <= 6 + 2 * PROCESSES  # at most what was under way
    assert set(stored.values()) == {1}
    assert store.verify() == []

    # each tries again what it was not told of, and the last that it was told of too
    retried = [
        replace(job, keys=job.keys[max(0, len(done.acknowledged) - 2) :])
        for job, done in zip(work, told, strict=True)
    ]
    run_all(retried)
    stored = Counter(e.key for e in store.entries(incident) if e.key)
    assert stored == {f"{p}/{k}": 1 for p in range(PROCESSES) for k in range(EACH)}
    assert [e.n for e in store.entries(incident)] == list(range(1, PROCESSES * EACH + 2))
    assert store.verify(store.heads()) == []
    store.close()
