"""Kernels of runs that a Jupyter Server owns, and keeps while a person may want them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_server.serverapp import ServerApp
from tornado.web import HTTPError

from imtkit.lab.kernels import WARM_KERNELS
from imtkit.lab.office import Office
from imtkit.runs.kernels import Wanted
from imtkit.runs.pool import Pool

Answer = TypeVar("Answer")

_SPARE_PAUSE = 5.0
"""Seconds until it is tried again to have a kernel up, where that came to a cold one; then twice as
long, and so on.
"""

_KEPT = ("waiting", "failed", "timed-out")
"""How a run may have ended whose kernel a person may want to go on with."""


@dataclass(frozen=True, slots=True)
class Held:
    """A kernel that ran steps of a run. ``pid`` was its process then: a restart has another.

    ``idle_since`` (the loop's time) is when it was last seen in use; None while the run goes on.
    ``is_new_to_run``: a page started it, or it was begun ahead: it knows nothing of the run.
    """

    run: str
    kernel: str
    session: str
    pid: int
    idle_since: float | None = None
    is_new_to_run: bool = False


class Ahead:
    """A kernel that comes up while it is not yet known of which run it will be."""

    def __init__(self, name: str, cwd: Path, kernel: Future[str]) -> None:
        self.kernel = kernel
        self.is_taken = False
        self._name = name
        self._cwd = cwd

    async def taken(self, wanted: Wanted) -> str:
        """Its id, if it is what the run wants, and came up; else empty."""
        if (wanted.name, wanted.cwd) != (self._name, self._cwd):
            return ""
        with suppress(Exception):  # the run's own try tells whoever waits what is wrong
            kernel = await asyncio.wrap_future(self.kernel)
            self.is_taken = True
            return kernel
        return ""


@dataclass(frozen=True, slots=True)
class Spare:
    """A kernel that is up, of which no run knows yet."""

    name: str
    cwd: Path
    kernel: str


class HeldKernels:
    """The kernels of this server's runs, by run. Used on the server's event loop alone.

    The notebook of a run has a Jupyter session with its kernel, so that whoever opens the
    notebook sits at that very kernel.
    """

    def __init__(self, server: ServerApp, office: Office) -> None:
        self._server = server
        self._kernels = server.kernel_manager
        self._sessions = server.session_manager
        self._office = office
        self._held: dict[str, Held] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._spare: Spare | None = None
        self._no_spare_before = float("-inf")
        self._spare_pause = _SPARE_PAUSE

    async def keep_spare(self, name: str, cwd: Path) -> None:
        """Have one kernel more up than the runs need, while the pool has some that are ready: the
        next run need not even wait for a claim. To be called now and then.
        """
        spare, self._spare = self._spare, None  # a run that comes meanwhile does without
        if spare is not None and await self._is_good(spare):
            self._spare = spare
            return
        pool: Pool | None = self._server.web_app.settings.get(WARM_KERNELS)
        now = asyncio.get_running_loop().time()
        if pool is None or now < self._no_spare_before:
            return
        if not await asyncio.to_thread(getattr, pool, "has_ready"):
            return
        made = Spare(name, cwd, await self._start_unnamed(name, cwd))
        if await self._is_good(made):
            self._spare, self._spare_pause = made, _SPARE_PAUSE
        else:  # it is cold: kernels of this name may never come from the pool
            self._no_spare_before = now + self._spare_pause
            self._spare_pause *= 2

    async def _is_good(self, spare: Spare) -> bool:
        """Whether a kernel that is asked for now would be no other than this; else it is ended."""
        with suppress(HTTPError, KeyError):  # it has ended by itself
            provisioner = self.manager(spare.kernel).provisioner
            if await asyncio.to_thread(getattr, provisioner, "is_fresh", False):
                return True
            await self._kernels.shutdown_kernel(spare.kernel, now=True)
        return False

    async def start_ahead(self, name: str, cwd: Path) -> str:
        """A kernel for a run of which nothing else is known yet; its id."""
        spare = self._spare
        if spare is not None and (spare.name, spare.cwd) == (name, cwd):
            self._spare = None
            if await self._is_good(spare):
                return spare.kernel
        return await self._start_unnamed(name, cwd)

    async def _start_unnamed(self, name: str, cwd: Path) -> str:
        own = dict(os.environ)  # a copy, to which its run's are added later
        return str(await self._kernels.start_kernel(kernel_name=name, env=own, cwd=str(cwd)))

    async def drop(self, ahead: Ahead) -> None:
        """End a kernel that was started ahead, if no run has taken it."""
        with suppress(Exception):  # it did not come up, which nobody was told either
            kernel = await asyncio.wrap_future(ahead.kernel)
            if not ahead.is_taken and kernel in self._kernels:
                await self._kernels.shutdown_kernel(kernel, now=True)

    async def start(self, wanted: Wanted, ahead: Ahead | None = None) -> Held:
        """A kernel for a run: the one held for it, its notebook's own, one begun ahead, or new."""
        run = wanted.environment["IMT_RUN"]
        held = self._held.get(run)
        if held is not None and not self.pid(held.kernel):
            await self.end(run)  # it died, and nobody restarted it
            held = None
        if held is not None:
            again = replace(held, pid=self.pid(held.kernel), idle_since=None, is_new_to_run=False)
        else:
            again = await self._begin(run, wanted, ahead)
        self._held[run] = again
        return again

    async def _begin(self, run: str, wanted: Wanted, ahead: Ahead | None) -> Held:
        path = self._office.path_in_browser(wanted.notebook) if wanted.notebook is not None else ""
        session = await self._session(path)
        if session is not None:
            kernel = str(session["kernel"]["id"])
            return Held(run, kernel, str(session["id"]), self.pid(kernel), is_new_to_run=True)
        begun = await ahead.taken(wanted) if ahead is not None else ""
        if begun:
            self.manager(begun).update_env(env=wanted.environment)  # for when it is restarted
        kernel = begun or await self._kernels.start_kernel(
            kernel_name=wanted.name,
            env={**os.environ, **wanted.environment},
            **({"cwd": str(wanted.cwd)} if wanted.cwd is not None else {}),
        )
        made = await self._sessions.create_session(
            path=path, name=Path(path).name, type="notebook", kernel_id=kernel
        )
        return Held(run, str(kernel), str(made["id"]), self.pid(kernel), is_new_to_run=bool(begun))

    async def _session(self, path: str) -> dict[str, Any] | None:
        """The session that somebody opened this notebook with; None when nobody has it open."""
        with suppress(HTTPError):
            found: dict[str, Any] = await self._sessions.get_session(path=path)
            return found
        return None

    async def leave(self, held: Held, status: str) -> None:
        """A run has ended: keep its kernel where a person may want it, else end it."""
        if not self._has(held):
            return
        is_used = self.is_connected(held.kernel)
        if self.is_same(held) and (status in _KEPT or is_used):
            now = asyncio.get_running_loop().time()
            self._held[held.run] = replace(held, idle_since=now)
        elif not is_used:
            # The run's end does not wait for its kernel's, which may take seconds.
            ending = asyncio.create_task(self.end(held.run))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    def _has(self, held: Held) -> bool:
        """Whether it is still the one held for its run, which may go on with another by now."""
        now = self._held.get(held.run)
        return now is not None and now.kernel == held.kernel

    async def end(self, run: str) -> None:
        """End the kernel that is held for a run, if one is, and its session."""
        held = self._held.pop(run, None)
        if held is None:
            return
        with suppress(HTTPError, KeyError):  # somebody closes it by hand just now
            if held.kernel in self._kernels:
                await self._kernels.shutdown_kernel(held.kernel, now=True)
        with suppress(HTTPError, KeyError):  # it went with its kernel, or was closed by hand
            await self._sessions.delete_session(held.session)

    async def end_idle(self, seconds: float) -> list[str]:
        """End the kernels that nobody used for this long; their runs."""
        now = asyncio.get_running_loop().time()
        ended = []
        for held in self.all():
            if held.idle_since is None:
                continue
            if held.kernel not in self._kernels:
                del self._held[held.run]
            elif self.is_connected(held.kernel):
                self._held[held.run] = replace(held, idle_since=now)
            elif now - held.idle_since >= seconds:
                ended.append(held.run)
                await self.end(held.run)
        return ended

    def all(self) -> list[Held]:
        """Every kernel that is held now."""
        return list(self._held.values())

    def of(self, run: str) -> Held | None:
        """The kernel held for a run."""
        return self._held.get(run)

    def is_same(self, held: Held) -> bool:
        """Whether the process lives that ran the run's steps: neither killed nor restarted."""
        return held.kernel in self._kernels and self.pid(held.kernel) == held.pid != 0

    def is_connected(self, kernel: str) -> bool:
        """Whether a page is open on a kernel."""
        return kernel in self._kernels and self._kernels.kernel_model(kernel)["connections"] > 0

    def pid(self, kernel: str) -> int:
        """The process of a kernel; 0 when it has none now."""
        if kernel not in self._kernels:
            return 0
        provisioner = self._kernels.get_kernel(kernel).provisioner
        is_there = provisioner is not None and provisioner.has_process
        return int(getattr(provisioner, "pid", 0) or 0) if is_there else 0

    def manager(self, kernel: str) -> Any:  # noqa: ANN401 # jupyter_client's types are skipped
        """Jupyter's own manager of a kernel."""
        return self._kernels.get_kernel(kernel)


class ServerKernel:
    """The kernel of one run, as ``imtkit.runs`` uses it: on the run's own event loop.

    What belongs to the server is done on the server's loop.
    """

    sockets: Path | None = None

    def __init__(
        self,
        kernels: HeldKernels,
        loop: asyncio.AbstractEventLoop,
        wanted: Wanted,
        ahead: Ahead | None = None,
    ) -> None:
        self._kernels = kernels
        self._loop = loop
        self._wanted = _with_session(wanted)
        self._ahead = ahead
        self._held: Held | None = None

    @property
    def pid(self) -> int:
        return self._held.pid if self._held else 0

    async def start(self) -> AsyncKernelClient:
        held = await self._there(self._kernels.start(self._wanted, self._ahead))
        self._held = held
        client = _Client(self)
        client.load_connection_info(self._kernels.manager(held.kernel).get_connection_info())
        client.start_channels(hb=False, stdin=False)  # nobody listens to these
        return client

    async def brief(self, client: AsyncKernelClient) -> None:
        if self._held is not None and self._held.is_new_to_run:
            briefing = f"{self._wanted.briefing}\n__session__ = {str(self._wanted.notebook)!r}"
            client.execute(briefing, silent=True, store_history=False, allow_stdin=False)

    async def is_alive(self) -> bool:
        held = self._held
        return held is not None and await self._there(self._is_alive(held))

    async def _is_alive(self, held: Held) -> bool:
        if not self._kernels.is_same(held):
            return False
        return bool(await self._kernels.manager(held.kernel).is_alive())

    async def interrupt_kernel(self) -> None:
        if self._held is not None:
            await self._there(self._kernels.manager(self._held.kernel).interrupt_kernel())

    async def signal_kernel(self, signum: int) -> None:
        if self._held is not None:
            await self._there(self._kernels.manager(self._held.kernel).signal_kernel(signum))

    async def leave(self, status: str) -> None:
        held, self._held = self._held, None  # once: the run may go on with another by now
        if held is not None:
            await self._there(self._kernels.leave(held, status))

    async def _there(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """What the server's loop makes of this."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))


def _with_session(wanted: Wanted) -> Wanted:
    """What Jupyter would tell the kernel of its notebook besides."""
    if wanted.notebook is None:
        return wanted
    named = {"JPY_SESSION_NAME": str(wanted.notebook)}
    return replace(wanted, environment={**wanted.environment, **named})


class _Client(AsyncKernelClient):  # type: ignore[misc]  # jupyter_client's types are skipped
    """A client that takes its kernel for dead when the server restarted it, too."""

    def __init__(self, kernel: ServerKernel) -> None:
        super().__init__()
        self._kernel_of_run = kernel

    async def is_alive(self) -> bool:
        return await self._kernel_of_run.is_alive()
