"""What is known when an incident is opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from imtkit.errors import InputError, NotFoundError
from imtkit.model.lifecycle import CATEGORIES, MODES


@dataclass(frozen=True, slots=True)
class Opening:
    """A new incident as somebody tells it; what is left empty is worked out or asked later.

    ``measures`` are numbers in the units of the thresholds in imt.toml (``error_rate`` 0.3
    is 30 %). ``mode`` is live, drill, test or retrospective; ``category`` is major, security,
    complex or low-impact.
    """

    title: str
    severity: str = ""
    services: tuple[str, ...] = ()
    measures: Mapping[str, float] = field(default_factory=dict)
    mode: str = "live"
    category: str = ""
    summary: str = ""
    tags: tuple[str, ...] = ()
    owner: str = ""

    def __post_init__(self) -> None:
        if not self.title.strip():
            raise InputError("An incident needs a title.", hint="Say in a few words what is wrong.")
        one_of("mode", self.mode, MODES)
        if self.category:
            one_of("category", self.category, CATEGORIES)


def one_of(what: str, value: str, known: tuple[str, ...]) -> str:
    """The value, when it is one of those known; NotFoundError names the nearest."""
    if value not in known:
        raise NotFoundError.of(what.capitalize(), value, known)
    return value
