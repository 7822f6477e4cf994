"""A storm of alerts while the log is held up and the receiver dies: nothing lost, nothing twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from servers import until
from storms import (
    Receiver,
    Scale,
    Senders,
    Worker,
    asked_for,
    assert_nothing_lost,
    assert_within_limits,
    deliveries,
    is_all_run,
    is_handled,
    locked_now_and_then,
    with_rule,
)

from imtkit.kit import open_desk

ALERTS, GROUPS, LINES = 1000, 40, 8
SECONDS = 5.0
PER_HOUR, AT_ONCE = 6, 1
WEIGHT = 600_000
"""Bytes beside the alerts in each message: 48 MB are posted after the receiver was weighed."""
MOST_GROWTH = 30 * 2**20
"""Of the receiver's memory from then on: nobody keeps bodies in it."""


@pytest.mark.timeout(180)
def test_a_storm_is_kept_whole_and_starts_no_more_than_its_rule_may(workspace: Path):
    """1,000 alerts of 40 groups, a log that is locked for up to a second, one kill -9: each 202 is
    there once, each alert once, each group is one incident; of the runs that the rule wants for
    every alert, six are asked for in an hour, one at once in an incident, and a worker runs those.
    """
    with_rule(workspace, per_hour=PER_HOUR, at_once=AT_ONCE)
    storm = deliveries(ALERTS, GROUPS, weight=WEIGHT)
    receiver = Receiver(workspace)
    worker = Worker(workspace)
    try:
        scale = Scale(lambda: receiver.pid)
        with locked_now_and_then(workspace / "outputs" / "imt.db"):
            senders = Senders(receiver.port, storm, lines=LINES, seconds=SECONDS)
            until(lambda: senders.kept > len(storm) // 2, 60)
            receiver.kill()
            receiver.start()
            until(lambda: senders.kept > 0.6 * len(storm), 60)
            scale.mark()
            told = senders.told(60)
        assert told.again["broken"], "the kill was not noticed: it came too late"
        with open_desk(workspace) as desk:
            until(lambda: is_handled(desk, told), 60)
            asked = asked_for(desk)
            until(lambda: is_all_run(desk, asked), 60)
            assert_nothing_lost(desk, told, ALERTS, GROUPS)
            runs = assert_within_limits(desk, per_hour=PER_HOUR, at_once=AT_ONCE)
        growth = scale.growth()
    finally:
        receiver.end()
        worker.end()
    assert growth < MOST_GROWTH, f"the receiver grew by {growth / 2**20:.0f} MiB"
    assert len(told.kept) == len(storm)
    assert len(runs.requested) >= PER_HOUR, "the rule began less than it may"
    assert set(runs.requested) == set(runs.started) == set(runs.completed)
