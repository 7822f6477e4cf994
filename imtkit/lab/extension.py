"""imtkit in a Jupyter Server: from its start to its end."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from types import FrameType

from jupyter_server.extension.application import ExtensionApp
from jupyter_server.serverapp import ServerApp
from traitlets import Bool

from imtkit.config import Settings
from imtkit.errors import ImtkitError
from imtkit.lab import reach
from imtkit.lab.handlers import routes
from imtkit.lab.held import HeldKernels
from imtkit.lab.kernels import WARM_KERNELS, keep_together
from imtkit.lab.office import Office
from imtkit.lab.queued import QueuedRuns
from imtkit.lab.run_handlers import run_routes
from imtkit.lab.runs import ServerRuns
from imtkit.runs.lifeline import end_with
from imtkit.runs.pool import Pool
from imtkit.runs.runbook import USUAL_KERNEL

_AWAY_SECONDS = 2.0
"""How long until a folder that cannot be written is tried again."""


class ImtkitExtension(ExtensionApp):  # type: ignore[misc]  # jupyter_server's types are skipped
    """Handlers under ``<base url>imtkit/api/``, and the runs that the server carries out."""

    name = "imtkit"
    load_other_extensions = True

    is_headless = Bool(
        False, config=True, help="Nobody sits here: the server says in few words where it is."
    )
    ends_with_stdin = Bool(
        False, config=True, help="Stdin is a pipe of who started the server: it ends with that."
    )

    def initialize_handlers(self) -> None:
        """Make the parts, and hang the handlers in."""
        server: ServerApp = self.serverapp
        keep_together(server)
        if not server.logging_config:
            # Jupyter has every debugging message made, several for each of a kernel's, and then
            # drops those that nobody asked to see.
            server.log.setLevel(server.log_level)
        if self.is_headless:
            _speak_for(server)
        if self.ends_with_stdin:
            end_with(sys.stdin.fileno())
        self.office = Office(Path(server.root_dir))
        self.kernels = HeldKernels(server, self.office)
        self.runs = ServerRuns(self.office, self.kernels)
        self.queued = QueuedRuns(self.office, self.runs)
        for path, handler, parts in (
            *routes(self.office),
            *run_routes(self.office, self.runs),
        ):
            self.handlers.append((f"/imtkit/api{path}", handler, parts))

    async def _start_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        """The server answers now: say where, and look after runs.

        A folder that cannot be written yet is waited for: a volume may be mounted a moment later.
        """
        try:
            settings = await self.office.settings()
        except ImtkitError as error:
            serverapp.log.warning("imtkit | no runs here: %s %s", error, error.hint)
            return
        try:
            _require_room(settings)
        except OSError as error:
            serverapp.log.warning("imtkit | no runs here yet, it is tried again: %s", error)
            self.waiting = asyncio.create_task(self._wait_for_room(settings, serverapp))
        else:
            await self._begin(settings, serverapp)

    async def _wait_for_room(self, settings: Settings, serverapp: ServerApp) -> None:
        while True:
            await asyncio.sleep(_AWAY_SECONDS)
            with suppress(OSError):
                _require_room(settings)
                break
        serverapp.log.warning("imtkit | %s can be written now", settings.outputs)
        await self._begin(settings, serverapp)

    async def _begin(self, settings: Settings, serverapp: ServerApp) -> None:
        self.pool = Pool(settings)
        self.pool.start()
        serverapp.web_app.settings[WARM_KERNELS] = self.pool
        await self.runs.start(settings)
        if self.is_headless:
            self.runs.keep_spare(USUAL_KERNEL)
        try:
            self.queued.start(settings)
        except ImtkitError as error:
            serverapp.log.warning("imtkit | no queued runs here: %s", error)
        token = str(getattr(serverapp.identity_provider, "token", "") or "")
        self.record = reach.announce(settings, serverapp.connection_url, token)
        if self.is_headless:
            here = reach.read(self.record)
            sys.stdout.write(
                f"This worker carries out the runs of {settings.root}.\n"
                f"Its JupyterLab: {here.home}\n(Ctrl-C ends it.)\n"
            )
            sys.stdout.flush()
        serverapp.log.info("imtkit | runbooks, gates and runs of %s", settings.root)

    async def stop_extension(self) -> None:
        """End what runs, as a cancel does, and leave no trace of a server that is gone."""
        if hasattr(self, "waiting"):
            self.waiting.cancel()
        if hasattr(self, "record"):
            reach.withdraw(self.record)
        await self.queued.stop()
        await self.runs.close()
        await self.queued.close()
        if hasattr(self, "pool"):
            await asyncio.to_thread(self.pool.close)


def _require_room(settings: Settings) -> None:
    """OSError when what runs leave behind cannot be written."""
    settings.leases.mkdir(mode=0o700, parents=True, exist_ok=True)
    TemporaryFile(dir=settings.leases).close()


def _speak_for(server: ServerApp) -> None:
    """Have Jupyter say nothing of its address and of signals; Ctrl-C and SIGTERM end it once."""
    if server.identity_provider.token:
        server.identity_provider.token_generated = False  # it tells only those that it made up
    told: list[int] = []

    def end(number: int, _frame: FrameType | None) -> None:
        if not server.io_loop.asyncio_loop.is_running():  # nothing has begun, or all has ended
            server.remove_server_info_file()
            server.remove_browser_open_files()
            raise SystemExit(0)
        if not told:
            server.stop(from_signal=True)
        told.append(number)

    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, end)
