"""``imt store``: look after the log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imtkit.cli.face import Face, Noun, everywhere, pass_face
from imtkit.errors import ChainError, InputError
from imtkit.model.words import counted

if TYPE_CHECKING:
    from imtkit.contracts import Fault, Head, Store


@click.group(cls=Noun)
def store() -> None:
    """Look after the log."""


@store.command(examples=("imt store migrate",))
@everywhere
@pass_face
def migrate(face: Face) -> None:
    """Bring the log's tables to this version of imtkit; entries stay what they are."""
    from imtkit.store import open_store

    log = open_store(face.settings().store_url, is_migrating=True)
    try:
        steps = log.migrate()
    finally:
        log.close()
    done = f"Stepped to: {', '.join(steps)}." if steps else "The tables are this version's."
    face.give({"steps": steps}, done)


@store.command(examples=("imt store verify --against heads.json",))
@click.option(
    "--against",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Heads kept outside earlier, by: imt store heads --json > FILE",
)
@everywhere
@pass_face
def verify(face: Face, against: Path | None) -> None:
    """Check that every entry is what was stored; names the first that is not."""
    from imtkit.kit import records

    anchors = heads_from_file(against) if against else []
    with face.desk() as desk:
        faults = desk.store.verify([*anchors, *records.anchors(desk)])
        ends = desk.store.heads()
        warnings = _warnings(desk.store, is_sound=not faults)
    for warning in warnings:
        face.say(f"Warning: {warning}")
    counts = {"entries": sum(head.count for head in ends), "chains": len(ends)}
    face.give(
        {**counts, "faults": faults, "warnings": warnings},
        "\n".join(f"{f.incident} entry {f.n} {f.problem}" for f in faults) or _well(**counts),
    )
    if faults:
        raise _not_what_was_stored(faults[0])


@store.command(examples=("imt store rebuild",))
@everywhere
@pass_face
def rebuild(face: Face) -> None:
    """Compute the lists' table anew from the log."""
    with face.desk() as desk:
        count = desk.store.rebuild()
    face.give(
        {"incidents": count}, f"The lists hold {counted(count, 'incident')}, computed from the log."
    )


@store.command(examples=("imt store heads --json > heads.json",))
@everywhere
@pass_face
def heads(face: Face) -> None:
    """Print the end of every chain; kept elsewhere, it shows later that nothing was cut off."""
    with face.desk() as desk:
        ends = desk.store.heads()
    lines = [f"{head.incident}\t{head.count}\t{head.hash}" for head in ends]
    if ends or face.is_json:
        face.give({"heads": ends}, "\n".join(lines))
    else:
        face.say("The log is empty.")


def _well(entries: int, chains: int) -> str:
    are = "is" if entries == 1 else "are"
    told = f"{counted(entries, 'entry', 'entries')} in {counted(chains, 'chain')}"
    return f"{told} {are} what was stored."


def _warnings(log: Store, *, is_sound: bool) -> list[str]:
    """What is not as it should be around the entries; lists are only held against a sound log."""
    said = []
    rules = log.missing_rules()
    if rules:
        said.append(
            f"Entries can be changed: the database's rule {', '.join(rules)} is gone. Find out "
            "who took it away, and restore it from a backup."
        )
    stale = log.stale_lists() if is_sound else []
    if stale:
        named = ", ".join(stale[:5]) + (" …" if len(stale) > 5 else "")
        said.append(f"The lists are not what the log says of {named}. Run: imt store rebuild")
    return said


def _not_what_was_stored(first: Fault) -> ChainError:
    return ChainError(
        f"The log is not what was stored: entry {first.n} of {first.incident} {first.problem}.",
        hint="Keep a copy of the database as it is now, and compare it with the records.",
    )


def heads_from_file(path: Path) -> list[Head]:
    """The heads that ``imt store heads --json`` wrote; InputError when they cannot be read."""
    from imtkit.contracts import Head

    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
        return [
            Head(str(one["incident"]), int(one["count"]), str(one["hash"]))
            for one in document["heads"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} holds no heads: {error}.", hint="Write it with: imt store heads --json"
        ) from error
