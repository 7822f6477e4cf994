"""What ``imt serve`` counts, and /metrics as OpenMetrics text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client import exposition as plain
from prometheus_client.openmetrics import exposition as openmetrics

_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_GAUGES: Mapping[str, tuple[str, str]] = {
    # key -> (metric, help)
    "waiting": ("imt_deliveries_waiting", "Deliveries that wait to be kept."),
    "unhandled": ("imt_deliveries_unhandled", "Kept deliveries that are no alerts yet."),
    "lag": ("imt_handled_lag_seconds", "For how long not all kept deliveries have been alerts."),
    "faults": ("imt_consumer_faults", "Passes over kept deliveries that failed, in a row."),
    "incidents": ("imt_incidents_open", "Incidents that are not over."),
    "queued": ("imt_runs_queued", "Runs that wait for a worker."),
    "running": ("imt_runs_running", "Runs that are being carried out."),
}


class Metrics:
    """Counts of one server. Safe to be told by any thread."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self._deliveries = Counter(
            "imt_deliveries",
            "Requests to /alerts by source and what became of them.",
            ("source", "outcome"),
            registry=registry,
        )
        self._seconds = Histogram(
            "imt_delivery_seconds",
            "From a request's head to its answer.",
            ("source",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._handled = Counter(
            "imt_deliveries_handled", "Kept deliveries that became alerts.", registry=registry
        )
        self._refused = Counter(
            "imt_deliveries_refused", "Kept deliveries that were set aside.", registry=registry
        )
        self._appends = Counter(
            "imt_appends", "Writes to the log, each of one delivery or many.", registry=registry
        )
        self._gauges = {
            key: Gauge(name, text, registry=registry) for key, (name, text) in _GAUGES.items()
        }
        self._lock = Lock()

    def answered(self, source: str, outcome: str, seconds: float) -> None:
        """A request was answered. ``source`` is empty for one that is not known."""
        self._deliveries.labels(source, outcome).inc()
        self._seconds.labels(source).observe(seconds)

    def appended(self) -> None:
        """What waited was kept, in one append."""
        self._appends.inc()

    def handled(self, deliveries: int, refused: int) -> None:
        """So many more deliveries became alerts, so many were set aside."""
        self._handled.inc(deliveries)
        self._refused.inc(refused)

    def text(self, now: Mapping[str, float], accept: str = "") -> tuple[bytes, str]:
        """Everything as OpenMetrics text, and its type; for who accepts only plain text, in
        Prometheus' older form. ``now`` holds gauges by their key; one that is left out is not
        known, and reads NaN.
        """
        is_plain = "text/plain" in accept and "openmetrics" not in accept
        form = plain if is_plain else openmetrics
        with self._lock:
            for key, gauge in self._gauges.items():
                gauge.set(now.get(key, float("nan")))
            make: Callable[[CollectorRegistry], bytes] = form.generate_latest
            return make(self._registry), form.CONTENT_TYPE_LATEST
