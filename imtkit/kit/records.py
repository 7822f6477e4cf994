"""Build the record of an incident, and check records against the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from imtkit.config.place import place_in
from imtkit.contracts import Head
from imtkit.errors import NotFoundError, RecordError
from imtkit.kit import copies, expiry, outputs, unsent
from imtkit.kit.desk import Desk, id_of
from imtkit.model.copies import SENT
from imtkit.model.incident import Incident

if TYPE_CHECKING:
    from imtkit.record import Record


def build(desk: Desk, incident_id: str) -> Record:
    """Build an incident's record from the log as it is now: where it is, and its problems.

    The log keeps the record's head and the hash of its manifest. RecordError when it cannot be
    written; the record that was there before still is.
    """
    from imtkit.record.build import build_record
    from imtkit.store.chain import line_of

    incident = expiry.look(desk, incident_id)
    copies.fetch_incident(desk, incident.id)  # what cannot be had, the record says is missing
    record = build_record(
        incident,
        desk.folder(incident.id),
        notebooks=_notebooks(desk, incident),
        line_of=line_of,
        built_at=desk.clock.now(),
    )
    built = {
        "entries": record.head.count,
        "head": record.head.hash,
        "manifest_sha256": record.manifest_sha256,
        "problems": list(record.problems),
    }
    with unsent.noted(desk, incident.id):
        desk.store.append(incident.id, desk.draft("record.built", built))
    outputs.send_if_possible(desk)
    return record


def problems_told(incident: Incident) -> tuple[str, ...]:
    """What the record that was built last had to say aloud, as the log keeps it."""
    built = _built(incident)
    told = built[-1].get("problems") if built else None
    return tuple(str(one) for one in told) if isinstance(told, (list, tuple)) else ()


def entries_since(incident: Incident) -> int:
    """How many entries the log has that the record built last does not hold.

    That a record was built, or outputs were sent, is no news to it. 0 where no record was built.
    """
    built = _built(incident)
    head = _head(incident, built[-1]) if built else None
    later = incident.entries[head.count :] if head else ()
    return sum(entry.type not in ("record.built", SENT) for entry in later)


def verify(folder: Path, *, anchor: Head | None = None) -> list[str]:
    """What is wrong with a record, in words; empty when all of it stands."""
    from imtkit.record.manifest import verify_record

    return verify_record(folder, anchor=anchor)


def verify_incident(desk: Desk, incident_id: str) -> list[str]:
    """What is wrong with an incident's record, measured also against what the log says of it."""
    incident = desk.store.incident(id_of(incident_id))
    folder = desk.folder(incident.id) / "record"
    if not folder.is_dir() and not copies.fetch_record(desk, incident.id):
        raise NotFoundError(
            f"{incident.id} has no record yet.", hint=f"Build it: imt record build {incident.id}"
        )
    built = _built(incident)
    problems = verify(folder, anchor=_head(incident, built[-1]) if built else None)
    if built and not problems:
        from imtkit.record.manifest import MANIFEST, sha256_of

        if sha256_of(folder / MANIFEST) != built[-1].get("manifest_sha256"):
            problems = [f"{MANIFEST} is not the one the log names."]
    return problems


def anchors(desk: Desk) -> Sequence[Head]:
    """The heads that the records in outputs/ were built from: a cut log does not hold them."""
    from imtkit.record.manifest import MANIFEST, read_manifest

    found = []
    for path in sorted(desk.settings.outputs.glob(f"*/record/{MANIFEST}")):
        try:
            found.append(read_manifest(path.parent).head)
        except RecordError:
            continue  # 'imt record verify' says what is wrong with it
    return found


def _built(incident: Incident) -> list[Mapping[str, object]]:
    return [entry.data for entry in incident.entries if entry.type == "record.built"]


def _head(incident: Incident, built: Mapping[str, object]) -> Head | None:
    count, hash_ = built.get("entries"), built.get("head")
    if not isinstance(count, int) or not isinstance(hash_, str):
        return None
    return Head(incident.id, count, hash_)


def _notebooks(desk: Desk, incident: Incident) -> dict[str, Path]:
    """The executed notebooks by run id: those within the workspace, where a log may point."""
    found = {}
    for run in incident.runs:
        path = desk.settings.root / run.output_path
        with suppress(ValueError):
            if run.output_path and place_in(desk.settings.root, path):
                found[run.id] = path.resolve()
    return found
