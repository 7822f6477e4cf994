"""``manifest.json`` and ``log.jsonl``: what makes a record verifiable without imtkit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imtkit.contracts import Head
from imtkit.errors import RecordError

MANIFEST = "manifest.json"
LOG = "log.jsonl"
INDEX = "index.html"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a manifest says: the head of the log, and each file's hash and size by its path."""

    head: Head
    files: Mapping[str, tuple[str, int]]


def manifest_text(folder: Path, head: Head, about: Mapping[str, Any]) -> str:
    """The manifest of a folder's files as they are, as JSON; ``about`` goes in as it is."""
    files = [
        {"path": path.relative_to(folder).as_posix(), "sha256": sha256_of(path), "size": size}
        for path in files_of(folder)
        for size in [path.stat().st_size]
    ]
    document = {
        "format": FORMAT,
        "incident": head.incident,
        "head": {"entries": head.count, "hash": head.hash},
        **about,
        "files": files,
    }
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def read_manifest(folder: Path) -> Manifest:
    """A record's manifest; RecordError says why it cannot be read."""
    try:
        return manifest_from(Path(folder, MANIFEST).read_bytes())
    except OSError as error:
        raise RecordError(f"{MANIFEST} cannot be read: {error.strerror}.") from error


def manifest_from(content: bytes) -> Manifest:
    """The manifest that a file of these bytes is; RecordError when it is none."""
    try:
        raw = json.loads(content)
        files = {str(f["path"]): (str(f["sha256"]), int(f["size"])) for f in raw["files"]}
        count, hash_ = int(raw["head"]["entries"]), str(raw["head"]["hash"])
        return Manifest(Head(str(raw["incident"]), count, hash_), files)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RecordError(f"{MANIFEST} is not a manifest: {error!r}.") from error


def files_of(folder: Path) -> list[Path]:
    """Every file of a record but its manifest, in order of path; links count as files."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(path for path in found if path != folder / MANIFEST)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify_record(folder: Path, *, anchor: Head | None = None) -> list[str]:
    """What is wrong with a record, in words; empty when all of it stands.

    Checked: each file against the manifest, that none is missing or added, that the log's
    entries hash and link, and that they end where the manifest says. ``anchor`` is a head kept
    elsewhere (in the store, in a notice), which the log must contain.
    """
    try:
        manifest = read_manifest(folder)
    except RecordError as error:
        return [str(error)]
    return [*_file_problems(folder, manifest), *_log_problems(folder, manifest.head, anchor)]


def _file_problems(folder: Path, manifest: Manifest) -> Iterator[str]:
    present = {path.relative_to(folder).as_posix(): path for path in files_of(folder)}
    for name in sorted({LOG, INDEX} - set(manifest.files)):
        yield f"{name} is not in the manifest."
    for name, (wanted, size) in sorted(manifest.files.items()):
        path = present.pop(name, None)
        if path is None:
            yield f"{name} is missing."
        elif path.is_symlink():
            yield f"{name} is a link, not a file."
        elif path.stat().st_size != size:
            yield f"{name} is not what was archived: {path.stat().st_size} bytes, not {size}."
        elif sha256_of(path) != wanted:
            yield f"{name} is not what was archived: its SHA-256 differs."
    for name in sorted(present):
        yield f"{name} was not archived, and is here."


def _log_problems(folder: Path, head: Head, anchor: Head | None) -> Iterator[str]:
    try:
        lines = (folder / LOG).read_bytes().splitlines()
    except OSError as error:
        yield f"{LOG} cannot be read: {error.strerror}."
        return
    end = Head(head.incident, 0, "")
    for line in lines:
        problem = _line_problem(line, end)
        if problem:
            yield f"{LOG}, line {end.count + 1}: {problem}."
            return
        end = Head(head.incident, end.count + 1, json.loads(line)["hash"])
        if anchor is not None and anchor.count == end.count and anchor.hash != end.hash:
            yield f"{LOG}, line {end.count}: it is not the entry that the anchor names."
    if end != head:
        yield f"{LOG} ends at entry {end.count}, the manifest says {head.count} ({head.hash})."
    if anchor is not None and anchor.count > end.count:
        yield f"{LOG} ends at entry {end.count}, but the anchor names entry {anchor.count}."


def _line_problem(line: bytes, before: Head) -> str:
    """What is wrong with one line, given the one before; empty when it stands.

    The line is canonical JSON, so its bytes without the hash are what was hashed.
    """
    try:
        entry = json.loads(line)
        stated, prev, n = entry["hash"], entry["prev"], entry["n"]
        rest = line.replace(b'"hash":"%s",' % stated.encode(), b"", 1)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "it is not an entry"
    if hashlib.sha256(rest).hexdigest() != stated:
        return "it is not what was stored: its hash does not match"
    if n != before.count + 1:
        return f"it is entry {n}, where entry {before.count + 1} belongs"
    if prev != before.hash:
        return "it does not link to the entry before it"
    if entry.get("incident") != before.incident:
        return f"it belongs to {entry.get('incident')}"
    return ""
