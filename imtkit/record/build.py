"""Building the record of an incident: all of it, or nothing."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from importlib import metadata
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from urllib.parse import quote

from imtkit.contracts import Head
from imtkit.errors import RecordError
from imtkit.model.entries import Entry, utc_text
from imtkit.model.incident import WITHOUT_RUNNER, Incident, Run
from imtkit.record.index import Contents, RunPage, index_html
from imtkit.record.manifest import INDEX, LOG, MANIFEST, manifest_text, read_manifest, sha256_of
from imtkit.record.notebook import read_notebook
from imtkit.record.page import Pages, stale_text
from imtkit.record.shown import Shown, look_at
from imtkit.record.swap import one_builder, put_in_place, restore
from imtkit.record.wholes import WholeOutput, copy_checked, whole_outputs

FOLDER = "record"
LineOf = Callable[[Entry], bytes]


@dataclass(frozen=True, slots=True)
class Record:
    """A built record: where it is, the head it was built from, and what it had to say aloud."""

    folder: Path
    head: Head
    manifest_sha256: str
    problems: tuple[str, ...] = ()

    @property
    def index(self) -> Path:
        """The page to open."""
        return self.folder / INDEX


def build_record(
    incident: Incident,
    folder: Path,
    *,
    notebooks: Mapping[str, Path],
    line_of: LineOf,
    built_at: datetime,
    pages: Pages | None = None,
) -> Record:
    """Build ``folder/record`` from the log as folded, and put it in place in one step.

    ``folder`` is the incident's (evidence paths are relative to it); ``notebooks`` are the
    executed notebooks by run id; ``line_of`` gives an entry's canonical JSON with its hash.
    A notebook or a piece of evidence that is missing or broken is said in the index and does
    not stop the rest. A record of an earlier state of the same log is replaced; any other is
    kept beside. RecordError when the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with one_builder(folder):
            restore(folder / FOLDER)
            for left_by_the_killed in folder.glob(f".{FOLDER}-*"):
                take_away(left_by_the_killed, incident)
            draft = Path(mkdtemp(prefix=f".{FOLDER}-", dir=folder))
            draft.chmod(0o755)
            built = _Build(incident, folder, draft, pages or Pages())
            problems = built.write(notebooks, line_of, built_at)
            manifest = sha256_of(draft / MANIFEST)
            replaced = put_in_place(draft, folder / FOLDER)
            if replaced is not None:
                take_away(replaced, incident)
    except OSError as error:
        raise RecordError(
            f"The record of {incident.id} cannot be written to {folder}: {error.strerror}.",
            hint="Make room or give access; the record that was there before still is.",
        ) from error
    return Record(folder / FOLDER, _head(incident), manifest, problems)


def _head(incident: Incident) -> Head:
    return Head(incident.id, len(incident.entries), incident.head)


@dataclass(frozen=True, slots=True)
class _Build:
    """One building of one record, into a folder nobody sees yet."""

    incident: Incident
    folder: Path
    draft: Path
    pages: Pages

    def write(
        self, notebooks: Mapping[str, Path], line_of: LineOf, built_at: datetime
    ) -> tuple[str, ...]:
        """Write every file; the manifest last. Returns what the index says aloud."""
        runs = self._run_pages(notebooks)
        evidence = [look_at(one, self.folder) for one in self.incident.evidence]
        self._keep(evidence)
        wholes = [
            replace(one, problem=copy_checked(one, self.draft))
            for one in whole_outputs(self.incident, notebooks)
        ]
        problems = (*_problems(runs, evidence), *_whole_problems(wholes))
        contents = Contents(runs, evidence, problems, built_at, _version(), wholes=wholes)
        self._text(INDEX, index_html(self.incident, contents))
        lines = b"".join(line_of(entry) + b"\n" for entry in self.incident.entries)
        (self.draft / LOG).write_bytes(lines)
        about: dict[str, Any] = {
            "built_at": utc_text(built_at),
            "imtkit": _version(),
            "runs": [{"id": one.run.id, "page": one.href} for one in runs],
            "problems": list(problems),
        }
        manifest = manifest_text(self.draft, _head(self.incident), about)
        # Whole or not there: half a manifest of a killed builder would look like a damaged record.
        self._text(f"{MANIFEST}.part", manifest)
        (self.draft / f"{MANIFEST}.part").rename(self.draft / MANIFEST)
        return problems

    def _text(self, name: str, text: str) -> None:
        (self.draft / name).write_text(text, encoding="utf-8", newline="\n")

    def _run_pages(self, notebooks: Mapping[str, Path]) -> list[RunPage]:
        """A page for each notebook; several sittings at one notebook share its page."""
        by_path: dict[Path, list[Run]] = {}
        for run in self.incident.runs:
            if run.id in notebooks:
                by_path.setdefault(notebooks[run.id], []).append(run)
        made: dict[str, RunPage] = {}
        taken = {INDEX}
        for path, runs in by_path.items():
            name = _page_name(path, taken)
            href, problem = self._page(path, runs, name)
            shared = "" if href else problem
            made.update({run.id: RunPage(run, href, shared) for run in runs})
            made[runs[-1].id] = RunPage(runs[-1], href, problem)
        return [made.get(run.id, _without_notebook(run)) for run in self.incident.runs]

    def _page(self, path: Path, runs: Sequence[Run], name: str) -> tuple[str, str]:
        """The link to the page, none where it cannot be drawn; and what is wrong, if anything."""
        try:
            tables = read_notebook(path)
            self._text(name, self.pages.page(tables, self.incident, runs))
        except RecordError as error:
            return "", str(error)
        return quote(name), stale_text(tables["cells"], runs)

    def _keep(self, evidence: Iterable[Shown]) -> None:
        for shown in evidence:
            if shown.content is not None:
                place = self.draft / "evidence" / shown.name
                place.parent.mkdir(exist_ok=True)
                place.write_bytes(shown.content)


def _without_notebook(run: Run) -> RunPage:
    if run.status == WITHOUT_RUNNER:
        return RunPage(run, note="Its notebook is kept by whoever ran it.")
    return RunPage(run, problem="" if run.by_hand else "It is not known where its notebook is.")


def _page_name(path: Path, taken: set[str]) -> str:
    """A name for a page, made of its notebook's, free of what an address or a shell minds."""
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip(".-") or "notebook"
    name, count = f"{base}.html", 2
    while name in taken:
        name, count = f"{base}-{count}.html", count + 1
    taken.add(name)
    return name


def _problems(runs: Iterable[RunPage], evidence: Iterable[Shown]) -> Iterable[str]:
    for one in runs:
        if one.problem:
            yield f"Run {one.run.id}: {one.problem}"
    for shown in evidence:
        if shown.problem:
            title = shown.evidence.title or shown.evidence.path
            yield f"Evidence '{title}' cannot be relied on: {shown.problem}."


def _whole_problems(wholes: Iterable[WholeOutput]) -> Iterator[str]:
    for one in wholes:
        if one.problem:
            yield f"The whole output of '{one.step}' cannot be relied on: {one.problem}."


def take_away(old: Path, incident: Incident) -> None:
    """Remove a record that ours continues, or one never finished; keep any other beside ours."""
    if not (old / MANIFEST).exists():
        shutil.rmtree(old)
        return
    try:
        head = read_manifest(old).head
    except RecordError:
        head = Head(incident.id, 0, "unreadable")
    entries = incident.entries
    if 0 < head.count <= len(entries) and entries[head.count - 1].hash == head.hash:
        shutil.rmtree(old)
        return
    wanted, count = f"{FOLDER}-kept-{head.hash[:12]}", 1
    while (kept := old.with_name(wanted if count == 1 else f"{wanted}-{count}")).exists():
        count += 1
    old.rename(kept)


def _version() -> str:
    try:
        return metadata.version("imtkit")
    except metadata.PackageNotFoundError:
        return ""
