"""A real PostgreSQL for tests, in a folder of their own, on a free port of loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp

import psutil
import pytest

_WHERE = "/usr/lib/postgresql"
_ACCOUNT = "postgres"
_FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "40",
    "listen_addresses": "127.0.0.1",
    "log_min_messages": "warning",
}


DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
"""Settings under which what was committed outlives a crash: PostgreSQL's own."""


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL server that is up. ``dsn`` is the superuser's, as a postgresql:// URL."""

    dsn: str
    port: int
    data: Path
    sockets: Path

    def dsn_of(self, user: str, database: str = "postgres") -> str:
        """The URL for another user or database; loopback is trusted, so there is no password."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def stop(self, how: str = "fast") -> None:
        """Stop the server; 'immediate' is a crash."""
        _run("pg_ctl", "stop", "-w", "-m", how, "-D", str(self.data))

    def kill(self) -> None:
        """``kill -9`` of the server and of every process of its own, as a machine's end does."""
        lock = self.data / "postmaster.pid"
        postmaster = psutil.Process(int(lock.read_text(encoding="utf-8").splitlines()[0]))
        family = [postmaster, *postmaster.children(recursive=True)]
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        until(lambda: all(_is_over(one) for one in family), 20)
        # Who inherits the dead may leave them zombies, which PostgreSQL takes for another server.
        for left in (lock, *self.sockets.glob(".s.PGSQL.*")):
            left.unlink(missing_ok=True)

    def start(self) -> None:
        """Start it again after ``stop`` or ``kill``; its recovery is done when this returns."""
        log = str(self.sockets / "log")
        _run("pg_ctl", "start", "-w", "-s", "-t", "60", "-D", str(self.data), "-l", log)

    def restart(self) -> None:
        """``pg_ctl restart -m immediate``: every session is torn, and recovery follows."""
        log = str(self.sockets / "log")
        wait = ("-w", "-s", "-t", "60")
        _run("pg_ctl", "restart", *wait, "-m", "immediate", "-D", str(self.data), "-l", log)

    def said(self, lines: int = 40) -> str:
        """The end of its log."""
        log = self.sockets / "log"
        text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


@dataclass(frozen=True)
class Plan:
    """How to start a server: settings beyond the fast ones, and whom it is a replica of."""

    settings: Mapping[str, str] = field(default_factory=dict)
    primary: Postgres | None = None
    slot: str = ""


def postgres_programs() -> Path | None:
    """The folder of initdb and pg_ctl: Debian's newest, or the PATH's; None when absent."""
    folders = [one for one in Path(_WHERE).glob("*/bin") if (one / "initdb").exists()]
    if folders:
        return max(folders, key=lambda one: float(one.parent.name))
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


@contextmanager
def start_postgres(folder: Path | None = None, plan: Plan | None = None) -> Iterator[Postgres]:
    """A server with its data in ``folder`` (made when not given), stopped and wiped afterwards.

    The test is skipped when PostgreSQL's programs are absent. A root user's server runs as
    the account 'postgres', because PostgreSQL refuses to run as root.
    """
    if postgres_programs() is None:
        pytest.skip("PostgreSQL's programs (initdb, pg_ctl) are not installed")
    plan = plan or Plan()
    # A socket's path may have 107 bytes at most, which pytest's folders can exceed.
    home = Path(mkdtemp(prefix="imt-pg-"))
    data = (folder or home) / f"pg-{home.name}"
    try:
        _own(home)
        _make(data, plan)
        server = _start(data, home, plan)
        try:
            yield server
        except BaseException as exc:
            exc.add_note(f"PostgreSQL's log ended with:\n{server.said()}")
            raise
        finally:
            with suppress(RuntimeError):  # it was stopped or killed already
                server.stop("immediate")
    finally:
        shutil.rmtree(data, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)


def _start(data: Path, home: Path, plan: Plan, *, tries: int = 3) -> Postgres:
    """Start on a free port; on another one when somebody took it in between."""
    port, log = _free_port(), home / "log"
    _configure(data, home, port, plan)
    try:
        _run("pg_ctl", "start", "-w", "-s", "-t", "60", "-D", str(data), "-l", str(log))
    except RuntimeError as exc:
        said = log.read_text(encoding="utf-8") if log.exists() else ""
        if tries > 1 and "could not create any TCP/IP sockets" in said:
            return _start(data, home, plan, tries=tries - 1)
        raise RuntimeError(f"{exc}\n{said}") from exc
    return Postgres(f"postgresql://postgres@127.0.0.1:{port}/postgres", port, data, home)


def _make(data: Path, plan: Plan) -> None:
    data.mkdir()
    _own(data)
    if plan.primary is None:
        _run("initdb", "-D", str(data), "--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8")
        return
    slot = ["-S", plan.slot, "-C"] if plan.slot else []
    primary = ["-h", "127.0.0.1", "-p", str(plan.primary.port), "-U", "postgres"]
    _run("pg_basebackup", "-D", str(data), "-R", "-c", "fast", "--no-sync", *slot, *primary)


def _configure(data: Path, home: Path, port: int, plan: Plan) -> None:
    own = {"port": str(port), "unix_socket_directories": str(home)}
    settings = {**_FAST, **plan.settings, **own}
    lines = "".join(f"{name} = '{value}'\n" for name, value in settings.items())
    with (data / "postgresql.conf").open("a", encoding="utf-8") as file:
        file.write(lines)


def _run(program: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs, as its account when we are root."""
    folder = postgres_programs()
    assert folder is not None
    command = [str(folder / program), *arguments]
    if os.geteuid() == 0:
        command = [
            "setpriv",
            f"--reuid={_ACCOUNT}",
            f"--regid={_ACCOUNT}",
            "--clear-groups",
            *command,
        ]
    clean = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"}
    # Output goes to a file: pg_ctl's server inherits it, and a pipe would never close.
    with Path(mkdtemp(prefix="imt-out-"), "out").open("w+", encoding="utf-8") as out:
        try:
            done = subprocess.run(
                command, check=False, env=clean, cwd="/", stdout=out, stderr=out, timeout=90
            )
            out.seek(0)
            if done.returncode:
                raise RuntimeError(f"{program} failed with {done.returncode}:\n{out.read()}")
        finally:
            shutil.rmtree(Path(out.name).parent)


def _own(path: Path) -> None:
    """Give a folder to PostgreSQL's account, and let that account reach it."""
    path.chmod(0o700)
    if os.geteuid() != 0:
        return
    shutil.chown(path, _ACCOUNT, _ACCOUNT)
    for above in path.parents:
        mode = above.stat().st_mode
        if not mode & 0o001:
            above.chmod(mode | 0o001)


def _is_over(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port


def until(what: object, seconds: float = 10.0) -> None:
    """Wait until a plain function gives something true; AssertionError when it never does."""
    assert callable(what)
    ends = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < ends, "it did not come to be in time"
        time.sleep(0.02)
