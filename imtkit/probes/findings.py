"""What measurements mean, in words that a person can act on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Literal, Self

from imtkit.model.words import visible
from imtkit.probes.tables import frame_of

if TYPE_CHECKING:
    import pandas as pd

Level = Literal["ok", "warning", "critical"]

LEVELS: tuple[Level, ...] = ("critical", "warning", "ok")
"""Worst first."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One conclusion: how bad, what it is, the measurements it rests on, what to do next."""

    level: Level
    what: str
    grounds: str = ""
    next_step: str = ""

    @property
    def text(self) -> str:
        """The finding in up to three plain lines."""
        lines = [f"{self.level.upper()}: {self.what}"]
        if self.grounds:
            lines.append(f"  Grounds: {self.grounds}")
        if self.next_step:
            lines.append(f"  Next: {self.next_step}")
        return visible("\n".join(lines))


class Findings(tuple[Finding, ...]):
    """Findings, worst first; among equals, in the order in which they were found."""

    __slots__ = ()

    def __new__(cls, findings: Iterable[Finding] = ()) -> Self:
        return super().__new__(cls, sorted(findings, key=lambda one: LEVELS.index(one.level)))

    @property
    def worst(self) -> Level:
        """The worst level among them; 'ok' when there are none."""
        return self[0].level if self else "ok"

    @property
    def problems(self) -> Findings:
        """Those that are not 'ok'."""
        return Findings(one for one in self if one.level != "ok")

    @property
    def text(self) -> str:
        """All of them as plain text, for a log entry, a terminal or a message."""
        return "\n".join(one.text for one in self) or "Nothing was looked at."

    def frame(self) -> pd.DataFrame:
        """A table with the columns level, what, grounds and next_step."""
        return frame_of(Finding, self)

    def __repr__(self) -> str:
        return self.text

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return f'<div class="imt-findings">{"".join(map(_html, self)) or escape(self.text)}</div>'


def findings_of(*several: Iterable[Finding]) -> Findings:
    """Several lists of findings as one, worst first."""
    return Findings(one for some in several for one in some)


def level_of(value: float, warning: float, critical: float) -> Level:
    """Where a value stands that is the worse the higher it is."""
    if value >= critical:
        return "critical"
    return "warning" if value >= warning else "ok"


def _html(finding: Finding) -> str:
    """One finding as a paragraph; the level is a word, so that no colour is needed."""
    parts = [f"<strong>{finding.level.upper()}</strong>: {escape(visible(finding.what))}"]
    if finding.grounds:
        parts.append(f"<br>Grounds: {escape(visible(finding.grounds))}")
    if finding.next_step:
        parts.append(f"<br>Next: {escape(visible(finding.next_step))}")
    return f'<p class="imt-finding imt-{finding.level}">{"".join(parts)}</p>'
