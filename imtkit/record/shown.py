"""Evidence as the index shows it: checked against its SHA-256, then drawn or linked."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from imtkit.model.incident import Evidence
from imtkit.model.words import visible

_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml")
_TABLES = {"text/csv": ",", "text/tab-separated-values": "\t"}
_MOST_IMAGE = 4 * 2**20
_MOST_TEXT = 20_000
_MOST_ROWS = 50


@dataclass(frozen=True, slots=True)
class Table:
    """A table as far as the page shows it; ``total`` rows are in the file."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    total: int


@dataclass(frozen=True, slots=True)
class Shown:
    """One piece of evidence: its entry, its content when that is what was kept, or why not."""

    evidence: Evidence
    content: bytes | None = None
    problem: str = ""

    @property
    def name(self) -> str:
        """The name of its copy in the record, unique by content."""
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(self.evidence.path).name).lstrip(".-")
        head = self.evidence.sha256[:12]
        return plain if plain.startswith(head) else f"{head}-{plain or 'file'}"

    @property
    def href(self) -> str:
        """The copy's address, relative to the index."""
        return f"evidence/{quote(self.name)}"

    @property
    def image(self) -> str:
        """The image as an address that holds it; empty when it is none, or too large."""
        kind = self.evidence.media_type
        if self.content is None or kind not in _IMAGES or len(self.content) > _MOST_IMAGE:
            return ""
        return f"data:{kind};base64,{base64.b64encode(self.content).decode('ascii')}"

    @property
    def table(self) -> Table | None:
        """The first rows of a CSV or TSV file; None when it is none."""
        delimiter = _TABLES.get(self.evidence.media_type)
        if self.content is None or delimiter is None:
            return None
        text = self.content.decode("utf-8-sig", errors="replace")
        try:
            rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
        except csv.Error:
            return None
        if not rows:
            return None
        body = tuple(tuple(row) for row in rows[1 : _MOST_ROWS + 1])
        return Table(tuple(rows[0]), body, len(rows) - 1)

    @property
    def text(self) -> str:
        """The first pages of a text file; empty when it is none."""
        kind = self.evidence.media_type
        is_text = kind.startswith("text/") or kind in ("application/json", "application/xml")
        if self.content is None or not is_text or kind in _TABLES:
            return ""
        text = visible(self.content[:_MOST_TEXT].decode("utf-8", errors="replace"))
        return f"{text}\n…" if len(self.content) > _MOST_TEXT else text


def look_at(evidence: Evidence, folder: Path) -> Shown:
    """Evidence with its bytes, if the incident's folder still holds what the log says."""
    path = folder / evidence.path
    try:
        if not evidence.path or not path.resolve().is_relative_to(folder.resolve()):
            return Shown(evidence, problem="its path leads out of the incident's folder")
        content = path.read_bytes()
    except FileNotFoundError:
        return Shown(evidence, problem="its file is missing")
    except (OSError, ValueError) as error:
        return Shown(evidence, problem=f"its file cannot be read: {error}")
    found = hashlib.sha256(content).hexdigest()
    if found != evidence.sha256:
        return Shown(
            evidence,
            problem=f"its file is not what was kept (its SHA-256 begins {found[:12]})",
        )
    return Shown(evidence, content)
