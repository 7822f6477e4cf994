"""``imt serve`` and ``imt up``: what listens to senders of alerts, alone or with a worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import click

from imtkit.cli.face import Face, Verb, everywhere, pass_face, writes
from imtkit.errors import ImtkitError, StoreError, StoreVersionError

if TYPE_CHECKING:
    from imtkit.config import Settings

_ADD_ONE = """\
No sender of alerts is known. Add one to imt.toml, for example:

    [alerts.sources.alertmanager]
    secrets = ["secret://env/ALERTS_TOKEN"]
"""
_IMT = (sys.executable, "-c", "import sys; from imtkit.cli import main; sys.exit(main())")
_ENDING_SECONDS = 15.0
"""How long a worker may take to end its kernels."""


@click.command(cls=Verb, examples=("imt serve", "imt serve --port 8788"))
@click.option("--host", default="", metavar="ADDRESS", help="Else imt.toml's; loopback.")
@click.option("--port", type=click.IntRange(0, 65535), help="Else imt.toml's; 0 finds a free one.")
@everywhere
@pass_face
def serve(face: Face, host: str, port: int | None) -> None:
    """Listen to senders of alerts, and show incidents in the browser."""
    from imtkit.web import server

    settings = face.settings()
    _check(face, settings)
    told = settings.serve
    place = replace(told, host=host or told.host, port=told.port if port is None else port)
    settings = replace(settings, serve=place)
    token = _token(settings)
    with server.bound_socket(settings) as bound:
        url = server.address_of(bound)
        _introduce(face, settings, url, "" if told.token else token)
        if not server.is_loopback(place.host):
            face.say(
                f"{url} is open to the network without TLS: whoever listens in reads tokens and "
                "alerts. Put a proxy with TLS in front, and listen on loopback."
            )
        server.serve(settings, bound, token)


@click.command(cls=Verb, examples=("imt up", "imt up --port 8788"))
@click.option("--port", type=click.IntRange(0, 65535), help="Where to listen; else imt.toml's.")
@click.option("--jupyter", "more", multiple=True, metavar="OPTION", help="A worker's Jupyter's.")
@writes
@pass_face
def up(face: Face, port: int | None, more: tuple[str, ...]) -> None:
    """Start 'imt serve' and one 'imt worker' together; Ctrl-C ends both."""
    commands = {
        "serve": () if port is None else ("--port", str(port)),
        "worker": tuple(f"--jupyter={one}" for one in more),
    }
    _run_together(commands, face.settings(), face.person())


def _check(face: Face, settings: Settings) -> None:
    """Refuse to begin with what will not mend itself; say what may."""
    from imtkit.kit import alerts, open_desk

    alerts.checked_playbook(settings)
    try:
        open_desk(settings.root).close()
    except StoreVersionError:
        raise
    except StoreError as error:
        face.say(f"{error} Until that is mended, senders are told to come later.")


def _token(settings: Settings) -> str:
    """The token that opens the pages: imt.toml's, else one made up for this time."""
    import secrets

    from imtkit import config

    return config.resolve_secret(settings.serve.token) or secrets.token_urlsafe(24)


def _introduce(face: Face, settings: Settings, url: str, token: str) -> None:
    """Say where it listens, and for whom."""
    from imtkit.kit import intake

    names = list(settings.alerts.sources)
    page = f"{url}?token={token}" if token else url
    lines = [f"Listening at {page}", "(Ctrl-C ends it.)"]
    if names:
        lines.append(f"Alerts are posted to {url}alerts/NAME, NAME being {_or(names)}.")
    face.give({"url": url, "page": page, "sources": names}, "\n".join(lines))
    if not names:
        face.say(_ADD_ONE)
    for name, why in intake.unusable(settings).items():
        face.say(f"Nothing that '{name}' posts is believed: {why}")


def _or(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _run_together(
    commands: Mapping[str, tuple[str, ...]], settings: Settings, person: str
) -> NoReturn:
    """Run several of our commands until one ends, or somebody ends this one."""
    known = {"IMT_WORKSPACE": str(settings.root), **({"IMT_USER": person} if person else {})}
    children: dict[str, subprocess.Popen[bytes]] = {}
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        for name, words in commands.items():
            children[name] = subprocess.Popen(
                (*_IMT, name, *words), cwd=settings.root, env={**os.environ, **known}
            )
        _watch(children)
    finally:
        _end(children)
        signal.signal(signal.SIGTERM, before)


def _watch(children: dict[str, subprocess.Popen[bytes]]) -> NoReturn:
    """Wait until one of them ends, which is an error: each goes on until it is stopped."""
    while True:
        for name, child in children.items():
            code = child.poll()
            if code is not None:
                raise ImtkitError(
                    f"'imt {name}' ended ({_ended(code)}), and with it the other.",
                    hint=f"What it said stands above. Try it alone: imt {name}",
                )
        time.sleep(0.2)


def _ended(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _end(children: dict[str, subprocess.Popen[bytes]]) -> None:
    """Have them end, and see that they do. On a terminal Ctrl-C has reached them already."""
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


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
