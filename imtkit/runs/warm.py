"""A kernel provisioner that hands out warm kernels: entry point ``imtkit-warm``.

Jupyter Server, nbclient and papermill bring kernels to life through a provisioner. This one
takes a kernel from the pool that its kernel manager has as ``warm_kernels``. Where there is no
pool, or nothing in it fits, it starts a cold kernel as Jupyter's own provisioner does.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from imtkit.errors import KernelError
from imtkit.runs.forkserver import NO_HISTORY

if TYPE_CHECKING:
    from imtkit.runs.forks import Fork
    from imtkit.runs.pool import Pool

_CLAIM_SECONDS = 2.0
_FORKSERVER = "imtkit.runs.forkserver"
_LAUNCH_OPTIONS = {"env", "cwd", "kernel_id", "extra_arguments"}
"""What a launch may ask for and have a warm kernel; other options are for a new process."""

_READ_ONCE = (
    # variables that Python and libraries look at only as they start
    "PYTHON",
    "LD_",
    "LC_",
    "LANG",
    "HOME",
    "XDG_",
    "IPYTHON",
    "JUPYTER_",
    "MPL",
    "OMP_",
    "MKL_",
    "OPENBLAS_",
    "NUMEXPR_",
    "MALLOC_",
    "SSL_",
    "TMP",
    "TEMP",
)
_KERNELS_OWN = frozenset(
    # variables that a kernel sets itself, whatever it was given
    (
        "TERM",
        "CLICOLOR",
        "CLICOLOR_FORCE",
        "FORCE_COLOR",
        "PAGER",
        "GIT_PAGER",
        "JPY_PARENT_PID",
        "JPY_INTERRUPT_EVENT",
    )
)


class WarmProvisioner(LocalProvisioner):  # type: ignore[misc]  # its types are skipped
    """Gives a kernel that is ready where one fits, else one that is forked, else a cold one."""

    _held: tuple[Fork, ...] = ()
    _asked: Any = None
    _was_launched = False

    @property
    def warmth(self) -> str:
        """Where its kernel came from: ``ready``, ``forked`` or ``cold``."""
        if not isinstance(self.process, ForkedProcess):
            return "cold"
        return "ready" if self.process.fork.folder is not None else "forked"

    @property
    def is_fresh(self) -> bool:
        """Whether a kernel that is asked for now would be no other than this one is."""
        pool: Pool | None = getattr(self.parent, "warm_kernels", None)
        process = self.process
        return (
            pool is not None and isinstance(process, ForkedProcess) and pool.is_fresh(process.fork)
        )

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:  # noqa: ANN401
        """Bring a kernel to life; how to talk to it, which a ready one has decided itself.

        A restart keeps the sockets that clients are connected to, so it never is a ready one.
        """
        pool: Pool | None = getattr(self.parent, "warm_kernels", None)
        is_restart, self._was_launched = self._was_launched, True
        if pool is not None and is_our_kernel(cmd) and kwargs.keys() <= _LAUNCH_OPTIONS:
            wish = _Wish(
                str(Path(kwargs.get("cwd") or "").absolute()),
                environment_changes(pool.environment, kwargs.get("env") or os.environ),
                os.path.realpath(self.parent.connection_file),
                may_be_ready=not is_restart and "curve_secretkey" not in self.connection_info,
            )
            fork = await _given(pool, wish) if wish.changes is not None else None
            if fork is not None:
                self._hold(fork, wish.cwd)
                return self.connection_info
        return await super().launch_kernel(cmd, **kwargs)

    async def cleanup(self, restart: bool = False) -> None:
        """Give back what was taken, unless the kernel is about to start again in its place."""
        if not restart:
            pool: Pool | None = getattr(self.parent, "warm_kernels", None)
            held, self._held = self._held, ()
            for fork in held:
                fork.kill() if pool is None else pool.release(fork)
            if self._asked is not None:  # the ports that were set aside were for these
                self.connection_info, self._asked = self._asked, None
        await super().cleanup(restart=restart)

    def _hold(self, fork: Fork, cwd: str) -> None:
        self._held = (*self._held, fork)
        self.process = ForkedProcess(fork)
        self.pid = self.pgid = fork.process.pid
        self.cwd = cwd
        if fork.connection:
            self._asked = self.connection_info
            self.connection_info = dict(fork.connection)


class ForkedProcess:
    """A forked kernel, as Python's ``Popen`` shows a process that it started itself."""

    stdin = stdout = stderr = None

    def __init__(self, fork: Fork) -> None:
        self.fork = fork
        self.pid = fork.process.pid

    def poll(self) -> int | None:
        """None while it runs; then how it ended, 1 where nobody can tell."""
        if self.fork.is_alive:
            return None
        status = self.fork.server.exit_status(self.pid)
        return 1 if status is None else status

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; TimeoutExpired as Popen raises it."""
        ends_at = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if ends_at is not None and time.monotonic() > ends_at:
                raise subprocess.TimeoutExpired("kernel", timeout or 0)
            time.sleep(0.01)
        return status

    def send_signal(self, signum: int) -> None:
        """Signal it, and not another process that has got its number."""
        if self.fork.is_alive:
            os.kill(self.pid, signum)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a kernel is to be: its folder, changes to its environment, its connection file."""

    cwd: str
    changes: Mapping[str, str | None] | None
    file: str
    may_be_ready: bool


async def _given(pool: Pool, wish: _Wish) -> Fork | None:
    """A kernel for this wish; whoever no longer waits for it does not keep it."""
    working = asyncio.ensure_future(asyncio.to_thread(_given_now, pool, wish))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        fork = await working
        if fork is not None:
            pool.release(fork)
        raise


def _given_now(pool: Pool, wish: _Wish) -> Fork | None:
    fork = pool.claim() if wish.may_be_ready else None
    if fork is not None:
        if _has_taken_over(pool, fork, wish):
            return fork
        pool.release(fork)
        return None  # its folder or environment will not do, or nothing there answers
    return pool.fork(wish.file, cwd=wish.cwd, environment=wish.changes or {})


def _has_taken_over(pool: Pool, fork: Fork, wish: _Wish) -> bool:
    """Have a ready kernel work in the folder and with the environment of this wish."""
    told = f"{wish.cwd!r}, {dict(wish.changes or {})!r}, {wish.file!r}"
    code = f"__import__({_FORKSERVER!r}, fromlist=['take_over']).take_over({told})"
    request = {
        "code": code,
        "silent": True,
        "store_history": False,
        "user_expressions": {},
        "allow_stdin": False,
        "stop_on_error": True,
    }
    try:
        question = pool.ask(fork, "execute_request", request)
    except KernelError:
        return False
    try:
        answer = question.answer(_CLAIM_SECONDS)
    finally:
        question.close()
    return answer is not None and answer["status"] == "ok"


def is_our_kernel(cmd: Sequence[str]) -> bool:
    """Whether a command line starts this Python's ipykernel, and asks nothing special of it."""
    if not cmd or not _is_this_python(cmd[0]):
        return False
    rest = [part for part in cmd[1:] if part not in (NO_HISTORY, "-Xfrozen_modules=off")]
    return len(rest) == 4 and rest[:3] in (
        ["-m", "ipykernel_launcher", "-f"],
        ["-m", "ipykernel", "-f"],
    )


def environment_changes(
    begun_with: Mapping[str, str], wanted: Mapping[str, str]
) -> dict[str, str | None] | None:
    """What to set, or remove (None), to come from one environment to another.

    None where that cannot be done: a variable differs that is read only as a process starts.
    """
    names = {*begun_with, *wanted} - _KERNELS_OWN
    changes = {name: wanted.get(name) for name in names if begun_with.get(name) != wanted.get(name)}
    return None if any(name.startswith(_READ_ONCE) for name in changes) else changes


def _is_this_python(program: str) -> bool:
    """Whether it is this environment's own, and not another's that leads to the same file."""
    here, there = Path(sys.executable), Path(program)
    return there == here or (
        there.parent == here.parent
        and there.name.startswith("python")
        and there.resolve() == here.resolve()
    )
