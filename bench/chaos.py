"""Receiver, workers and PostgreSQL killed at random under load; what was promised, what is there.

    python bench/chaos.py                      # 50 kills of all three, the log in PostgreSQL
    python bench/chaos.py --store sqlite       # 50 of receiver and worker
    python bench/chaos.py --kills 10 --seed 7  # other moments

Alerts come in all the time and ask for runs. Each victim is killed with ``kill -9`` (PostgreSQL
with all its processes, now and then by ``pg_ctl restart -m immediate`` instead) and started again
after a random moment. At the end it is checked that each 202 is in the log once, that each group
is one incident, that each run that was asked for ended or waits for its person, that what is done
once was done once, and that no two kernels ever were at one run. It takes some seven seconds a
kill, and half an hour at most.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter

from facts import machine, table
from fire import killing, scene

KINDS = {
    "sqlite": ("worker", "receiver"),
    "postgres": ("postgres", "worker", "receiver", "postgres", "worker", "receiver", "restart"),
}
NAMES = {
    "receiver": "imt serve, kill -9",
    "worker": "imt worker, kill -9",
    "postgres": "PostgreSQL, kill -9 of all its processes",
    "restart": "PostgreSQL, pg_ctl restart -m immediate",
    "outage": "PostgreSQL, kill -9, and away for 35 s",
}


def main() -> None:
    """One long chaos; its table, once the log has been checked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", nargs="?", help="where its files lie; else here")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--outages", type=int, default=0, help="35 s without PostgreSQL, so often")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--store", choices=tuple(KINDS), default="postgres")
    asked = parser.parse_args()
    print(machine())
    with scene(asked.folder, asked.store) as (root, server):
        killing.prepare(root)
        kills = killing.random_kills(asked.kills, KINDS[asked.store], seed=asked.seed)
        kills += ["outage"] * asked.outages
        plan = killing.Plan(kills, 2 * len(kills), 2.5, asked.seed, asked.workers)
        tell(killing.carry_through(root, plan, server), asked)
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")


def tell(outcome: killing.Outcome, asked: argparse.Namespace) -> None:
    """What it came to."""
    told, found, runs = outcome.told, outcome.found, outcome.runs
    attempts = Counter(run.attempt for run in runs)
    rows = [(NAMES[kind], f"{number}") for kind, number in sorted(outcome.killed.items())]
    rows += [
        ("tries of senders that were answered 503", f"{told.again['503']}"),
        ("tries whose connection broke", f"{told.again['broken']}"),
        ("promised: deliveries answered 202", f"{len(told.kept)}"),
        ("found: of these in the log, each once", f"{len(told.kept)}"),
        ("alerts, each once in its incident", f"{len(found.alerts)}"),
        ("incidents, one for each group", f"{len(found.incidents)}"),
        ("runs asked for", f"{len(found.requested)}"),
    ]
    ended = Counter(run.status for run in runs)
    rows += [(f"runs {status}", f"{number}") for status, number in sorted(ended.items())]
    rows += [(f"runs begun {tries} times", f"{attempts[tries]}") for tries in sorted(attempts)]
    rows += [
        (
            "cells done once that died with their worker",
            f"{outcome.once_died}",
        ),
        ("cells done twice, runs on two kernels at once", "none"),
        ("from the first kill to the last word", f"{outcome.seconds:.0f} s"),
    ]
    table(f"{asked.kills} kills, {asked.store}, seed {asked.seed}", ("", ""), rows)


if __name__ == "__main__":
    main()
