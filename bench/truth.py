"""What a run's record says after the run was broken at a random moment, against what happened.

    python bench/truth.py                  # 200 runs, and papermill's own engine beside them
    python bench/truth.py --runs 12 --json

Each notebook writes a witness file that is on disk before a step is called done; log and notebook
are held against it. Every run is a process of its own, broken in one of the ways of ``WAYS``.
The same notebook is broken in the same ways under plain papermill.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from facts import folder_for, machine, table

STEPS = 4
STEP_SECONDS = 0.3
WAYS = (
    "exception",
    "timeout",
    "stubborn",
    "kernel-kill",
    "SIGINT",
    "SIGTERM",
    "SIGKILL",
    "locked",
    "full-disk",
    "memory-cap",
    "memory-error",
)
BY_THE_CELL = ("exception", "timeout", "stubborn", "memory-cap", "memory-error")
"""The ways in which a cell breaks its own run."""

PAPERMILLS = ("exception", "timeout", "kernel-kill", "SIGINT", "SIGTERM", "SIGKILL", "memory-error")
MEMORY_MB = 400
COUNTS = ("false completed", "completed lost", "outputs lost", "kernels leaked", "sockets left")

FIRST = """
import os, resource, time
def witness(word):
    with open(os.environ["WITNESS"], "a") as file:
        file.write(word + "\\n")
        file.flush()
        os.fsync(file.fileno())
def mischief(step):
    if os.environ["BROKEN_AT"] != str(step):
        return
    if os.environ["WAY"] == "exception":
        raise RuntimeError("broken on purpose")
    while os.environ["WAY"] in ("timeout", "stubborn"):
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            if os.environ["WAY"] == "timeout":
                raise
    hoard = []
    if os.environ["WAY"] == "memory-error":
        held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + 100_000_000, resource.RLIM_INFINITY))
        while True:
            hoard.append(bytearray(1_000_000))
    while os.environ["WAY"] == "memory-cap":
        hoard.append(b"x" * 20_000_000)
        time.sleep(0.05)
witness(f"pid {os.getpid()}")
"""
STEP = """
witness("begin {n}")
print("first of {n}", flush=True)
time.sleep({seconds})
mischief({n})
print("token {n}", flush=True)
witness("end {n}")
"""


@dataclass(frozen=True)
class Trial:
    """One run to be broken: by which engine it runs, in which way, and the chances' seed."""

    engine: str
    way: str
    seed: int


@dataclass(frozen=True)
class Told:
    """What a record says: the status of each step in each place, and what is left of outputs."""

    log: Mapping[str, str]
    notebook: Mapping[str, str]
    texts: Mapping[str, str]


def notebook() -> dict[str, Any]:
    """The notebook that is run."""
    sources = {"first": FIRST}
    sources |= {f"s{n}": STEP.format(n=n, seconds=STEP_SECONDS) for n in range(1, STEPS + 1)}
    cells: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": id_,
            "metadata": {},
            "outputs": [],
            "source": source.strip(),
        }
        for id_, source in sources.items()
    ]
    spec = {"display_name": "python3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": spec, "imtkit": {"memory_mb": MEMORY_MB}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def in_child(trial: Trial, folder: Path, environment: Mapping[str, str]) -> int:
    """Begin the run in a process of its own; its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        os.chdir(folder)
        os.environ.update(environment)
        tempfile.tempdir = None
        out = os.open(folder / "said.txt", os.O_WRONLY | os.O_CREAT)
        os.dup2(out, 1)
        os.dup2(out, 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        code = run_by_papermill(trial) if trial.engine == "papermill" else run_by_imt(trial)
    except BaseException as error:  # noqa: BLE001 # a child never comes back into its parent
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(code)


def run_by_imt(trial: Trial) -> int:
    """``imt run``, as the terminal calls it."""
    from imtkit.cli import main

    limits = ["--timeout", "2"] if trial.way in ("timeout", "stubborn") else []
    return main(["run", "truth", "--actor", "Ann Example", *limits])


def run_by_papermill(trial: Trial) -> int:
    """What ``papermill in.ipynb out.ipynb`` calls."""
    import papermill

    limit = 2 if trial.way == "timeout" else None
    papermill.execute_notebook(
        "runbooks/truth.ipynb",
        "out.ipynb",
        progress_bar=False,
        execution_timeout=limit,
        autosave_cell_every=1,
    )
    return 0


def broken(trial: Trial, template: Path, folder: Path) -> Counter[str]:
    """Run once, break it, clear up, and count what the record got wrong."""
    chance = random.Random(trial.seed)
    shutil.copytree(template, folder)
    temp = Path(tempfile.mkdtemp(prefix="t-"))
    witness = folder / "witness.txt"
    environment = {
        "WITNESS": str(witness),
        "WAY": trial.way,
        "BROKEN_AT": str(chance.randint(1, STEPS)),
        "TMPDIR": str(temp),
    }
    try:
        pid = in_child(trial, folder, environment)
        if trial.way not in BY_THE_CELL:
            break_it(trial.way, pid, folder, chance)
        wait_for_end(pid)
        told = told_by_papermill(folder) if trial.engine == "papermill" else told_by_imt(folder)
        wrong = verdict(told, witness.read_text().splitlines() if witness.exists() else [])
        wrong["kernels leaked"] = leaked(witness)
        wrong["sockets left"] = len(list(temp.glob("imt-*")))
        wrong["runs"] = 1
        if trial.engine == "imt" and any(wrong[name] for name in COUNTS):
            print(trial, environment["BROKEN_AT"], dict(wrong), told, folder, file=sys.stderr)
        else:
            shutil.rmtree(folder)
        return wrong
    finally:
        shutil.rmtree(temp, ignore_errors=True)


def break_it(way: str, pid: int, folder: Path, chance: random.Random) -> None:
    """Break a run at a random moment: often in its steps, now and then while it starts."""
    witness = folder / "witness.txt"
    if chance.random() < 0.8:
        until = time.monotonic() + 30
        while not witness.exists() and time.monotonic() < until:
            time.sleep(0.01)
    time.sleep(chance.uniform(0, STEPS * STEP_SECONDS + 0.2))
    if way == "kernel-kill":
        for process in kernels(witness) - {pid}:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
    elif way == "locked":
        lock_for(folder / "outputs" / "imt.db", chance.uniform(0.2, 1.5))
    elif way == "full-disk":
        with suppress(ProcessLookupError):
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            time.sleep(chance.uniform(0.2, 1.0))
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
    else:
        with suppress(ProcessLookupError):
            os.kill(pid, getattr(signal, way))


def lock_for(path: Path, seconds: float) -> None:
    """Hold the log's write lock for a while."""
    other = sqlite3.connect(path, timeout=10, isolation_level=None)
    with suppress(sqlite3.OperationalError):
        other.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
        other.execute("ROLLBACK")
    other.close()


def wait_for_end(pid: int) -> None:
    """Wait for a run's process; one that hangs is killed, and its record shows it."""
    until = time.monotonic() + 60
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return
        time.sleep(0.02)


def told_by_imt(folder: Path) -> Told:
    """What the log and the notebook say, after a reaper pass."""
    from imtkit.kit import open_desk, running

    with open_desk(folder, actor="Ann Example") as desk:
        running.reap(desk, is_thorough=True)
        assert desk.store.verify() == []
        (run, *_) = [*running.list_(desk), None]
    if run is None:
        return Told({}, {}, {})
    assert run.status != "running", run
    statuses, texts = read(folder / run.output_path, "imtkit")
    return Told({step.id: step.status for step in run.steps}, statuses, texts)


def told_by_papermill(folder: Path) -> Told:
    """What papermill's notebook says; it has no other record."""
    statuses, texts = read(folder / "out.ipynb", "papermill")
    return Told(statuses, statuses, texts)


def read(path: Path, whose: str) -> tuple[dict[str, str], dict[str, str]]:
    """The status of each cell and what it printed, by id."""
    if not path.exists() or not path.stat().st_size:
        return {}, {}
    cells = [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"]
    statuses = {c["id"]: c["metadata"].get(whose, {}).get("status", "") for c in cells}
    texts = {c["id"]: "".join("".join(o.get("text", "")) for o in c["outputs"]) for c in cells}
    return statuses, texts


def verdict(told: Told, witness: list[str]) -> Counter[str]:
    """What is wrong with a record. A step is known to be over when the next one has begun."""
    wrong: Counter[str] = Counter()
    for n in range(1, STEPS + 1):
        id_ = f"s{n}"
        is_done = f"end {n}" in witness
        is_over = is_done and f"begin {n + 1}" in witness
        claims = [place.get(id_) for place in (told.log, told.notebook)]
        wrong["false completed"] += "completed" in claims and not is_done
        wrong["completed lost"] += is_over and told.log.get(id_) != "completed"
        is_acknowledged = told.log.get(id_) == "completed" and is_done
        wrong["outputs lost"] += is_acknowledged and f"token {n}" not in told.texts.get(id_, "")
    return wrong


def kernels(witness: Path) -> set[int]:
    """The processes that live and whose environment names this witness."""
    found = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            is_alive = process.status() != psutil.STATUS_ZOMBIE
            if is_alive and process.environ().get("WITNESS") == str(witness):
                found.add(process.pid)
    return found


def leaked(witness: Path) -> int:
    """How many processes are left two seconds after the end; they are ended."""
    until = time.monotonic() + 2
    while kernels(witness) and time.monotonic() < until:
        time.sleep(0.1)
    left = kernels(witness)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(left)


def prepare(root: Path) -> Path:
    """A workspace with the notebook and an empty log, to be copied for each run."""
    from imtkit.kit import open_desk

    template = root / "template"
    for folder in ("runbooks", "outputs"):
        (template / folder).mkdir(parents=True)
    (template / "imt.toml").write_text("")
    (template / "runbooks" / "truth.ipynb").write_text(json.dumps(notebook()))
    open_desk(template, actor="Ann Example").close()
    return template


def warm() -> None:
    """Load what runs need, once for each worker and not for each run."""
    import nbclient  # noqa: F401 # loaded for the forks
    import papermill  # noqa: F401 # loaded for the forks

    import imtkit.cli.run
    import imtkit.kit.running
    import imtkit.runs.engine  # noqa: F401 # loaded for the forks


def main() -> int:
    """Print what was wrong, by engine and way; 1 when imtkit's record was wrong anywhere."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--papermill", type=int, default=60, help="runs of plain papermill")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", help="where to work; else below the working directory")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    trials = [Trial("imt", WAYS[i % len(WAYS)], asked.seed + i) for i in range(asked.runs)]
    trials += [
        Trial("papermill", PAPERMILLS[i % len(PAPERMILLS)], asked.seed + i)
        for i in range(asked.papermill)
    ]
    counts: dict[tuple[str, str], Counter[str]] = {}
    with folder_for(asked.folder) as root:
        template = prepare(root)
        with ProcessPoolExecutor(2, initializer=warm) as pool:
            folders = [root / f"{i}" for i in range(len(trials))]
            results = pool.map(broken, trials, [template] * len(trials), folders)
            for trial, wrong in zip(trials, results, strict=True):
                counts.setdefault((trial.engine, trial.way), Counter()).update(wrong)
    rows = [(*key, count) for key, count in counts.items()]
    total = Counter[str]()
    for engine, _, count in rows:
        total.update(count if engine == "imt" else {})
    if asked.json:
        print(json.dumps([{"engine": e, "way": w, **dict(c)} for e, w, c in rows]))
    else:
        print(machine())
        head = ("engine, way", "runs", *COUNTS)
        lines = [(f"{e}, {w}", *(str(c[n]) for n in ("runs", *COUNTS))) for e, w, c in rows]
        table("What the record got wrong", head, lines)
    return 1 if any(total[name] for name in COUNTS) else 0


if __name__ == "__main__":
    sys.exit(main())
