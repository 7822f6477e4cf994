"""``imt up``: what listens to senders of alerts, and a worker, together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event
from typing import TYPE_CHECKING, Any

import click

from imtkit.cli.face import Face, Verb, pass_face, writes
from imtkit.errors import ImtkitError

if TYPE_CHECKING:
    from imtkit.config import Settings
    from imtkit.lab.reach import Server

_IMT = (sys.executable, "-c", "import sys; from imtkit.cli import main; sys.exit(main())")
_ASKED = "--for-up"
"""Has 'imt serve' tell in JSON where it listens, and its errors in words; it and 'imt worker' end
with their stdin.
"""
_LOOK_SECONDS = 0.1
_ENDING_SECONDS = 15.0
"""How long a worker may take to end its kernels."""

Child = subprocess.Popen[bytes]


@click.command(cls=Verb, examples=("imt up", "imt up --port 8788"))
@click.option("--port", type=click.IntRange(0, 65535), help="Where to listen; else imt.toml's.")
@click.option("--jupyter", "more", multiple=True, metavar="OPTION", help="A worker's Jupyter's.")
@writes
@pass_face
def up(face: Face, port: int | None, more: tuple[str, ...]) -> None:
    """Start 'imt serve' and one 'imt worker' together; Ctrl-C ends both."""
    from imtkit.cli.serve import listening_at
    from imtkit.kit import alerts
    from imtkit.lab.serve import check_root
    from imtkit.web import server

    settings = face.settings()
    check_root("imt up", more)
    # What is wrong with the rules or the address is said now, not in the middle of what two say.
    alerts.checked_playbook(settings)
    server.bound_socket(listening_at(settings, "", port), command="imt up").close()
    told = () if port is None else ("--port", str(port))
    jupyters = (f"--jupyter={option}" for option in more)
    with _told_to_end() as is_told, _lifeline() as lifeline, _running() as children:
        for one in (("serve", _ASKED, *told), ("worker", _ASKED, *jupyters)):
            children[one[0]] = _begun(face, settings, one, lifeline=lifeline)
        _introduce(face, settings, children, is_told)
        while not is_told.wait(_LOOK_SECONDS):
            _require_alive(children)
    raise KeyboardInterrupt


@contextmanager
def _told_to_end() -> Iterator[Event]:
    """Set when somebody ends this process: by Ctrl-C, by a signal, by closing the terminal.

    Signals after the first change nothing: the children are ending.
    """
    is_told = Event()
    before = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            before[number] = signal.signal(number, lambda *_: is_told.set())
    try:
        yield is_told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _lifeline() -> Iterator[int]:
    """A pipe whose other end this process alone holds, and lets go of however it ends: the end of
    it is the children's sign that they are to end, too.
    """
    theirs, ours = os.pipe()  # what is begun here inherits no descriptor that it is not given
    try:
        yield theirs
    finally:
        os.close(ours)
        os.close(theirs)


@contextmanager
def _running() -> Iterator[dict[str, Child]]:
    """The children by name, to be filled; they end with the block, whatever ends it."""
    children: dict[str, Child] = {}
    try:
        yield children
    finally:
        for child in children.values():
            if child.poll() is None:
                child.terminate()
        ends_at = time.monotonic() + _ENDING_SECONDS
        for child in children.values():
            with suppress(subprocess.TimeoutExpired):
                child.wait(max(0.0, ends_at - time.monotonic()))
            if child.poll() is None:
                child.kill()
                child.wait()
            if child.stdout is not None:
                child.stdout.close()


def _begun(face: Face, settings: Settings, words: tuple[str, ...], *, lifeline: int) -> Child:
    """One of our commands. Ctrl-C does not reach it: this process ends it in its own time."""
    person = face.person()
    known = {"IMT_WORKSPACE": str(settings.root), **({"IMT_USER": person} if person else {})}
    child = subprocess.Popen(
        (*_IMT, *words),
        cwd=settings.root,
        env={**os.environ, **known},
        stdin=lifeline,
        stdout=subprocess.PIPE if "serve" in words else subprocess.DEVNULL,
        process_group=0,
    )
    if child.stdout is not None:
        os.set_blocking(child.stdout.fileno(), False)
    return child


def _introduce(face: Face, settings: Settings, children: dict[str, Child], is_told: Event) -> None:
    """Once both answer: say where."""
    from imtkit.lab import reach
    from imtkit.runs.lease import process_of

    record = reach.record_of(settings, process_of(children["worker"].pid))
    said, told, here = b"", None, None
    while told is None or here is None:
        if is_told.wait(_LOOK_SECONDS):
            return
        _require_alive(children)
        said += _read(children["serve"])
        with suppress(ValueError):
            told = json.loads(said)
        with suppress(OSError, ValueError):
            here = reach.read(record)
    _say(face, told, here)


def _read(child: Child) -> bytes:
    """What a child has printed since, without waiting for more."""
    return (child.stdout and child.stdout.read()) or b""


def _say(face: Face, told: dict[str, Any], here: Server) -> None:
    from imtkit.cli.serve import where_alerts_go

    lines = [
        "Both are up; Ctrl-C ends them.",
        f"  Pages:       {told['page']}",
        f"  JupyterLab:  {here.home}",
    ]
    if told["sources"]:
        lines.append(f"  Alerts:      {where_alerts_go(told['url'], told['sources'])}")
    face.give({**told, "lab": here.home}, "\n".join(lines))


def _require_alive(children: dict[str, Child]) -> None:
    for name, child in children.items():
        code = child.poll()
        if code is not None:
            raise ImtkitError(
                f"'imt {name}' ended ({_ended(code)}), and with it the other.",
                hint=f"What it said stands above. Try it alone: imt {name}",
            )


def _ended(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
