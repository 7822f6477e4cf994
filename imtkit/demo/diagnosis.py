"""What a run of the runbook found: read from the evidence it kept, checked by its hash."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from imtkit.errors import NotFoundError, RecordError
from imtkit.kit import Desk
from imtkit.model.incident import Incident
from imtkit.probes.findings import LEVELS, Finding, Findings, Level

TITLE = "Diagnosis of the service"
"""Under this title the runbook 'http-service' keeps its findings as a table."""

_NAMED = re.compile(r"'([^':]+)")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The findings of one run, and which parts of the scene they blame."""

    findings: Findings
    blamed: tuple[str, ...]

    @property
    def is_well(self) -> bool:
        """Whether nothing was found to be wrong."""
        return not self.findings.problems

    @property
    def why(self) -> str:
        """The grounds in a sentence or two: what is wrong with the blamed part, else at all."""
        about = [
            one for one in self.findings if any(f"'{name}" in one.what for name in self.blamed)
        ]
        first = (about or self.findings)[0]
        return f"{first.what} {first.grounds}".strip()


def diagnosis_of(desk: Desk, incident: Incident, parts: Iterable[str]) -> Diagnosis:
    """What the newest run found, as it was kept.

    NotFoundError when it kept nothing, RecordError when the file is not what was kept.
    """
    kept = [one for one in incident.evidence if one.title == TITLE]
    if not kept:
        raise NotFoundError(f"The run of {incident.id} kept no '{TITLE}'.")
    content = (desk.folder(incident.id) / kept[-1].path).read_bytes()
    if hashlib.sha256(content).hexdigest() != kept[-1].sha256:
        raise RecordError(f"{kept[-1].path} is not what was kept as evidence.")
    findings = findings_from_table(content.decode("utf-8"))
    return Diagnosis(findings, blamed_parts(findings, tuple(parts)))


def findings_from_table(text: str) -> Findings:
    """The findings in a CSV table with the columns level, what, grounds and next_step."""
    return Findings(
        Finding(
            _level(row["level"]),
            row["what"],
            row.get("grounds") or "",
            row.get("next_step") or "",
        )
        for row in csv.DictReader(io.StringIO(text))
    )


def _level(text: str) -> Level:
    for level in LEVELS:
        if level == text:
            return level
    raise RecordError(f"'{text}' is no level of a finding.")


def blamed_parts(findings: Findings, parts: Sequence[str]) -> tuple[str, ...]:
    """The parts that problems name in quotes, as in: 'inventory:responseTime' is fail."""
    named = [name for one in findings.problems for name in _NAMED.findall(one.what)]
    return tuple(dict.fromkeys(name for name in named if name in parts))
