"""Kernels that are ready before anybody asks for one, with the runbooks' imports done."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from imtkit.config import Settings
from imtkit.errors import KernelError
from imtkit.runs.forks import Fork, ForkServer, Question, UnloadableError, fork_in
from imtkit.runs.forkserver import IMTKIT_MODULES, KERNEL_MODULES
from imtkit.runs.imports import Loaded, RunbookImports
from imtkit.runs.leftovers import lease_pool, socket_folder

_GUESSED_MB = 20.0
"""What a ready kernel adds, before one was measured."""

_MEASURE_SECONDS = 30.0
_LONGEST_BACKOFF = 60.0
_LONGEST_FOLDER = 85
"""Bytes of the folder's path: a socket's, which is in a folder in it, has 107 at most."""

_WHEN_TOO_BIG = 600.0
"""Seconds until it is tried again whether what is loaded fits into the memory by now."""


_WARMING_UP: tuple[tuple[str, Mapping[str, Any]], ...] = (
    # what a kernel must have answered to be ready; the first execution is slower than the next
    ("kernel_info_request", {}),
    ("execute_request", {"code": "None", "silent": True, "store_history": False}),
)


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds a pool gives to importing one module and to a kernel's first answer, how
    long it rests after a claim before it forks again, and how often it looks around.
    """

    module: float = 30.0
    kernel: float = 30.0
    rest: float = 1.0
    look: float = 2.0


@dataclass(frozen=True, slots=True)
class PoolReport:
    """How a pool stands. ``why`` says why nothing is ready; it is empty when something is.

    ``left_out`` are modules that were not loaded, with the reason. Memory is in MiB, shared
    pages counted by their share: of the fork server and the kernels that are ready.
    """

    ready: int
    starting: int
    claimed: int
    forkserver: int | None
    memory_mb: float
    left_out: Mapping[str, str] = field(default_factory=dict)
    why: str = ""


@dataclass(slots=True)
class _Generation:
    """A fork server, what it loaded, and the kernels of it that nobody has claimed."""

    server: ForkServer
    loaded: Loaded
    wanted: tuple[str, ...]
    ready: list[Fork] = field(default_factory=list)


class Pool:
    """Keeps kernels ready in the background, for one process of one workspace.

    They are forked from a process that loaded everything; where there is no fork that is worth
    it (macOS, Windows) nothing is kept ready, and kernels start cold. ``environment`` is what
    they begin with, else this process's. All methods may be called from any thread; ``claim``
    and ``fork`` are quick enough for an event loop.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        environment: Mapping[str, str] | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.environment = dict(os.environ if environment is None else environment)
        # Its absence keeps ipykernel from watching a parent that is not the one it was told.
        self.environment.pop("JPY_PARENT_PID", None)
        self.cwd = settings.root
        self._kernels = settings.kernels
        self._leases = settings.leases
        self._patience = patience or Patience()
        self._runbooks = RunbookImports(settings.runbook_folders)
        self._extra = _store_modules(settings.store_url)
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._generation: _Generation | None = None
        self._beginning: ForkServer | None = None
        self._retired: list[ForkServer] = []
        self._claimed: list[Fork] = []
        self._doomed: dict[str, str] = {}
        self._is_closing = False
        self._is_starting = False
        self._failures = 0
        self._not_before = 0.0
        self._measure_at = 0.0
        self._numbers = count(1)
        self._why = "it was not started"

    def start(self) -> None:
        """Begin to keep kernels ready, in the background; again does nothing."""
        if self._thread is not None:
            return
        if not sys.platform.startswith("linux"):
            self._why = "kernels are kept ready on Linux only"
            return
        if not self._kernels.warm:
            self._why = "[kernels] warm is 0"
            return
        import zmq

        try:
            self._folder = socket_folder()
            self._lease = lease_pool(self._leases, self._folder)
        except OSError as fault:
            self._why = f"no folder for sockets could be had: {fault.strerror}"
            return
        if len(str(self._folder).encode()) > _LONGEST_FOLDER:
            self._why = f"{self._folder.parent} is too long a path for sockets"
            self._clean_up()
            return
        self._why = "the first is being started"
        self._lifeline, self._our_end = os.pipe()
        self._context: zmq.Context[Any] = zmq.Context()
        self._thread = threading.Thread(target=self._work, name="imt-pool", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End all that it started, claimed kernels too; nothing is left."""
        with self._lock:
            if self._thread is None or self._is_closing:
                return
            self._is_closing = True
            self._why = "it was closed"
            begun = [self._beginning] if self._beginning else []
        self._wake.set()
        for server in begun:
            server.end()
        self._thread.join()
        with self._lock:
            generation, self._generation = self._generation, None
            servers = [*self._retired, *([generation.server] if generation else [])]
            claimed, self._claimed = self._claimed, []
        for server in servers:
            server.end()
        for fork in claimed:  # one whose fork server died before it
            fork.kill()
        self._context.term()
        os.close(self._our_end)
        os.close(self._lifeline)
        self._clean_up()

    def claim(self) -> Fork | None:
        """A ready kernel that nobody else gets, or None when there is none that is fresh."""
        with self._lock:
            generation = self._fresh()
            self._rest()
            while generation is not None and generation.ready:
                fork = generation.ready.pop(0)
                if fork.is_alive:
                    self._claimed.append(fork)
                    return fork
                fork.kill()
            return None

    @property
    def has_ready(self) -> bool:
        """Whether a fresh kernel is ready that nobody has claimed."""
        with self._lock:
            generation = self._fresh()
            return generation is not None and bool(generation.ready)

    def is_fresh(self, fork: Fork) -> bool:
        """Whether a kernel lives, and nothing has changed of what it loaded."""
        with self._lock:
            generation = self._fresh()
        return generation is not None and fork.server is generation.server and fork.is_alive

    def fork(self, file: str, *, cwd: str, environment: Mapping[str, str | None]) -> Fork | None:
        """A kernel forked now, which begins as any does by reading its connection file.

        It takes longer than a claim and much less than a cold start. None when nothing fresh
        is there to fork from.
        """
        with self._lock:
            generation = self._fresh()
            self._rest()
        if generation is None:
            return None
        try:
            process = generation.server.fork(file, cwd=cwd, environment=environment)
        except KernelError:
            return None
        fork = Fork(generation.server, process)
        with self._lock:
            self._claimed.append(fork)
        return fork

    def release(self, fork: Fork) -> None:
        """Take back a claimed kernel that is of no more use: it is killed, its folder removed."""
        fork.kill()
        with self._lock, suppress(ValueError):
            self._claimed.remove(fork)

    def ask(self, fork: Fork, kind: str, content: Mapping[str, Any]) -> Question:
        """Put a question to a ready or claimed kernel, on its shell channel."""
        import zmq

        try:
            return Question(self._context, fork.connection, kind, content)
        except zmq.ZMQError as error:  # no more open files, or the pool was closed
            raise KernelError(f"no socket could be had: {error}", retryable=True) from error

    def report(self) -> PoolReport:
        """How the pool stands now."""
        with self._lock:
            generation = self._generation
            ready = list(generation.ready) if generation else []
            server = generation.server if generation else self._beginning
            left_out = {**(generation.loaded.left_out if generation else {}), **self._doomed}
            claimed = sum(fork.is_alive for fork in self._claimed)
            is_starting, why = self._is_starting, self._why
            if self._thread is not None and not (self._is_closing or self._thread.is_alive()):
                why = "its thread ended on a fault of imtkit's own"
        held = held_mb([*([server.pid] if server else []), *(fork.process.pid for fork in ready)])
        return PoolReport(
            ready=len(ready),
            starting=int(is_starting),
            claimed=claimed,
            forkserver=server.pid if server else None,
            memory_mb=round(held, 1),
            left_out=left_out,
            why="" if ready else why,
        )

    def _clean_up(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._lease.unlink(missing_ok=True)

    def _rest(self) -> None:
        """Leave the processors to the run that has just begun, for a while.

        Whoever comes meanwhile does not make it longer, or many would keep the pool empty.
        """
        now = time.monotonic()
        if self._not_before < now:
            self._not_before = now + self._patience.rest
        self._wake.set()

    def _fresh(self) -> _Generation | None:
        """The fork server to use, unless something has changed since it loaded what it loaded."""
        generation = self._generation
        if generation is None or self._is_closing or not generation.server.is_alive:
            return None
        changed = generation.loaded.changed()
        if not changed and self._runbooks.now() != generation.wanted:
            changed = "what the runbooks import"
        if not changed:
            return generation
        self._why = f"a new one is being started, because this has changed: {changed}"
        self._retire(generation)
        return None

    def _retire(self, generation: _Generation) -> None:
        """Hand out nothing of it any more; the kernels that were claimed live on."""
        self._generation = None
        self._retired.append(generation.server)
        generation.server.retire()
        for fork in generation.ready:
            fork.kill()
        generation.ready.clear()
        self._doomed = {}
        self._rest()

    # What follows happens in the pool's own thread.

    def _work(self) -> None:
        while not self._is_closing:
            self._wake.clear()
            with self._lock:
                self._bury()
                is_there = self._fresh() is not None
                nap = self._not_before - time.monotonic()
            if nap <= 0 and not self._is_closing:
                nap = self._step(is_there)
            self._wake.wait(max(0.0, min(nap, self._patience.look)))

    def _bury(self) -> None:
        """Forget what has ended."""
        self._retired = [server for server in self._retired if not server.has_ended]
        self._claimed = [one for one in self._claimed if one.is_alive or one.is_in_use]
        generation = self._generation
        if generation is None:
            return
        if not generation.server.is_alive:
            self._retire(generation)
            self._fail("the process that forks kernels ended")
            return
        for fork in [one for one in generation.ready if not one.is_alive]:
            generation.ready.remove(fork)
            fork.kill()
            self._fail("a kernel ended before anybody claimed it")

    def _step(self, is_there: bool) -> float:
        """Do the next piece of work; seconds until there may be more."""
        try:
            if not is_there:
                return self._begin()
            return self._refill()
        except UnloadableError as fault:
            self._doomed[fault.module] = fault.why
            return 0.0
        except (KernelError, OSError) as fault:
            self._fail(str(fault))
            return self._not_before - time.monotonic()

    def _fail(self, why: str) -> None:
        """Try again, but later each time."""
        self._failures += 1
        pause = min(_LONGEST_BACKOFF, 0.25 * 2 ** min(self._failures, 10))
        self._not_before = time.monotonic() + pause
        self._why = f"{why}; next attempt in {pause:.0f} s"

    def _begin(self) -> float:
        """Start a fork server and have it load what is wanted."""
        wanted = self._runbooks.now()
        modules = [*KERNEL_MODULES, *IMTKIT_MODULES, *self._extra, *wanted, *self._kernels.imports]
        server = ForkServer(
            self._folder,
            self._lifeline,
            cwd=self.cwd,
            environment=self.environment,
            heard=self._wake.set,
        )
        with self._lock:
            self._beginning = server
        if self._is_closing:  # close() may have looked before there was anything to end
            server.end()
        try:
            sound = [n for n in dict.fromkeys(modules) if n.partition(":")[0] not in self._doomed]
            loaded = server.load(sound, self._patience.module)
        except (KernelError, UnloadableError):
            server.end()
            raise
        finally:
            with self._lock:
                self._beginning = None
        held = held_mb([server.pid])
        if held > self._kernels.memory_mb:
            server.end()
            self._not_before = time.monotonic() + _WHEN_TOO_BIG
            self._why = f"what is to be loaded takes {held:.0f} MiB, more than [kernels] memory_mb"
            return _WHEN_TOO_BIG
        with self._lock:
            self._generation = _Generation(server, loaded, wanted)
        return 0.0

    def _refill(self) -> float:
        """Make one more kernel ready, if one is missing and there is memory for it.

        What they hold grows without us, for they share less when claimed ones end: now and then
        it is looked whether one is too many.
        """
        with self._lock:
            generation = self._generation
            is_full = generation is None or len(generation.ready) >= self._kernels.warm
            if generation is None or (is_full and time.monotonic() < self._measure_at):
                return self._patience.look
            pids = [fork.process.pid for fork in generation.ready]
        self._measure_at = time.monotonic() + _MEASURE_SECONDS
        held = held_mb([generation.server.pid, *pids])
        if held > self._kernels.memory_mb:
            with self._lock:
                if generation.ready:
                    generation.ready.pop().kill()
            self._not_before = self._measure_at  # or the next would be one too many again
            return self._patience.look
        another = held_mb(pids[:1], "Private_Dirty:") or _GUESSED_MB
        if held + another > self._kernels.memory_mb:
            self._why = f"{held + another:.0f} MiB would be more than [kernels] memory_mb"
            return self._patience.look
        if is_full:
            return self._patience.look
        self._is_starting = True
        try:
            fork = self._made_ready(generation.server)
        finally:
            self._is_starting = False
        with self._lock:
            if self._generation is generation and not self._is_closing:
                generation.ready.append(fork)
                self._failures = 0
                self._why = "the next is being started"
                return 0.0
        fork.kill()
        return 0.0

    def _made_ready(self, server: ForkServer) -> Fork:
        """A new kernel that has answered; KernelError when it does not."""
        fork = fork_in(server, self._folder / str(next(self._numbers)))
        for kind, content in _WARMING_UP:
            question = self.ask(fork, kind, content)
            try:
                if not self._is_answered(fork, question):
                    break
            finally:
                question.close()
        else:
            return fork
        fork.kill()
        raise KernelError("a forked kernel did not answer")

    def _is_answered(self, fork: Fork, question: Question) -> bool:
        ends_at = time.monotonic() + self._patience.kernel
        while fork.is_alive and time.monotonic() < ends_at and not self._is_closing:
            if question.answer(0.2) is not None:
                return True
        return False


def held_mb(pids: Iterable[int], kind: str = "Pss:") -> float:
    """The memory of processes in MiB; what several share is counted by their share."""
    total = 0
    for pid in pids:
        with suppress(OSError):  # it has ended
            told = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
            lines = (line.split() for line in told.splitlines())
            total += next((int(line[1]) for line in lines if line[0] == kind), 0)
    return total / 1024


def _store_modules(url: str) -> tuple[str, ...]:
    """What a log that is not SQLite is opened with besides."""
    if url.startswith("postgresql"):
        return ("psycopg", "sqlalchemy.dialects.postgresql.psycopg")
    return ()
