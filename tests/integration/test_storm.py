"""A storm of alerts while the log is held up and the receiver dies: nothing lost, nothing twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from killing import crashing_now_and_then
from notebook_files import code, write_notebook
from servers import DURABLE, Plan, start_postgres, until
from storms import (
    SOURCE,
    Receiver,
    Scale,
    Senders,
    assert_nothing_lost,
    deliveries,
    is_handled,
    locked_now_and_then,
)

from imtkit.kit import open_desk

ALERTS, GROUPS, LINES = 1500, 40, 8
SECONDS = 8.0
PER_HOUR = 20
MOST_GROWTH = 150 * 2**20
"""Of the receiver's memory. What may wait to be kept is bounded; libraries that come late are not
loaded yet when it is first weighed, and take some 60 MB.
"""

RULE = f"""
[[alerts.rules]]
name = "look"
match = ['alertname="ErrorsHigh"']
runbooks = ["look"]
per_hour = {PER_HOUR}
"""


@pytest.mark.timeout(150)
def test_a_storm_is_kept_whole_and_becomes_one_incident_for_each_group(workspace: Path):
    """1,480 alerts of 40 groups, a log that is locked for up to a second, one kill -9: each 202 is
    there once, each alert once, each group is one incident, and the rule's limit holds.
    """
    write_notebook(workspace / "runbooks" / "look.ipynb", [code("look", "print('looked')")])
    with (workspace / "imt.toml").open("a") as settings:
        settings.write(SOURCE + RULE)
    storm = deliveries(ALERTS, GROUPS)
    receiver = Receiver(workspace)
    try:
        scale = Scale(lambda: receiver.pid)
        with locked_now_and_then(workspace / "outputs" / "imt.db"):
            senders = Senders(receiver.port, storm, lines=LINES, seconds=SECONDS)
            until(lambda: senders.kept > len(storm) // 2, 60)
            receiver.kill()
            receiver.start()
            told = senders.told(60)
        assert told.again["broken"], "the kill was not noticed: it came too late"
        with open_desk(workspace) as desk:
            until(lambda: is_handled(desk, told), 60)
            found = assert_nothing_lost(desk, told, ALERTS // GROUPS * GROUPS, GROUPS)
        growth = scale.growth()
    finally:
        receiver.end()
    assert growth < MOST_GROWTH, f"the receiver grew by {growth / 2**20:.0f} MiB"
    assert len(told.kept) == len(storm)
    hours = Counter(one.recorded_at.strftime("%Y-%m-%dT%H") for one in found.requested)
    assert PER_HOUR <= len(found.requested) <= PER_HOUR * len(hours)


@pytest.mark.postgres
@pytest.mark.timeout(180)
def test_a_storm_outlives_a_postgresql_that_crashes(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
):
    """PostgreSQL is killed, and restarted as by a crash, all the time: senders are answered 202 or
    503, never otherwise; each 202 is there once, each alert once, each group is one incident.
    """
    with (workspace / "imt.toml").open("a") as settings:
        settings.write(SOURCE)
    storm = deliveries(600, GROUPS)
    with start_postgres(plan=Plan(DURABLE)) as server:
        monkeypatch.setenv("IMT_STORE_URL", server.dsn)
        receiver = Receiver(workspace)
        try:
            with crashing_now_and_then(server, seconds=1.5) as crashes:
                told = Senders(receiver.port, storm, lines=LINES, seconds=SECONDS).told(90)
            assert min(crashes["postgres"], crashes["restart"]) >= 1
            assert set(told.again) == {"503"}, told.again
            with open_desk(workspace) as desk:
                until(lambda: is_handled(desk, told), 60)
                assert_nothing_lost(desk, told, 600 // GROUPS * GROUPS, GROUPS)
        finally:
            receiver.end()
    assert len(told.kept) == len(storm)
