"""Kernels of ``imt lab``: no open port, and no history file that keeps what cells held."""

from __future__ import annotations

import atexit
import shutil
import sys
from pathlib import Path
from weakref import WeakSet

from jupyter_events import EventLogger
from jupyter_server.serverapp import ServerApp
from jupyter_server.services.kernels.kernelmanager import ServerKernelManager
from traitlets import CaselessStrEnum, default
from traitlets.utils.importstring import import_item

from imtkit.runs.forkserver import NO_HISTORY
from imtkit.runs.leftovers import socket_folder
from imtkit.runs.pool import Pool

WARM_KERNELS = "imtkit_warm_kernels"
"""Under what name the server's settings have its pool of warm kernels."""

_LONGEST_SOCKET = 100
"""Bytes of a Unix socket's path: the kernel allows 108, some systems 104."""
_SOCKET_NAME = len("/kernel-00000000-0000-0000-0000-000000000000-ipc-5")

_TAUGHT: WeakSet[EventLogger] = WeakSet()
"""Loggers of events that know what is told of kernels."""


class QuietKernelManager(ServerKernelManager):  # type: ignore[misc]  # its types are skipped
    """Talks to its kernel over sockets in a private folder, where their paths are short enough.

    IPython kernels keep their history in memory: on disk it would hold every parameter.
    """

    transport = CaselessStrEnum(["tcp", "ipc"], config=True)

    @property
    def warm_kernels(self) -> Pool | None:
        """Kernels that are ready, for the provisioner; None before the server has any."""
        app = getattr(getattr(self.parent, "parent", None), "web_app", None)
        pool: Pool | None = app.settings.get(WARM_KERNELS) if app is not None else None
        return pool

    @default("transport")  # type: ignore[untyped-decorator]  # traitlets' types are skipped
    def _default_transport(self) -> str:
        return transport_for(Path(self.connection_file).parent)

    @default("event_logger")  # type: ignore[untyped-decorator]  # traitlets' types are skipped
    def _default_event_logger(self) -> EventLogger:
        """The server's. Jupyter reads the schemas of its events anew for each kernel: 20 ms."""
        logger: EventLogger | None = getattr(self.parent.parent, "event_logger", None)
        if logger is None or logger not in _TAUGHT:
            logger = super()._default_event_logger()
            _TAUGHT.add(logger)
        return logger

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        """The kernel's command line; one more option where the kernel is IPython's."""
        command: list[str] = super().format_kernel_cmd(extra_arguments)
        if any("ipykernel" in part for part in command):
            command.append(NO_HISTORY)
        return command


def keep_together(server: ServerApp) -> None:
    """Have a server's kernels keep their sockets and keys in one private folder.

    It goes with the server; and if the server is killed, with the next pass of a reaper.
    """
    kind = import_item(server.kernel_manager.kernel_manager_class)
    if issubclass(kind, QuietKernelManager):
        folder = socket_folder()
        server.kernel_manager.connection_dir = str(folder)
        atexit.register(shutil.rmtree, folder, ignore_errors=True)


def transport_for(folder: Path) -> str:
    """``ipc`` where the system has Unix sockets and their paths fit; else ``tcp``."""
    fits = len(str(folder).encode()) + _SOCKET_NAME <= _LONGEST_SOCKET
    return "ipc" if sys.platform != "win32" and fits else "tcp"
