"""How soon things begin: commands of the terminal, and runs against the papermill command.

    python bench/start.py              # about eight minutes
    python bench/start.py --quick      # under two: fewer rounds, and not twenty at once
    python bench/start.py --only runs  # one part: terminal, runs, journal or crowd

Every round starts each way once, in turn, so that a busy machine slows all alike. Ratios are taken
within a round; medians of the rounds are told, and their range stands beside them.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import notebooks
from facts import folder_for, machine, span, table
from journal import step_costs
from programs import BOOKS, IMT, WHO, imt, worker, workspace
from watching import Asked, Crowd, Told, Watched, watch, watch_all

PAPERMILL = (sys.executable, "-m", "papermill")
BARE = "python -c pass"
PAPERMILL_RUN, COLD, WARM = "papermill", "imt run, cold", "imt run, a worker up"


def main() -> None:
    """Print every part that was asked for."""
    options = _options()
    print(machine())
    parts: dict[str, Callable[[Path, argparse.Namespace], None]] = {
        "terminal": terminal,
        "runs": runs,
        "journal": journal,
        "crowd": crowd,
    }
    for name, part in parts.items():
        if options.only in (name, None) and not (options.quick and name == "crowd"):
            with folder_for(options.folder) as folder:
                part(folder, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", nargs="?", help="where its files lie; else here")
    parser.add_argument("--rounds", type=int, help="rounds of runs (5, quick 2)")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, no crowd")
    parser.add_argument("--only", choices=("terminal", "runs", "journal", "crowd"))
    parser.add_argument("--at-once", type=int, default=20, help="runs of the crowd (20)")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 5)
    return options


# Commands of the terminal


def terminal(folder: Path, options: argparse.Namespace) -> None:
    """Commands that only tell something, against a Python that does nothing."""
    commands = {
        BARE: [sys.executable, "-c", "pass"],
        "imt --help": [*IMT, "--help"],
        "imt incident open --help": [*IMT, "incident", "open", "--help"],
        "imt incident list": [*IMT, "incident", "list"],
    }
    imt(folder, "init", ".")
    imt(folder, "incident", "open", "--title", "For the list")
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(3 * options.rounds + 1):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
            if number:  # the first round fills caches
                taken[name].append(time.perf_counter() - began)
    bare = statistics.median(taken[BARE])
    rows = [(name, span(each), _times(each, bare)) for name, each in taken.items()]
    table("Commands", ("", "ms", "of python -c pass"), rows)


# One run


def runs(folder: Path, options: argparse.Namespace) -> None:
    """One run of each notebook each way: what is seen when, and what is not the cells' own."""
    cold, warm = workspace(folder / "cold"), workspace(folder / "warm")
    with worker(warm):
        ways: dict[str, Callable[[str, int], Told]] = {
            PAPERMILL_RUN: lambda book, number: _papermill(folder / "cold", book, number),
            COLD: lambda book, _: _imt_run(cold, book),
            WARM: lambda book, _: _imt_run(warm, book),
        }
        for book in BOOKS:
            found: dict[str, list[Watched]] = {name: [] for name in ways}
            for number in range(options.rounds + 1):
                for name, told in ways.items():
                    seen = watch(told(book, number))
                    if not seen.is_whole:
                        print(f"{name}, {book}: the run did not complete")
                    elif number:
                        found[name].append(seen)
            _show(book, found)
        _show_claims(warm)


def _show(book: str, found: Mapping[str, Sequence[Watched]]) -> None:
    """Each moment by way, and as a part of papermill's in the same round."""
    moments: Mapping[str, Callable[[Watched], float]] = {
        "on screen": lambda seen: seen.screen,
        "output on disk": lambda seen: seen.output,
        "notebook": lambda seen: seen.notebook,
        "command's end": lambda seen: seen.end,
        "its cells": lambda seen: seen.cells,
        "all but cells": lambda seen: seen.besides,
    }
    rows = []
    for label, moment in moments.items():
        row = [label]
        peer = [moment(one) for one in found[PAPERMILL_RUN]]
        for name, seen in found.items():
            each = [moment(one) for one in seen]
            row.append(span(each))
            if name != PAPERMILL_RUN:
                within = [ours / theirs for ours, theirs in zip(each, peer, strict=False)]
                row.append(f"{statistics.median(within):.0%}")
        rows.append(row)
    head = ["ms: median (range)", PAPERMILL_RUN]
    for name in found:
        head += [] if name == PAPERMILL_RUN else [name, "of papermill's"]
    table(f"One run, {book}", head, rows)


def _show_claims(folder: Path) -> None:
    """What a worker takes from a run's first entry to its last, as the log has it."""
    from imtkit import open_desk
    from imtkit.model.entries import utc_from_text

    rows = []
    with open_desk(folder, actor="Ann Example") as desk:
        entries = list(desk.store.entries())
    for book in BOOKS:
        began = {
            one.data["run"]: one.recorded_at
            for one in entries
            if one.type == "run.started" and one.data["runbook"] == book
        }
        firsts: dict[str, float] = {}
        spans: dict[str, float] = {}
        steps: dict[str, float] = dict.fromkeys(began, 0.0)
        for one in entries:
            run = one.data.get("run", "")
            if run in began and one.type == "step.finished":
                ended, begun = (one.data[name] for name in ("finished_at", "started_at"))
                steps[run] += (utc_from_text(ended) - utc_from_text(begun)).total_seconds()
                if one.data.get("index"):
                    firsts.setdefault(run, (one.recorded_at - began[run]).total_seconds())
            if run in began and one.type == "run.finished":
                spans[run] = (one.recorded_at - began[run]).total_seconds()
        besides = [whole - steps[run] for run, whole in spans.items()]
        # The first run of each was not counted above either.
        told = (list(firsts.values()), list(spans.values()), besides)
        rows.append((book, *(span(each[1:]) for each in told)))
    head = (
        "ms: median (range)",
        "claim to first output's entry",
        "claim to finished",
        "all but its steps",
    )
    table("In the worker, by the log", head, rows)


# Journal


def journal(folder: Path, options: argparse.Namespace) -> None:
    """What a step costs with papermill's engine, with ours, and with ours and the log."""
    costs = step_costs(workspace(folder / "log"), rounds=max(2, options.rounds))
    rows = [(name, span(each)) for name, each in costs.items()]
    table("A step that does nothing", ("ms a step: median (range)", ""), rows)


# Many at once


def crowd(folder: Path, options: argparse.Namespace) -> None:
    """Many alerts at once: as many papermill processes, against as many runs in one worker."""
    number = options.at_once
    names = [f"crowd-{n:02}" for n in range(number)]
    warm = workspace(folder / "warm", dict.fromkeys(names, notebooks.REALISTIC))
    found = {}
    with worker(warm) as server:
        told = [_imt_run(warm, name) for name in names]
        asked = watch_all(told, 240, server, lambda one: _asked(warm, one))
        found[f"{number} runs asked of the worker"] = asked
        told = [_imt_run(warm, name) for name in names]
        found[f"{number} imt run commands, a worker up"] = watch_all(told, 240, server)
    told = [_papermill(warm, name, 0) for name in names]
    found[f"{number} papermill processes"] = watch_all(told, 240, None)
    rows = [_crowd_row(name, one) for name, one in found.items()]
    head = ("realistic", "all done", "first output, median", "its worst", "peak memory", "failed")
    table("Many at once", head, rows)


def _crowd_row(name: str, one: Crowd) -> tuple[str, ...]:
    first, worst = statistics.median(one.outputs), max(one.outputs)
    return (
        name,
        f"{max(one.ends):.1f} s",
        f"{first:.1f} s",
        f"{worst:.1f} s",
        f"{one.peak / 2**20:.0f} MiB",
        str(len(one.ends) - one.whole),
    )


# What runs, and where


def _papermill(folder: Path, book: str, number: int) -> Told:
    written = folder / f"{book}-{number}.out.ipynb"
    command = (*PAPERMILL, f"runbooks/{book}.ipynb", written.name)
    return Told(command, folder, {}, lambda: written if written.exists() else None)


def _imt_run(folder: Path, book: str) -> Told:
    before = set(folder.glob(f"outputs/*/*-{book}.ipynb"))
    seen: list[Path] = []

    def notebook() -> Path | None:
        if not seen:
            seen.extend(set(folder.glob(f"outputs/*/*-{book}.ipynb")) - before)
        return seen[0] if seen else None

    return Told((*IMT, "run", book), folder, WHO, notebook)


def _asked(folder: Path, told: Told) -> Asked:
    """The same run asked of the folder's worker by this process: no command is started for it."""
    from imtkit.config import load_settings
    from imtkit.lab import reach

    server = reach.server_of(load_settings(folder))
    if server is None:
        raise RuntimeError("the worker is gone")
    body = {"runbook": told.command[-1], "actor": WHO["IMT_USER"]}
    return Asked(lambda: list(reach.follow(server, "runs", body)))


def _times(seconds: Sequence[float], bare: float) -> str:
    return f"{statistics.median(seconds) / bare:.1f} ×"


if __name__ == "__main__":
    main()
