"""The desk of a Jupyter Server: one log for all its people, and never on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import TypeVar

from imtkit import config
from imtkit.config import Settings
from imtkit.config.place import place_below
from imtkit.errors import InputError
from imtkit.kit import Desk, open_desk

Answer = TypeVar("Answer")

SOURCE = "lab"
_HANDS = 8
"""How many requests work at the log at once; a write that waits for its turn keeps one."""


class Office:
    """Opens the workspace's desk when it is first needed, and works at it in threads.

    ``root`` is the folder the server shows; the workspace is the one it lies in, or the one
    that IMT_WORKSPACE names.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._desk: Desk | None = None
        self._person = ""
        self._lock = Lock()
        self._hands = ThreadPoolExecutor(_HANDS, thread_name_prefix="imtkit")

    async def work(self, task: Callable[[Desk], Answer], *, actor: str) -> Answer:
        """What the task answers, worked out off the event loop.

        ``actor`` is whom the Jupyter server knows; where it knows nobody, it is the person the
        machine knows, and nobody ('') when it knows none either.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._hands, self._work, task, actor)

    async def settings(self) -> Settings:
        """What the workspace says, its log there or not; WorkspaceError when there is none."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._hands, self._settings)

    async def remember(self, name: str) -> str:
        """Keep the name of the person at this machine; returns it trimmed."""
        loop = asyncio.get_running_loop()
        self._person = await loop.run_in_executor(self._hands, config.remember_person, name)
        return self._person

    def now(self, task: Callable[[Desk], Answer], *, actor: str) -> Answer:
        """What the task answers, in the thread that asks: for work that takes long."""
        return self._work(task, actor)

    def path_in_browser(self, path: Path) -> str:
        """How JupyterLab calls a file; InputError when it lies outside what the server shows."""
        try:
            return place_below(self.root, path)
        except ValueError as error:
            raise InputError(
                f"{path} is outside {self.root}, which is what this JupyterLab shows.",
                hint="Start JupyterLab in the workspace, with: imt lab",
            ) from error

    def _settings(self) -> Settings:
        return config.load_settings(config.find_workspace(self.root))

    def _work(self, task: Callable[[Desk], Answer], actor: str) -> Answer:
        with self._lock:
            if self._desk is None:
                self._desk = open_desk(self.root, source=SOURCE)
            if not actor and not self._person:
                self._person = config.known_person()
            desk, known = self._desk, self._person
        return task(desk.acting_as(actor or known))
