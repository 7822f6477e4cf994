"""The owner's side of the program that kernels are forked from: ``forkserver.py``."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from imtkit.errors import KernelError
from imtkit.runs.imports import Loaded, Stamp, interpreter_files, stamp
from imtkit.runs.lease import Process, process_of, remove_sockets
from imtkit.runs.leftovers import PROGRAM

if TYPE_CHECKING:
    import zmq


_CHANNELS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
_FORK_SECONDS = 5.0
_END_SECONDS = 5.0


class UnloadableError(Exception):
    """A module ended, stopped or threaded the process that imported it: go on without it."""

    def __init__(self, module: str, why: str) -> None:
        super().__init__(f"{module}: {why}")
        self.module = module
        self.why = why


class ForkServer:
    """A running fork server: loads modules once, then forks kernels.

    ``heard`` is called, in a thread of its own, whenever one of its kernels or it itself ended.
    """

    def __init__(
        self,
        folder: Path,
        lifeline: int,
        *,
        cwd: Path,
        environment: Mapping[str, str],
        heard: Callable[[], None],
    ) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            descriptors = (str(theirs.fileno()), str(lifeline))
            self._process = subprocess.Popen(
                [sys.executable, "-Xfrozen_modules=off", "-c", PROGRAM, str(folder), *descriptors],
                cwd=cwd,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), lifeline),
                start_new_session=True,
            )
        self._heard = heard
        self._told: SimpleQueue[Mapping[str, Any]] = SimpleQueue()
        self._numbers = count(1)
        self._forking: dict[int, Future[int]] = {}
        self._statuses: dict[int, int] = {}
        self._lock = threading.Lock()
        self._is_open = True
        self._has_loaded = False
        threading.Thread(target=self._listen, name="imt-forks", daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it can still fork."""
        return self._is_open and not self.has_ended

    @property
    def has_ended(self) -> bool:
        """Whether its process is gone, and waited for."""
        return self._process.poll() is not None

    def load(self, modules: Sequence[str], seconds: float) -> Loaded:
        """Import modules, each within so many seconds, and say what came of it.

        UnloadableError when one must be left out by a new fork server; this one is of no use then.
        """
        stamps: dict[str, Stamp] = {path: stamp(path) for path in interpreter_files()}
        left_out: dict[str, str] = {}
        loading = ""
        self._send({"load": list(modules)})
        while True:
            try:
                told = self._told.get(timeout=seconds)
            except Empty:
                raise _unloadable(loading, f"no end after {seconds:g} s") from None
            if not told:
                raise _unloadable(loading, "it ends the process that imports it")
            loading = told.get("loading", loading)
            if "left_out" in told:
                if told.get("for_good"):
                    raise UnloadableError(told["left_out"], told["why"])
                left_out[told["left_out"]] = told["why"]
            for path, (changed_at, size) in told.get("files", {}).items():
                stamps[path] = (changed_at, size)
            if "loaded" in told:
                self._has_loaded = True
                stamps |= {path: stamp(path) for path in told["loaded"]}
                return Loaded(tuple(modules), left_out, stamps)

    def fork(
        self, file: str, *, cwd: str = "", environment: Mapping[str, str | None] | None = None
    ) -> Process:
        """Fork a kernel that reads this connection file; KernelError when none came.

        It works in ``cwd``, and with these changes (None removes) to the environment.
        """
        number = next(self._numbers)
        changes = dict(environment or {})
        forked: Future[int] = Future()
        with self._lock:
            self._forking[number] = forked
        self._send({"fork": number, "file": file, "cwd": cwd, "environment": changes})
        try:
            process = process_of(forked.result(_FORK_SECONDS))
        except TimeoutError:
            raise KernelError("No kernel was forked in time.", retryable=True) from None
        finally:
            with self._lock:
                del self._forking[number]
        if not process.started:
            raise KernelError("The forked kernel ended as it began.", retryable=True)
        return process

    def exit_status(self, pid: int) -> int | None:
        """How one of its kernels ended; None while that is not known."""
        return self._statuses.get(pid)

    def retire(self) -> None:
        """End as soon as the last of its kernels has; it forks no more."""
        with suppress(KernelError):
            self._send({"retire": True})

    def end(self) -> None:
        """End it now, and all its kernels."""
        if not self._has_loaded:  # what it imports may hang; kernels it has none
            self._process.kill()
        with suppress(OSError):  # it may have ended
            self._control.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()

    def _send(self, order: Mapping[str, Any]) -> None:
        try:
            with self._lock:
                self._control.sendall(json.dumps(order).encode() + b"\n")
        except OSError as error:
            raise KernelError("The process that forks kernels has ended.") from error

    def _listen(self) -> None:
        with suppress(OSError), self._control.makefile("rb") as lines:
            for line in lines:
                self._take(json.loads(line))
        self._is_open = False
        with self._lock:
            for forked in self._forking.values():
                if not forked.done():
                    forked.set_exception(KernelError("The process that forks kernels has ended."))
        self._control.close()
        self._told.put({})
        self._heard()

    def _take(self, message: Mapping[str, Any]) -> None:
        if "forked" in message:
            with self._lock:
                forked = self._forking.get(message["forked"])
                if forked is not None:
                    forked.set_result(message["pid"])
            if forked is None:  # it came too late: nobody waits for it any more
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(message["pid"], signal.SIGKILL)
        elif "ended" in message:
            self._statuses[message["ended"]] = message["status"]
            self._heard()
        else:
            self._told.put(message)


def _unloadable(loading: str, why: str) -> KernelError | UnloadableError:
    if not loading:
        return KernelError(f"the process that forks kernels did not begin: {why}")
    return UnloadableError(loading, why)


@dataclass(frozen=True, slots=True)
class Fork:
    """A kernel that was forked. ``connection`` says how to talk to it.

    ``folder`` holds its sockets and connection file and is its own; one that was given a
    connection file has neither.
    """

    server: ForkServer
    process: Process
    connection: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def is_alive(self) -> bool:
        """Whether its process is there."""
        return not self.process.is_gone

    @property
    def is_in_use(self) -> bool:
        """Whether its folder is there, in which whoever claimed it may start another."""
        return self.folder is not None and self.folder.exists()

    def kill(self) -> None:
        """Kill it and what it started; its folder goes too."""
        if self.is_alive:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        if self.folder is not None:
            remove_sockets(self.folder)


def fork_in(server: ForkServer, folder: Path) -> Fork:
    """Fork a kernel with sockets in a new folder; KernelError when none came."""
    connection = _connection(folder)
    try:
        return Fork(server, server.fork(str(folder / "kernel.json")), connection, folder)
    except KernelError:
        shutil.rmtree(folder, ignore_errors=True)
        raise


class Question:
    """A question to a kernel that is on its way; to be closed."""

    def __init__(
        self,
        context: zmq.Context[Any],
        connection: Mapping[str, Any],
        kind: str,
        content: Mapping[str, Any],
    ) -> None:
        import zmq
        from jupyter_client.session import Session

        self._session = Session(key=connection["key"])
        self._socket = context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.reconnect_ivl = 10  # milliseconds: the kernel may not be there yet
        self._socket.connect(f"ipc://{connection['ip']}-{connection['shell_port']}")
        self._id = self._session.send(self._socket, kind, dict(content))["header"]["msg_id"]

    def answer(self, seconds: float) -> Mapping[str, Any] | None:
        """What it answered within so many seconds; None when it did not."""
        import zmq

        while self._socket.poll(seconds * 1000, zmq.POLLIN):
            _, message = self._session.recv(self._socket, mode=zmq.NOBLOCK)
            if message is not None and message["parent_header"].get("msg_id") == self._id:
                content: Mapping[str, Any] = message["content"]
                return content
        return None

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def _connection(folder: Path) -> dict[str, Any]:
    """How to talk to a kernel that is about to be; written down in its folder, for it to read."""
    folder.mkdir(mode=0o700)
    key = uuid4().hex
    connection: dict[str, Any] = {
        "transport": "ipc",
        "ip": str(folder / "k"),
        **{channel: number for number, channel in enumerate(_CHANNELS, start=1)},
        "key": key,
        "signature_scheme": "hmac-sha256",
        "kernel_name": "python3",
    }
    file = folder / "kernel.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(connection), encoding="utf-8")
    return {**connection, "key": key.encode()}
