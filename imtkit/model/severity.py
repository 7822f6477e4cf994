"""Severities with measurable thresholds."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import eq, ge, gt, le, lt

from imtkit.errors import AuthorityError, ConfigError, NotFoundError
from imtkit.model.entries import is_automation

_COMPARISON = re.compile(r"\s*(>=|<=|==|>|<)\s*(-?\d+(?:\.\d+)?)(%?)\s*")
_TESTS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": ge,
    "<=": le,
    ">": gt,
    "<": lt,
    "==": eq,
}


@dataclass(frozen=True, slots=True)
class Threshold:
    """``error_rate >= 25%``: a measure's name, a comparison, a limit."""

    measure: str
    test: str
    limit: float
    text: str

    def is_reached(self, value: float) -> bool:
        """Whether a measured value reaches this threshold."""
        return _TESTS[self.test](value, self.limit)


@dataclass(frozen=True, slots=True)
class Severity:
    """One level; ``rank`` 1 is the worst. Any one threshold reached is enough."""

    name: str
    rank: int
    title: str = ""
    thresholds: tuple[Threshold, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposal:
    """The severity that measurements ask for, and on what grounds."""

    severity: str
    grounds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Severities:
    """The levels of an organisation, worst first."""

    levels: tuple[Severity, ...] = field(default_factory=tuple)
    default: str = ""

    def get(self, name: str) -> Severity:
        """The level of this name, in any case; NotFoundError names the nearest."""
        for level in self.levels:
            if level.name.lower() == name.strip().lower():
                return level
        raise NotFoundError.of("Severity", name, (level.name for level in self.levels))

    def rank(self, name: str) -> int:
        """The rank of a name the log holds; unknown names rank below every level."""
        for level in self.levels:
            if level.name == name:
                return level.rank
        return len(self.levels) + 1

    def propose(self, measures: Mapping[str, float]) -> Proposal | None:
        """The worst level one of whose thresholds is reached; None when none is."""
        for level in self.levels:
            grounds = tuple(
                f"{t.measure} {measures[t.measure]:g} {t.text}"
                for t in level.thresholds
                if t.measure in measures and t.is_reached(measures[t.measure])
            )
            if grounds:
                return Proposal(level.name, grounds)
        return None

    def check_change(self, old: str, new: str, actor: str) -> None:
        """AuthorityError when a machine would lower a severity: only a person lowers."""
        if is_automation(actor) and self.rank(new) > self.rank(old):
            raise AuthorityError(
                f"{actor} may not lower the severity from {old} to {new}.",
                hint="Automation may raise a severity; a person lowers it.",
            )


def threshold_from_text(measure: str, text: str) -> Threshold:
    """A threshold from ``">= 0.25"`` or ``"> 5%"``; ConfigError says what is expected."""
    match = _COMPARISON.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"Threshold {measure} = {text!r} is not a comparison.",
            hint="Write a comparison and a number, such as '>= 0.25' or '> 5%'.",
        )
    test, number, percent = match.groups()
    limit = float(number) / (100 if percent else 1)
    return Threshold(measure, test, limit, f"{test} {number}{percent}")
