"""Bring here what other machines sent to the address of outputs: notebooks, files, records."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from uuid import uuid4

from imtkit.depot import Depot, open_depot, writing_here
from imtkit.errors import ConfigError, ImtkitError, NotFoundError, ServiceError
from imtkit.kit.desk import Desk
from imtkit.kit.outputs import built_last, content_of, copy_of, is_inside, kept_files
from imtkit.model.copies import Copy, newest, notebooks, sent_copies, written_attempt
from imtkit.model.incident import Run
from imtkit.runs.lease import process_told


def fetch_run(desk: Desk, run: Run, *, is_newest_lost: bool = False) -> None:
    """See that the newest copy of a run's notebook is here, and the files beside it.

    NotFoundError when another machine has it and has not sent it, unless ``is_newest_lost``: then
    the newest of the others will do. ServiceError when what is there is not what the log names,
    or as of the depot. Nothing where outputs have no address, or what is here is the newest.
    """
    if not desk.settings.depot.address or run.by_hand or not run.output_path:
        return
    incident = desk.store.incident(run.incident)
    sent = sent_copies(incident, run.output_path)
    written = 0 if is_newest_lost else written_attempt(incident, run.output_path)
    where = newest(_here(desk, run.output_path), sent, written)
    if where == "here":
        return
    if where == "elsewhere":
        raise _unsent(desk, run)
    depot = open_depot(desk.settings.depot)
    # First what lies beside, so that no step of this machine gives another file its name.
    for name, sha256 in kept_files(incident):
        if Path(name).name.startswith(f"{Path(run.output_path).stem}."):
            _fetch_file(desk, depot, name=name, sha256=sha256)
    _fetch_notebook(desk, depot, notebook=run.output_path, sent=sent)


def is_newest_here(desk: Desk, run: Run) -> bool:
    """Whether what the last attempt that began a step wrote is in the notebook on this machine."""
    here = _here(desk, run.output_path)
    incident = desk.store.incident(run.incident)
    written = written_attempt(incident, run.output_path)
    if here is None:
        return not written
    return newest(here, sent_copies(incident, run.output_path), written) == "here"


def fetch_incident(desk: Desk, incident_id: str) -> list[str]:
    """Bring here all that an incident's record is made of; in words what could not be had."""
    if not desk.settings.depot.address:
        return []
    incident = desk.store.incident(incident_id)
    tasks: list[Callable[[Depot], None]] = []
    for notebook in notebooks(incident):
        sent = sent_copies(incident, notebook)
        if newest(_here(desk, notebook), sent, written_attempt(incident, notebook)) == "there":
            tasks.append(partial(_fetch_notebook, desk, notebook=notebook, sent=sent))
    for name, sha256 in kept_files(incident):
        if not (desk.settings.outputs / name).exists():
            tasks.append(partial(_fetch_file, desk, name=name, sha256=sha256))
    if not tasks:
        return []
    problems: list[str] = []
    try:
        depot = open_depot(desk.settings.depot)
        for task in tasks:
            try:
                task(depot)
            except NotFoundError as error:
                problems.append(str(error))  # it was never sent; the rest may have been
    except (ServiceError, ConfigError) as error:
        problems.append(str(error))
    return problems


def fetch_record(desk: Desk, incident_id: str) -> bool:
    """See that the record that was built last is here; whether it is.

    NotFoundError when there is no such incident; ServiceError as of the depot.
    """
    from imtkit.record.manifest import MANIFEST, sha256_of

    incident = desk.store.incident(incident_id)
    built, folder = built_last(incident), desk.folder(incident.id) / "record"
    with suppress(OSError):
        if built and sha256_of(folder / MANIFEST) == built:
            return True
    if not built or not desk.settings.depot.address:
        return False
    depot = open_depot(desk.settings.depot)
    manifest = depot.read(f"{incident.id}/record/{MANIFEST}")
    if manifest is None or hashlib.sha256(manifest).hexdigest() != built:
        return False  # another machine has built it, and has not sent it yet

    from imtkit.record.brought import bring_record

    def fetch(name: str, path: Path) -> str:
        return depot.fetch(f"{incident.id}/record/{name}", path)

    bring_record(incident, desk.folder(incident.id), manifest, fetch)
    return True


def _here(desk: Desk, notebook: str) -> Copy | None:
    return copy_of(content_of(desk.settings.root / notebook))


def _fetch_notebook(desk: Desk, depot: Depot, *, notebook: str, sent: list[Copy]) -> None:
    """Put what was sent last in the place of what is here; a person's work in that is kept."""
    path = desk.settings.root / notebook
    here = _here(desk, notebook)
    name = Path(os.path.relpath(path, desk.settings.outputs)).as_posix()
    part = _fetched(desk, depot, name, sent[-1].sha256)
    try:
        with writing_here(path):
            if here is not None and here.sha256 not in {copy.sha256 for copy in sent}:
                path.rename(path.with_name(f"{path.stem}-kept-{here.sha256[:12]}{path.suffix}"))
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _fetch_file(desk: Desk, depot: Depot, *, name: str, sha256: str) -> None:
    path = desk.settings.outputs / name
    if path.exists():
        return
    part = _fetched(desk, depot, name, sha256)
    try:
        with writing_here(path):
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _fetched(desk: Desk, depot: Depot, name: str, sha256: str) -> Path:
    """A new file beside the place of this one, with what the log says it holds."""
    path = desk.settings.outputs / name
    if not is_inside(desk, path):
        raise NotFoundError(f"{name} would lie outside the workspace's outputs.")
    with writing_here(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid4().hex[:8]}.part")
    try:
        found = depot.fetch(name, part)
        if found != sha256:
            raise ServiceError(
                f"{name} at {depot.address} is not what the log names "
                f"(its SHA-256 begins {found[:12]}, not {sha256[:12]}).",
                hint="It may be on its way. Else, on the machine that has it: imt outputs send",
                retryable=True,
            )
    except ImtkitError:
        part.unlink(missing_ok=True)
        raise
    return part


def _unsent(desk: Desk, run: Run) -> NotFoundError:
    runner = process_told(run.runner)
    host = f" ({runner.host})" if runner else ""
    return NotFoundError(
        f"The newest notebook of run {run.id} is on the machine that ran it{host}; it was not sent "
        f"to {desk.settings.depot.address} yet.",
        hint=f"There: imt outputs send. Or begin anew: imt run {run.runbook} "
        f"--incident {run.incident}",
        retryable=True,
    )
