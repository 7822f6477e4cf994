"""The programs that benchmarks start in a workspace: ``imt``, its worker, and whatever listens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import notebooks
import psutil

IMT = (sys.executable, "-c", "import sys; from imtkit.cli import main; sys.exit(main())")
WHO = {"IMT_USER": "Ann Example"}
BOOKS = {"trivial": notebooks.TRIVIAL, "realistic": notebooks.REALISTIC}


def imt(folder: Path, *arguments: str) -> None:
    """Run an ``imt`` command in a workspace to its end."""
    command, environment = [*IMT, *arguments], {**os.environ, **WHO}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)


def workspace(folder: Path, books: Mapping[str, Sequence[str]] | None = None) -> Path:
    """A new workspace with these notebooks (name -> cells) as its runbooks; else with BOOKS."""
    folder.mkdir()
    imt(folder, "init", ".")
    for name, sources in (books or BOOKS).items():
        notebooks.write(folder / "runbooks" / f"{name}.ipynb", sources)
    return folder


@contextmanager
def listening(command: Sequence[str], folder: Path) -> Iterator[str]:
    """A program that prints the ``url`` where it listens, as JSON; it is told to end afterwards."""
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = ""
        while not said.rstrip().endswith("}"):
            line = process.stdout.readline()
            assert line, f"it ended before it listened: {said}"
            said += line
        try:
            yield str(json.loads(said)["url"])
        finally:
            process.send_signal(signal.SIGTERM)


@contextmanager
def worker(folder: Path) -> Iterator[psutil.Process]:
    """A worker of the workspace, up and its kernels ready."""
    as_root = [] if os.geteuid() else ["--jupyter=--allow-root"]
    said = folder / "worker.log"
    with said.open("wb") as log:
        child = subprocess.Popen(
            [*IMT, "worker", *as_root],
            cwd=folder,
            env={**os.environ, **WHO},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )

    def is_up() -> bool:
        assert child.poll() is None, said.read_text()
        return any(folder.glob("outputs/.running/server-*.json"))

    try:
        wait_until(is_up, 60, each=0.1)
        _settle(psutil.Process(child.pid))
        yield psutil.Process(child.pid)
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def wait_until(is_so: Callable[[], object], seconds: float, *, each: float = 0.2) -> None:
    """Wait until something is so, looking every ``each`` seconds: this machine has other work."""
    ends_at = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > ends_at:
            raise TimeoutError(f"it did not come about in {seconds:g} s")
        time.sleep(each)


def _settle(server: psutil.Process) -> None:
    """Wait until a worker and its children do nothing any more: its kernels are ready."""
    quiet = 0
    for _ in range(100):
        whole = [server, *server.children(recursive=True)]
        before = sum(sum(one.cpu_times()[:2]) for one in whole if one.is_running())
        time.sleep(0.5)
        after = sum(sum(one.cpu_times()[:2]) for one in whole if one.is_running())
        quiet = quiet + 1 if after - before < 0.03 else 0
        if quiet == 4:
            return
