"""Send what runs leave behind to the address that imt.toml names for outputs.

The workspace's ``outputs/`` is where work goes on; the address holds copies under the same
names. Evidence, whole outputs and records have their hashes in the log anyway; of a notebook an
entry says which state of it was sent. Doing it twice changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imtkit.contracts import Query
from imtkit.errors import ConfigError, NotFoundError, RecordError, ServiceError, StoreError
from imtkit.kit import unsent
from imtkit.kit.desk import Desk
from imtkit.model.copies import SENT, Copy, is_to_be_sent, notebooks, sent_copies, written_attempt
from imtkit.model.entries import AUTOMATION, Draft
from imtkit.model.incident import Incident
from imtkit.runs.conditions import ATTEMPT

if TYPE_CHECKING:
    from imtkit.depot import Depot

SENDER = f"{AUTOMATION}sender"


@dataclass(frozen=True, slots=True)
class Sent:
    """What a pass did: how many files went, and of which incidents something is still to go."""

    files: int = 0
    waiting: tuple[str, ...] = ()
    fault: str = ""


def waiting(desk: Desk) -> Sent:
    """What is still to be sent from this workspace, and why the last try did not succeed."""
    if not desk.settings.depot.address:
        return Sent()
    ids = dict.fromkeys(cause.incident for cause in unsent.causes(desk))
    return Sent(waiting=tuple(ids), fault=unsent.fault(desk))


def send(desk: Desk, *, is_everything: bool = False) -> Sent:
    """Send what is to be sent, of every incident or (without ``is_everything``) of those that
    something changed in.

    What runs is sent when it has parked or ended. ServiceError when the address refuses or
    ``outputs/`` cannot be written, ServiceDownError while the address is away, ConfigError when
    imt.toml names none or it cannot be served: everything unsent is kept in mind.
    """
    from imtkit.depot import open_depot

    if not desk.settings.depot.address:
        raise ConfigError(
            "Outputs have no address to be sent to.",
            hint='Name one in imt.toml: [outputs] and address = "s3://bucket/prefix"',
        )
    if is_everything:
        for row in desk.store.incidents(Query(limit=100_000)):
            unsent.note(desk, row.id)
    files = 0
    with unsent.one_sender(desk):
        try:
            depot = open_depot(desk.settings.depot)
            for incident_id, causes in _by_incident(unsent.causes(desk)).items():
                files += _send_incident(desk, depot, incident_id, causes)
        except (ServiceError, ConfigError) as error:
            unsent.tell_fault(desk, str(error))
            raise
        unsent.tell_fault(desk, "")
    return Sent(files, waiting(desk).waiting)


def send_if_possible(desk: Desk) -> str:
    """Send what is to be sent; in words why it was not, else nothing. A later pass tries again.

    For whoever has just done what matters more.
    """
    if not desk.settings.depot.address:
        return ""
    try:
        send(desk)
    except (ServiceError, ConfigError, StoreError) as error:
        return f"Not sent yet: {error} Later: imt outputs send"
    return ""


def _by_incident(causes: Sequence[unsent.Cause]) -> Mapping[str, list[unsent.Cause]]:
    found: dict[str, list[unsent.Cause]] = {}
    for cause in causes:
        found.setdefault(cause.incident, []).append(cause)
    return found


def _send_incident(
    desk: Desk, depot: Depot, incident_id: str, causes: Sequence[unsent.Cause]
) -> int:
    """Send an incident's folder as the log has it after these causes; the number of files."""
    try:
        incident = desk.store.incident(incident_id)
    except NotFoundError:  # another log's
        for cause in causes:
            unsent.drop(desk, cause)
        return 0
    if not any(cause.is_due(incident) for cause in causes):
        return 0
    files = _send_files(desk, depot, incident)
    files += sum(_send_notebook(desk, depot, incident, one) for one in notebooks(incident))
    files += _send_record(desk, depot, incident)
    # Meanwhile a run may have ended, whose end is not sent yet, or somebody have taken one over.
    now = desk.store.incident(incident_id)
    for cause in causes:
        if cause.is_settled(incident) and cause.is_settled(now):
            unsent.drop(desk, cause)
    return files


def _send_files(desk: Desk, depot: Depot, incident: Incident) -> int:
    """Send evidence and whole outputs; none of them ever changes under its name."""
    there = depot.sizes(incident.id)
    count = 0
    for name, _ in kept_files(incident):
        path = desk.settings.outputs / name
        if is_inside(desk, path) and path.is_file() and there.get(name) != path.stat().st_size:
            depot.send(name, path)
            count += 1
    return count


def kept_files(incident: Incident) -> Iterator[tuple[str, str]]:
    """The incident's evidence and whole outputs: names below ``outputs/``, and their SHA-256."""
    for one in incident.evidence:
        yield f"{incident.id}/{one.path}", one.sha256
    beside = {run.id: Path(run.output_path).parent.name for run in incident.runs}
    for entry in incident.entries:
        told = entry.data.get("whole_output")
        if entry.type == "step.finished" and isinstance(told, Mapping) and told.get("file"):
            folder = beside.get(str(entry.data.get("run")), "")
            if folder == incident.id:
                yield f"{folder}/{Path(str(told['file'])).name}", str(told.get("sha256", ""))


def is_inside(desk: Desk, path: Path) -> bool:
    """Whether a path that the log names lies in the workspace's outputs, links followed."""
    return path.resolve().is_relative_to(desk.settings.outputs.resolve())


def _send_notebook(desk: Desk, depot: Depot, incident: Incident, notebook: str) -> int:
    """Send a notebook that nothing writes at the moment, if it is newer than what was sent."""
    path = desk.settings.root / notebook
    runs = [run for run in incident.runs if run.output_path == notebook]
    if any(run.status == "running" for run in runs) or not is_inside(desk, path):
        return 0
    content = content_of(path)
    here = copy_of(content)
    if here is None:
        return 0
    written = written_attempt(incident, notebook)
    if not is_to_be_sent(here, sent_copies(incident, notebook), written):
        return 0
    depot.send(path.resolve().relative_to(desk.settings.outputs.resolve()).as_posix(), content)
    told = {
        "notebook": notebook,
        "run": runs[-1].id,
        "attempt": here.attempt if here.attempt is not None else max(written, 1),
        "sha256": here.sha256,
        "size": len(content),
    }
    sender = desk.acting_as(SENDER, "sender")

    def unless_told(now: Incident) -> Sequence[Draft]:
        sent = sent_copies(now, notebook)
        return [sender.draft(SENT, told)] if is_to_be_sent(here, sent, written) else []

    desk.store.change(incident.id, unless_told)
    return 1


def content_of(path: Path) -> bytes:
    """A file's bytes; none where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def copy_of(content: bytes) -> Copy | None:
    """Which state of a notebook this is; None when it is none, or not wholly written."""
    try:
        told = json.loads(content)["metadata"].get("papermill", {}).get(ATTEMPT)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return Copy(told if isinstance(told, int) else None, _sha256(content))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _send_record(desk: Desk, depot: Depot, incident: Incident) -> int:
    """Send the record that was built last, if that was here; its manifest when all else is there.

    So whoever finds the manifest that the log names finds the rest.
    """
    from imtkit.record.manifest import MANIFEST, manifest_from

    folder, place = desk.folder(incident.id) / "record", f"{incident.id}/record"
    built = built_last(incident)
    manifest = content_of(folder / MANIFEST)
    if not built or _sha256(manifest) != built:
        return 0
    there = depot.read(f"{place}/{MANIFEST}")
    if there is not None and _sha256(there) == built:
        return 0
    try:
        files = manifest_from(manifest).files
    except RecordError:
        return 0
    for name, (sha256, _) in files.items():
        content = content_of(folder / name)
        if _sha256(content) != sha256:
            return 0  # it is built anew meanwhile, or damaged: what is sent never mixes two
        depot.send(f"{place}/{name}", content)
    depot.send(f"{place}/{MANIFEST}", manifest)
    return len(files) + 1


def built_last(incident: Incident) -> str:
    """The SHA-256 of the manifest of the record that was built last; empty when none was."""
    told = [entry.data for entry in incident.entries if entry.type == "record.built"]
    return str(told[-1].get("manifest_sha256", "")) if told else ""
