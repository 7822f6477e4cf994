"""Copies of one notebook, on several machines and at the address of outputs: which is the newest.

A run's notebook goes from machine to machine with it. Each attempt at the run writes on in it,
and says in it which attempt it was; the log says which state of it was sent, and which steps
each attempt began.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from imtkit.model.entry_data import number_of, text_of
from imtkit.model.incident import Incident

SENT = "notebook.sent"

Newest = Literal["here", "there", "elsewhere"]
"""Where the newest copy of a notebook is: on this machine, at the address, or on another machine
that has not sent it."""


@dataclass(frozen=True, slots=True)
class Copy:
    """One state of a notebook: the attempt that wrote it, and its SHA-256.

    ``attempt`` is None where the notebook does not say: a person's, or one of an older imtkit.
    """

    attempt: int | None
    sha256: str


def notebooks(incident: Incident) -> tuple[str, ...]:
    """The paths of the incident's notebooks, as its runs name them, each once."""
    return tuple(dict.fromkeys(run.output_path for run in incident.runs if run.output_path))


def sent_copies(incident: Incident, notebook: str) -> list[Copy]:
    """The states of a notebook that were sent, oldest first."""
    return [
        Copy(number_of(entry, "attempt") or 0, text_of(entry, "sha256"))
        for entry in incident.entries
        if entry.type == SENT and text_of(entry, "notebook") == notebook
    ]


def written_attempt(incident: Incident, notebook: str) -> int:
    """The last attempt that began a step in this notebook; 0 when none did."""
    runs = {run.id for run in incident.runs if run.output_path == notebook}
    attempts = dict.fromkeys(runs, 1)
    written = 0
    for entry in incident.entries:
        run = text_of(entry, "run")
        if run in runs and entry.type == "run.resumed":
            attempts[run] += 1
        elif run in runs and entry.type == "step.started":
            written = max(written, attempts[run])
    return written


def newest(here: Copy | None, sent: Sequence[Copy], written: int) -> Newest:
    """Where the newest copy is, of what is here (if anything), what was sent, what was written.

    A copy that is here and was never sent is somebody's work in it since, as long as no later
    attempt wrote elsewhere. One that was sent, and is not what was sent last, is old.
    """
    last = sent[-1] if sent else None
    there = (last.attempt or 0) if last is not None else 0
    if here is not None:
        attempt = max(written, there) if here.attempt is None else here.attempt
        states = [copy.sha256 for copy in sent]
        is_old = here.sha256 in states and here.sha256 != states[-1]
        if attempt >= max(written, there) and not is_old:
            return "here"
    if last is not None and there >= written:
        return "there"
    return "elsewhere" if written else "here"


def is_to_be_sent(here: Copy, sent: Sequence[Copy], written: int) -> bool:
    """Whether what is here is newer than all that was sent."""
    is_known = here.sha256 in {copy.sha256 for copy in sent}
    return not is_known and newest(here, sent, written) == "here"
