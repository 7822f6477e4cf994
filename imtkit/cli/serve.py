"""``imt serve``: what listens to senders of alerts, and shows incidents in the browser."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from imtkit.cli.face import Face, Verb, everywhere, pass_face
from imtkit.errors import StoreError, StoreVersionError

if TYPE_CHECKING:
    from imtkit.config import Settings

_ADD_ONE = """\
No sender of alerts is known. Add one to imt.toml, for example:

    [alerts.sources.alertmanager]
    secrets = ["secret://env/ALERTS_TOKEN"]
"""


@click.command(cls=Verb, examples=("imt serve", "imt serve --port 8788"))
@click.option("--host", default="", metavar="ADDRESS", help="Else imt.toml's; loopback.")
@click.option("--port", type=click.IntRange(0, 65535), help="Else imt.toml's; 0 finds a free one.")
@click.option("--for-up", "is_for_up", is_flag=True, hidden=True)  # 'imt up' reads where it is
@everywhere
@pass_face
def serve(face: Face, host: str, port: int | None, is_for_up: bool) -> None:
    """Listen to senders of alerts, and show incidents in the browser."""
    from imtkit.runs.lifeline import end_with
    from imtkit.web import server

    if is_for_up:
        end_with(sys.stdin.fileno())
    settings = face.settings()
    _check(face, settings)
    settings = listening_at(settings, host, port)
    told = settings.serve
    token = _token(settings)
    with server.bound_socket(settings) as bound:
        url = server.address_of(bound)
        page = url if told.token else f"{url}?token={token}"
        _introduce(face, settings, url, page, is_for_up=is_for_up)
        if not server.is_loopback(told.host):
            face.say(_OPEN.format(url=url))
        server.serve(settings, bound, token)


_OPEN = (
    "{url} is open to the network without TLS: whoever listens in reads tokens and alerts. "
    "Put a proxy with TLS in front, and listen on loopback."
)


def listening_at(settings: Settings, host: str, port: int | None) -> Settings:
    """The settings with another address to listen at, as far as one is told."""
    told = settings.serve
    place = replace(told, host=host or told.host, port=told.port if port is None else port)
    return replace(settings, serve=place)


def where_alerts_go(url: str, names: Sequence[str]) -> str:
    """Where senders post, by the names of those that are known."""
    return f"{url}alerts/NAME, NAME being {_or(names)}"


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


def _introduce(face: Face, settings: Settings, url: str, page: str, *, is_for_up: bool) -> None:
    """Say where it listens, and for whom."""
    from imtkit.kit import intake

    names = list(settings.alerts.sources)
    lines = [f"Listening at {page}", "(Ctrl-C ends it.)"]
    if names:
        lines.append(f"Alerts are posted to {where_alerts_go(url, names)}.")
    told = {"url": url, "page": page, "sources": names}
    if is_for_up:
        face.give_json(told)
    else:
        face.give(told, "\n".join(lines))
    if not names:
        face.say(_ADD_ONE)
    for name, why in intake.unusable(settings).items():
        face.say(f"Nothing that '{name}' posts is believed: {why}")
    for rule in settings.alerts.rules:
        if rule.is_unlimited:
            face.say(f"The rule '{rule.name}' runs without a limit: set per_hour and at_once.")


def _or(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
