"""Build the record of an incident, and check records against the log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from imtkit.contracts import Head
from imtkit.errors import NotFoundError, RecordError
from imtkit.kit.desk import Desk
from imtkit.model.incident import Incident


def build(desk: Desk, incident_id: str) -> Path:
    """Build an incident's record from the log as it is now; its index page.

    The log keeps the record's head and the hash of its manifest. RecordError when it cannot be
    written; the record that was there before still is.
    """
    from imtkit.record.build import build_record
    from imtkit.store.chain import line_of

    incident = desk.store.incident(incident_id.strip().upper())
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
    desk.store.append(incident.id, desk.draft("record.built", built))
    return record.index


def verify(folder: Path, *, anchor: Head | None = None) -> list[str]:
    """What is wrong with a record, in words; empty when all of it stands."""
    from imtkit.record.manifest import verify_record

    return verify_record(folder, anchor=anchor)


def verify_incident(desk: Desk, incident_id: str) -> list[str]:
    """What is wrong with an incident's record, measured also against what the log says of it."""
    incident = desk.store.incident(incident_id.strip().upper())
    folder = desk.folder(incident.id) / "record"
    if not folder.is_dir():
        raise NotFoundError(
            f"{incident.id} has no record yet.", hint=f"Build it: imt record build {incident.id}"
        )
    built = [entry.data for entry in incident.entries if entry.type == "record.built"]
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


def _head(incident: Incident, built: object) -> Head | None:
    data = built if isinstance(built, dict) else {}
    count, hash_ = data.get("entries"), data.get("head")
    if not isinstance(count, int) or not isinstance(hash_, str):
        return None
    return Head(incident.id, count, hash_)


def _notebooks(desk: Desk, incident: Incident) -> dict[str, Path]:
    """The executed notebooks by run id: those within the workspace, where a log may point."""
    found = {}
    for run in incident.runs:
        path = (desk.settings.root / run.output_path).resolve()
        if run.output_path and path.is_relative_to(desk.settings.root):
            found[run.id] = path
    return found
