"""What a message may say: checked, cleaned of what no page should carry, and kept in bounds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256

from imtkit.contracts import COMPONENT_STATES, UPDATE_STATUSES, Message
from imtkit.errors import InputError, suggestion

IMPACTS = ("none", "minor", "major", "critical")
STATE_OF_IMPACT = {
    "none": "operational",
    "minor": "degraded_performance",
    "major": "partial_outage",
    "critical": "major_outage",
}

MOST_TITLE = 255
MOST_BODY = 25_000
"""Statuspage's limits (its OpenAPI document of 2023-06); the others take at least as much."""

# Controls, and the bidirectional embeddings, overrides and isolates that can make text read
# as what it is not (UAX #9, section 2); XML 1.0 forbids the controls and U+FFFE/F as well.
_UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe\uffff]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_TAG_START = re.compile(r"<(?=[A-Za-z/!?])")
_UNSAFE_LINK = re.compile(r"\](?=\(\s*<?(?!https?://|mailto:))|(?<=\])(?=:\s*<?(?!https?://|\s))")


def checked(message: Message) -> Message:
    """The message, cleaned and within every page's limits; InputError when it cannot be meant.

    A title or body that is too long is cut where the reader sees it.
    """
    _known("Status", message.status, UPDATE_STATUSES)
    _known("Impact", message.impact, IMPACTS)
    for service, state in message.components.items():
        _known(f"The state of component '{service}',", state, COMPONENT_STATES)
    title = " ".join(cleaned(message.title).split())
    body = cleaned(message.body).strip()
    for name, text in (("title", title), ("body", body), ("incident", message.incident)):
        if not text:
            raise InputError(f"The {name} of the update is empty.", hint=f"Give it a {name}.")
    if not 0 < len(message.marker) <= 64:
        raise InputError(f"The marker {message.marker!r} is not 1 to 64 characters long.")
    if message.at.tzinfo is None:
        raise InputError("The time of the update has no time zone.", hint="Use aware UTC times.")
    return replace(message, title=shortened_title(title), body=shortened(body, MOST_BODY))


def cleaned(text: str) -> str:
    """The text without controls, direction overrides and half characters; line ends are LF."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    return _SURROGATES.sub("\ufffd", _UNWANTED.sub("", plain))


def shortened_title(title: str) -> str:
    """The title in at most 255 characters, with an ellipsis where it was cut."""
    return title if len(title) <= MOST_TITLE else title[: MOST_TITLE - 1].rstrip() + "…"


def shortened(text: str, most: int) -> str:
    """The text in at most ``most`` characters; where it was cut it says so, and how long it was."""
    if len(text) <= most:
        return text
    notice = f"\n\n[Shortened: the whole text has {len(text)} characters.]"
    return text[: most - len(notice)].rstrip() + notice


def as_markdown(text: str) -> str:
    """The text for a page that renders Markdown with HTML let through, made harmless.

    Tags become text, and links lead to web and mail addresses only: Cachet's renderer passes
    raw HTML and ``javascript:`` links on to its readers (league/commonmark's defaults).
    """
    return _UNSAFE_LINK.sub(lambda found: f"\\{found[0]}", _TAG_START.sub("&lt;", text))


def reference(incident: str, marker: str = "") -> str:
    """``Reference: INC-2026-0042 / 3f9c1a2b7d``, the line by which an update is found again.

    The ten digits stand for the marker (SHA-256), which may be long; without a marker it is
    the part that every update of the incident has.
    """
    digits = sha256(marker.encode()).hexdigest()[:10] if marker else ""
    return f"Reference: {incident} / {digits}"


def worst(states: Iterable[str]) -> str:
    """The worst of these component states; operational when there are none."""
    return max(states, key=COMPONENT_STATES.index, default="operational")


def _known(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(
            f"{what} '{value}' is not one a status page shows.", hint=suggestion(value, known)
        )
