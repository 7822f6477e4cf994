"""The processes of the demo: started, broken and mended for real, and always ended."""

from __future__ import annotations

import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from imtkit.errors import ServiceDownError

START_SECONDS = 20.0


@dataclass(slots=True)
class Part:
    """One running process of the scene; restarted, it keeps its name and port."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    started_at: datetime

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass(slots=True)
class Scene:
    """The service ``demo-orders`` and what it depends on."""

    parts: dict[str, Part] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The address that customers use."""
        return f"{self.parts['orders'].url}/orders"

    @property
    def health_url(self) -> str:
        """The address of the service's own health document."""
        return f"{self.parts['orders'].url}/health"

    def break_inventory(self, fault: str) -> str:
        """Have the inventory hang or crash, for real; what was done, in words."""
        process = self.parts["inventory"].process
        if fault == "hang":
            process.send_signal(signal.SIGSTOP)
            return f"The inventory (process {process.pid}) was sent SIGSTOP."
        process.kill()
        process.wait()
        return f"The inventory (process {process.pid}) was sent SIGKILL."

    def restart(self, name: str) -> str:
        """End a part and start it anew on its port; what was done, in words."""
        old = self.parts[name]
        _end(old.process)
        self.parts[name] = self._started(name, old.port)
        pids = f"process {old.process.pid} ended, process {self.parts[name].process.pid} started"
        return f"Restarted {name}: {pids} on port {old.port}."

    def start(self) -> None:
        """Start both parts; ServiceDownError when one does not come up."""
        self.parts["inventory"] = self._started("inventory", 0)
        self.parts["orders"] = self._started("orders", 0)

    def end(self) -> None:
        """End every process."""
        for part in self.parts.values():
            _end(part.process)

    def _started(self, name: str, port: int) -> Part:
        command = [sys.executable, "-m", "imtkit.demo.service", name, "--port", str(port)]
        if name == "orders":
            command += ["--inventory", self.parts["inventory"].url]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # closes when this process ends, and so ends the part
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for whoever plays, not for the parts
        )
        try:
            return Part(name, process, _port_of(name, process), datetime.now(UTC))
        except BaseException:
            _end(process)
            raise


@contextmanager
def scene_played() -> Iterator[Scene]:
    """A scene that is up, and whose every process has ended afterwards."""
    scene = Scene()
    try:
        scene.start()
        yield scene
    finally:
        scene.end()


def _port_of(name: str, process: subprocess.Popen[bytes]) -> int:
    """The port that a part prints once it listens."""
    ends_at = time.monotonic() + START_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout or -1, selectors.EVENT_READ)
        ready = selector.select(max(0.0, ends_at - time.monotonic()))
    line = process.stdout.readline() if ready and process.stdout else b""
    if not line.strip().isdigit():
        raise ServiceDownError(
            f"The demo's {name} did not start.",
            hint=f"See why: {sys.executable} -m imtkit.demo.service {name}",
        )
    return int(line)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()
