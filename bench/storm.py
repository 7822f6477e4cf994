"""A storm of alerts at full size: what is kept, how long senders wait, how far behind it falls.

    python bench/storm.py                          # 10,000 alerts of 200 groups in a minute
    python bench/storm.py --alerts 2000 --seconds 12
    python bench/storm.py --store postgres         # PostgreSQL, crashed and started again

Senders post as Alertmanager does, over connections that they keep, and try again after a 503 and
after a broken connection. Meanwhile the log is held up: another process locks the SQLite file for
up to a second now and then; PostgreSQL is killed with all its processes and started again, or
restarted as by a crash (``pg_ctl restart -m immediate``), in turn. The receiver is killed with
``kill -9`` once, half way. A rule wants a run for every alert, and may begin few; a worker carries
those out. At the end it is checked that each 202 is in the log once, each alert once, that each
group is one incident, that no more runs were asked for and begun than may be, and that the receiver
did not grow by what was posted in the last four tenths of the storm: some 48 MB.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from facts import machine, table
from fire import killing, scene, storms
from programs import wait_until

from imtkit.kit import Desk, intake, open_desk

PER_HOUR, AT_ONCE = 20, 1
WHOLE_WEIGHT = 120_000_000
"""Bytes that all messages hold beside their alerts, so that one who keeps bodies is seen."""
MOST_GROWTH = 30 * 2**20
CRASH_EACH = 15.0
"""Seconds between two crashes of PostgreSQL."""


def main() -> None:
    """One storm; its figures, once the log has been checked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", nargs="?", help="where its files lie; else here")
    parser.add_argument("--alerts", type=int, default=10_000)
    parser.add_argument("--groups", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--lines", type=int, default=16, help="connections (16)")
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--calm", action="store_true", help="nothing is held up or killed")
    parser.add_argument("--no-worker", action="store_true", help="nobody begins what is asked for")
    asked = parser.parse_args()
    print(machine())
    with scene(asked.folder, asked.store) as (root, server):
        storms.with_rule(root, per_hour=PER_HOUR, at_once=AT_ONCE)
        trouble: AbstractContextManager[object] = nullcontext()
        if server is not None:
            trouble = killing.crashing_now_and_then(server, seconds=CRASH_EACH)
        elif not asked.calm:
            trouble = storms.locked_now_and_then(root / "outputs" / "imt.db")
        storm(root, nullcontext() if asked.calm else trouble, asked)
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")


def storm(root: Path, trouble: AbstractContextManager[object], asked: argparse.Namespace) -> None:
    """Send it, wait until all of it is alerts, check the log, and print."""
    weight = WHOLE_WEIGHT // len(storms.deliveries(asked.alerts, asked.groups))
    due = storms.deliveries(asked.alerts, asked.groups, weight=weight)
    receiver = storms.Receiver(root)
    worker = None if asked.no_worker else storms.Worker(root)
    try:
        scale = storms.Scale(lambda: receiver.pid)
        began = time.monotonic()
        with trouble:
            senders = storms.Senders(receiver.port, due, lines=asked.lines, seconds=asked.seconds)
            if not asked.calm:
                wait_until(lambda: senders.kept > len(due) // 2, 600)
                receiver.kill()
                receiver.start()
            wait_until(lambda: senders.kept > 0.6 * len(due), 600)
            scale.mark()
            told = senders.told(600)
        sent = time.monotonic() - began
        with open_desk(root) as desk:
            behind = max(told.kept.values()) - intake.progress(desk).through
            wait_until(lambda: storms.is_handled(desk, told), 1800)
            handled = time.monotonic() - began
            wanted = storms.asked_for(desk) if worker else []
            wait_until(lambda: storms.is_all_run(desk, wanted), 600)
            tell(desk, asked, told, (sent, handled, behind))
        growth = scale.growth()
        print(f"receiver: {scale.most / 2**20:.0f} MiB at most; ", end="")
        print(f"{growth / 2**20:.0f} MiB of them in the last four tenths")
        assert growth < MOST_GROWTH, "the receiver grew by what was posted"
    finally:
        receiver.end()
        if worker:
            worker.end()


def tell(desk: Desk, asked: argparse.Namespace, told: storms.Told, times: Sequence[float]) -> None:
    """What it came to; AssertionError when anything was lost or doubled."""
    sent, handled, behind = times
    alerts = asked.alerts // asked.groups * asked.groups
    storms.assert_nothing_lost(desk, told, alerts, asked.groups)
    runs = storms.assert_within_limits(desk, per_hour=PER_HOUR, at_once=AT_ONCE)
    waits = sorted(told.waits)
    rows = [
        ("deliveries answered 202, all in the log once", f"{len(told.kept):,}"),
        ("alerts, each once", f"{alerts:,}"),
        ("incidents, one for each group", f"{asked.groups}"),
        (f"runs asked for, of {PER_HOUR} an hour", f"{len(runs.requested)}"),
        ("runs begun, each once; completed", f"{len(runs.started)}; {len(runs.completed)}"),
        ("all answered after", f"{sent:.1f} s"),
        ("all alerts after", f"{handled:.1f} s"),
        ("entries behind when the last was answered", f"{behind:,.0f}"),
        ("new alerts a second, over all", f"{alerts / handled:.0f}"),
        ("tries answered 503", f"{told.again['503']:,}"),
        ("tries whose connection broke", f"{told.again['broken']:,}"),
        ("a sender's wait, median", f"{1000 * waits[len(waits) // 2]:.1f} ms"),
        ("99 of 100", f"{1000 * waits[len(waits) * 99 // 100]:.0f} ms"),
        ("the longest, retries counted", f"{waits[-1]:.1f} s"),
    ]
    title = f"{alerts:,} alerts of {asked.groups} groups in {asked.seconds:g} s, {asked.store}"
    table(title + (", calm" if asked.calm else ""), ("", ""), rows)


if __name__ == "__main__":
    main()
