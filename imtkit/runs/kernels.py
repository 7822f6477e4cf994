"""The kernel that a run holds: how it comes up, who ends it, and how to talk to it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, Any, Protocol

from imtkit.errors import KernelError
from imtkit.runs.forkserver import NO_HISTORY
from imtkit.runs.lease import CONNECTION
from imtkit.runs.leftovers import socket_folder

if TYPE_CHECKING:
    from jupyter_client.asynchronous.client import AsyncKernelClient
    from jupyter_client.kernelspec import KernelSpecManager

_HEARD_SECONDS = 0.1
"""How long a kernel that has answered is listened to before it is asked once more."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run asks of its kernel: its spec's name, its environment's own part, its folder.

    ``notebook`` is the file that the run writes, where it writes one.
    """

    name: str
    environment: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    notebook: Path | None = None

    @property
    def briefing(self) -> str:
        """The code that tells a Python kernel which is up already whose run it is."""
        return f"__import__('os').environ.update({dict(self.environment)!r})"


class Kernel(Protocol):
    """The kernel of one run, from its start until the run leaves it.

    It is used on the run's own event loop. ``sockets`` is the folder of its sockets when that
    is the run's to remove, and ``pid`` its process once it is up.
    """

    @property
    def pid(self) -> int:
        """Its process; 0 before it is up."""
        ...

    @property
    def sockets(self) -> Path | None:
        """The folder of its sockets, when it is this kernel's alone."""
        ...

    async def start(self) -> AsyncKernelClient:
        """Bring it up, unless it is; a client whose channels are open."""
        ...

    async def brief(self, client: AsyncKernelClient) -> None:
        """Tell it whose run it is, if it came up without knowing, before the first cell."""
        ...

    async def is_alive(self) -> bool:
        """Whether the process that ``start`` brought up still is there."""
        ...

    async def interrupt_kernel(self) -> None:
        """Interrupt the cell that it runs."""
        ...

    async def signal_kernel(self, signum: int) -> None:
        """Send a signal to it and its children."""
        ...

    async def leave(self, status: str) -> None:
        """Part from it; ``status`` is how the run ended, which may be a reason to keep it."""
        ...


KernelFor = Callable[[Wanted], Kernel]
"""Gives a run its kernel, not started yet."""


def specs_with(name: str) -> KernelSpecManager:
    """Where installed kernels are looked for, this one among them if it is installed.

    Jupyter looks in IPython's old folder too, after all others, and loads all of IPython to
    know where that is. It is asked where the kernel is in none of the others.
    """
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_core.paths import jupyter_path

    specs = KernelSpecManager(kernel_dirs=jupyter_path("kernels"), ensure_native_kernel=False)
    return specs if name in specs.find_kernel_specs() else KernelSpecManager()


class OwnKernel:
    """A kernel that is started for one run and ends with it, over sockets in a private folder."""

    def __init__(self, wanted: Wanted) -> None:
        from jupyter_client.manager import AsyncKernelManager

        self.sockets: Path | None = socket_folder()
        self._wanted = wanted
        self._manager = AsyncKernelManager(
            kernel_name=wanted.name,
            kernel_spec_manager=specs_with(wanted.name),
            transport="ipc",
            ip=str(self.sockets / "k"),
            connection_file=str(self.sockets / CONNECTION),
        )

    @property
    def pid(self) -> int:
        provisioner = self._manager.provisioner
        return getattr(provisioner, "pid", None) or 0

    async def start(self) -> AsyncKernelClient:
        await self._launch()
        return self._client()

    async def _launch(self) -> None:
        cwd = {"cwd": str(self._wanted.cwd)} if self._wanted.cwd is not None else {}
        await self._manager.start_kernel(
            env={**os.environ, **self._wanted.environment},
            extra_arguments=[NO_HISTORY],
            **cwd,
        )

    def _client(self) -> AsyncKernelClient:
        client = self._manager.client()
        client.start_channels(hb=False, stdin=False)  # nobody listens to these
        return client

    async def brief(self, client: AsyncKernelClient) -> None:
        """It knew from its beginning."""

    async def is_alive(self) -> bool:
        return bool(await self._manager.is_alive())

    async def interrupt_kernel(self) -> None:
        await self._manager.interrupt_kernel()

    async def signal_kernel(self, signum: int) -> None:
        await self._manager.signal_kernel(signum)

    async def leave(self, status: str) -> None:
        if self._manager.has_kernel:
            await self._kill()
            await self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_connection_file()
        if self.sockets is not None:
            shutil.rmtree(self.sockets, ignore_errors=True)

    async def _kill(self) -> None:
        """Kill it and see it gone, in a few milliseconds: Jupyter looks every tenth of a second."""
        await self._manager.signal_kernel(signal.SIGKILL)
        for _ in range(200):
            if not await self._manager.is_alive():
                return
            await asyncio.sleep(0.002)


class BegunKernel(OwnKernel):
    """A kernel that begins to come up at once, for a run that is not quite ready for it.

    What the run's environment has besides ours it is told when the run takes it, so it must
    speak Python. Until then whoever began it ends it with ``end``.
    """

    def __init__(self, wanted: Wanted) -> None:
        super().__init__(wanted)
        self._is_taken = False

    def begin(self) -> None:
        """Start its process; it comes up beside whatever this one does meanwhile."""
        asyncio.run(self._launch())

    def taken(self, wanted: Wanted) -> Kernel:
        """Itself for a run, if it is what the run wants; else another (a ``KernelFor``)."""
        if self._is_taken or (wanted.name, wanted.cwd) != (self._wanted.name, self._wanted.cwd):
            return OwnKernel(wanted)
        self._is_taken = True
        self._wanted = wanted
        return self

    def end(self) -> None:
        """End it, unless the run that took it has."""
        asyncio.run(self.leave(""))

    async def start(self) -> AsyncKernelClient:
        return self._client()

    async def brief(self, client: AsyncKernelClient) -> None:
        asked = client.execute(self._wanted.briefing, silent=True)
        reply = None
        while reply is None:
            with suppress(Empty):
                reply = await _reply_to(client, asked)
            if not await self.is_alive():
                raise KernelError("The kernel died before it knew whose run it is.")
        if reply["content"]["status"] != "ok":
            raise KernelError("The kernel could not be told whose run it is.")


async def ready(client: AsyncKernelClient, kernel: Kernel, seconds: float) -> dict[str, Any]:
    """What a kernel says of itself once it answers and is heard; KernelError when it does not.

    jupyter_client's own wait ends with 0.2 s of listening to silence.
    """
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + seconds
    while True:
        asked = client.kernel_info()
        with suppress(Empty):
            reply = await _reply_to(client, asked)
            # Its publications must be heard too, or outputs would be lost. New kernels welcome
            # whoever begins to listen; with others it may be too late for what came before.
            await client.get_iopub_msg(timeout=_HEARD_SECONDS)
            content: dict[str, Any] = reply["content"]
            return content
        if not await kernel.is_alive():
            raise KernelError("The kernel died before it was ready.")
        if loop.time() > ends_at:
            raise KernelError(f"The kernel was not ready after {seconds:g} s.")


async def _reply_to(client: AsyncKernelClient, asked: str) -> dict[str, Any]:
    """What the kernel answers to a request; Empty after a second without it."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + 1
    while True:
        message: dict[str, Any] = await client.get_shell_msg(
            timeout=max(0.0, ends_at - loop.time())
        )
        if message["parent_header"].get("msg_id") == asked:
            return message
