"""Receiver, workers and PostgreSQL killed at random moments under load, and what the log says.

``python bench/chaos.py`` is the same for longer; ``IMT_CHAOS_SEED`` chooses other moments.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from killing import Plan, carry_through, prepare
from servers import DURABLE, start_postgres
from servers import Plan as ServerPlan

SEED = int(os.environ.get("IMT_CHAOS_SEED", "1"))


@pytest.mark.timeout(240)
def test_kills_at_any_moment_lose_no_alert_and_leave_no_run_untold(workspace: Path):
    """After each kill -9 the next one goes on: alerts, incidents and runs are as if none died."""
    prepare(workspace)
    kills = ("worker+receiver", "worker")
    outcome = carry_through(workspace, Plan(kills, groups=4, pause=1.0, seed=SEED))
    assert outcome.told.again["broken"], "no sender noticed a kill"


@pytest.mark.postgres
@pytest.mark.timeout(240)
def test_a_postgresql_that_dies_takes_nothing_with_it(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
):
    """The database too is killed and started again: its runs wait for it, and none is run twice."""
    prepare(workspace)
    with start_postgres(plan=ServerPlan(DURABLE)) as server:
        monkeypatch.setenv("IMT_STORE_URL", server.dsn)
        kills = ("postgres", "restart", "worker+postgres")
        plan = Plan(kills, groups=4, pause=1.0, seed=SEED)
        outcome = carry_through(workspace, plan, server)
        assert outcome.told.again["503"] + outcome.told.again["broken"]
        assert set(outcome.told.again) <= {"503", "broken"}, outcome.told.again
