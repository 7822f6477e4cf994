"""What a monitoring system does, in small: measure, hold against a rule, send an alert."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from imtkit.model.words import span_text
from imtkit.probes import http

SERVICE = "demo-orders"
ALERT = "HttpErrorRateHigh"
RULE = 0.05
"""The alert fires when this share of the requests fails, twice in a row."""

_FNV_OFFSET, _FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3


@dataclass(slots=True)
class Watcher:
    """Measures one address; ``bad_since`` is when the rule began to be broken."""

    url: str
    health_url: str
    looks: list[http.Samples] = field(default_factory=list)
    bad_since: datetime | None = None

    def look(self) -> http.Samples:
        """Ask the service eight times now, and hold the outcome against the rule."""
        samples = http.probe(
            self.url, count=8, interval_seconds=0.02, timeout_seconds=3.0, concurrency=8
        )
        self.looks.append(samples)
        if samples.error_rate < RULE:
            self.bad_since = None
        elif self.bad_since is None:
            self.bad_since = samples.taken[0].at
        return samples

    @property
    def fingerprint(self) -> str:
        """What its alert is known by."""
        return fingerprint_of(self._labels())

    @property
    def is_firing(self) -> bool:
        """Whether the rule was broken in the last two looks."""
        last = self.looks[-2:]
        return len(last) == 2 and all(one.error_rate >= RULE for one in last)

    def payload(self, started_at: datetime, *, is_over: bool) -> bytes:
        """The alert as Alertmanager posts it to a webhook (version 4), from the last look."""
        labels = self._labels()
        common = {"alertname": ALERT, "service": SERVICE}
        status = "resolved" if is_over else "firing"
        alert = {
            "status": status,
            "labels": labels,
            "annotations": self._annotations(),
            "startsAt": started_at.isoformat(),
            "endsAt": datetime.now(UTC).isoformat() if is_over else "0001-01-01T00:00:00Z",
            "generatorURL": self.url,
            "fingerprint": self.fingerprint,
        }
        message = {
            "version": "4",
            "groupKey": f'{{}}:{{alertname="{ALERT}", service="{SERVICE}"}}',
            "truncatedAlerts": 0,
            "status": status,
            "receiver": "imtkit",
            "groupLabels": common,
            "commonLabels": labels,
            "commonAnnotations": alert["annotations"],
            "externalURL": self.url,
            "alerts": [alert],
        }
        return json.dumps(message, indent=1).encode()

    def _labels(self) -> dict[str, str]:
        instance = self.url.split("/")[2]
        return {
            "alertname": ALERT,
            "service": SERVICE,
            "job": SERVICE,
            "instance": instance,
            "severity": "critical",
        }

    def _annotations(self) -> dict[str, str]:
        last = self.looks[-1]
        kinds = ", ".join(f"{count} {kind}" for kind, count in last.errors.items())
        p95 = last.percentiles().p95
        took = f", 95% within {span_text(timedelta(seconds=p95))}" if p95 else ""
        measures = {f"measure_{name}": f"{value:.4g}" for name, value in last.measures.items()}
        return {
            "summary": f"{last.error_rate:.0%} of the requests to {SERVICE} fail",
            "description": f"{len(last)} requests to {self.url}: {kinds or 'none failed'}{took}.",
            "url": self.url,
            "health_url": self.health_url,
            **measures,
        }


def fingerprint_of(labels: Mapping[str, str]) -> str:
    """An alert's identity as Prometheus and Alertmanager compute it: FNV-1a over its labels.

    Source: prometheus/common, model/signature.go (names sorted, 0xFF after each text).
    """
    value = _FNV_OFFSET
    for name in sorted(labels):
        for byte in b"%s\xff%s\xff" % (name.encode(), labels[name].encode()):
            value = ((value ^ byte) * _FNV_PRIME) & (2**64 - 1)
    return f"{value:016x}"
