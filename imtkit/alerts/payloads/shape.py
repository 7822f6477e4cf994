"""One alert and one delivery, whoever sent them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Status = Literal["firing", "resolved"]


@dataclass(frozen=True, slots=True)
class Notice:
    """One alert as its sender tells it. Times are aware UTC; ``ended_at`` only when over.

    ``source`` is the name of its source in imt.toml. ``group`` is what its sender groups it
    under; empty when it does not say.

    One episode of an alert is its fingerprint with its start, or with ``occurrence``, the
    sender's own name for this one time: a redelivery and the resolution repeat them. Without
    ``has_episode`` the sender tells neither (CloudWatch's OK says when it became well, not since
    when it was not): it means the episode of its fingerprint that goes on, and what fires is a
    new one only when none does. ``started_at`` is then when it was said.
    """

    source: str
    fingerprint: str
    status: Status
    started_at: datetime
    ended_at: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    group: str = ""
    occurrence: str = ""
    has_episode: bool = True

    @property
    def name(self) -> str:
        """The alert's name."""
        return self.labels.get("alertname") or "alert without a name"

    @property
    def service(self) -> str:
        """The service it speaks of; empty when it names none."""
        return self.labels.get("service") or self.labels.get("job") or ""

    @property
    def title(self) -> str:
        """A line for people: the sender's summary, else name and service."""
        said = self.annotations.get("summary") or self.annotations.get("title") or ""
        line = " ".join(said.split())[:200]
        return line or (f"{self.name}: {self.service}" if self.service else self.name)

    @property
    def measures(self) -> Mapping[str, float]:
        """Numbers for severities, from annotations such as ``measure_error_rate: "0.3"``."""
        found = {}
        for name, text in self.annotations.items():
            if name.startswith("measure_"):
                try:
                    found[name.removeprefix("measure_")] = float(text)
                except ValueError:
                    continue  # a template that had no value: no measure
        return {name: value for name, value in found.items() if abs(value) < 1e15}

    @property
    def episode(self) -> str:
        """What is the same in every message about this one occurrence."""
        when = self.occurrence or self.started_at.isoformat()
        return f"alert/{self.source}/{self.fingerprint}/{when}"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one request held; ``left_out`` alerts the sender says it did not send.

    ``topic`` is the SNS topic it came through. ``confirm`` is the address, as the sender gives
    it and not yet judged, that must be fetched before the topic says anything; such a delivery
    has no notices. ``is_named``: the sender's own id of this message is in its body, so that
    the same body is the same message sent again.
    """

    notices: tuple[Notice, ...] = ()
    left_out: int = 0
    confirm: str = ""
    topic: str = ""
    is_named: bool = False
