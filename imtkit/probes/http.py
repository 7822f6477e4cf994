"""An HTTP service as its callers meet it: how long each phase takes, and what goes wrong."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imtkit.errors import InputError
from imtkit.model.words import counted, one_line
from imtkit.probes.findings import Finding, Findings, Level
from imtkit.probes.sockets import context_of
from imtkit.probes.tables import frame_of, mix_text, seconds_text, share_text
from imtkit.probes.wire import PHASES, Phase, Sample, Target, exchange

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "PHASES",
    "Limits",
    "Percentiles",
    "Sample",
    "Samples",
    "Target",
    "diagnose",
    "probe",
]

MOST_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Percentiles:
    """How long something took, in seconds; all None when nothing was measured."""

    count: int
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    longest: float | None


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on it is a warning, and from where on critical.

    Seconds are the 95th percentile of whole requests; error rates are shares of requests.
    The defaults are those of an interactive service.
    """

    slow_seconds: float = 1.0
    very_slow_seconds: float = 3.0
    error_rate_warning: float = 0.01
    error_rate_critical: float = 0.05


@dataclass(frozen=True, slots=True)
class Samples:
    """The requests of one probe, in the order in which they began."""

    target: Target
    taken: tuple[Sample, ...]

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.taken)

    def __len__(self) -> int:
        return len(self.taken)

    @property
    def errors(self) -> Mapping[str, int]:
        """How many requests failed, by kind (dns, refused, timeout, tls, torn, 5xx, 4xx …)."""
        return Counter(one.kind for one in self.taken if one.is_failure)

    @property
    def error_rate(self) -> float:
        """The share of requests that failed, between 0 and 1."""
        return sum(one.is_failure for one in self.taken) / max(1, len(self.taken))

    @property
    def slowest_phase(self) -> Phase | None:
        """The phase in which most of the time went, over all requests; None without any."""
        seconds, phase = max((spent, phase) for phase, spent in self.seconds_by_phase.items())
        return phase if seconds else None

    @property
    def seconds_by_phase(self) -> Mapping[Phase, float]:
        """Seconds spent in each phase, over all requests, failed ones too."""
        return {
            phase: sum(one.seconds(phase) or 0.0 for one in self.taken)  # None: not reached
            for phase in PHASES
        }

    def percentiles(self, phase: Phase | None = None) -> Percentiles:
        """Seconds of a phase, or of whole requests, among those that were answered whole."""
        answered = [one for one in self.taken if not one.error]
        if phase is None:
            return percentiles_of([one.total_seconds for one in answered])
        times = [one.seconds(phase) for one in answered]
        return percentiles_of([value for value in times if value is not None])

    @property
    def measures(self) -> Mapping[str, float]:
        """Numbers for imt.toml's thresholds: error_rate (0 to 1); latency_p95_seconds if known."""
        p95 = self.percentiles().p95
        times = {} if p95 is None else {"latency_p95_seconds": p95}
        return {"error_rate": self.error_rate} | times

    def frame(self) -> pd.DataFrame:
        """One row a request; times in seconds, ``kind`` says how it ended."""
        table = frame_of(Sample, self.taken)
        table.insert(2, "kind", [one.kind for one in self.taken])
        return table

    def phase_frame(self) -> pd.DataFrame:
        """Percentiles in seconds, one row a phase and one for the whole."""
        import pandas as pd

        rows = {phase: self.percentiles(phase) for phase in PHASES} | {"total": self.percentiles()}
        return pd.DataFrame(
            [[row.count, row.p50, row.p90, row.p95, row.p99, row.longest] for row in rows.values()],
            index=pd.Index(rows, name="phase"),
            columns=["count", "p50", "p90", "p95", "p99", "longest"],
        )


def percentiles_of(values: Sequence[float]) -> Percentiles:
    """Percentiles with linear interpolation between ranks."""
    ordered = sorted(values)
    if not ordered:
        return Percentiles(0, None, None, None, None, None)

    def at(share: float) -> float:
        place = share * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (ordered[high] - ordered[low]) * (place - low)

    return Percentiles(len(ordered), at(0.5), at(0.9), at(0.95), at(0.99), ordered[-1])


def probe(
    target: str | Target,
    *,
    count: int = 20,
    interval_seconds: float = 0.1,
    timeout_seconds: float = 5.0,
    concurrency: int = 1,
) -> Samples:
    """What happened to ``count`` requests, each on a connection of its own.

    They begin ``interval_seconds`` apart, or later when ``concurrency`` of them are already
    under way. ``timeout_seconds`` bounds one whole request, name resolution included.
    What fails is in the samples; InputError only for numbers or URLs that cannot be meant.
    """
    target = target if isinstance(target, Target) else Target(target)
    if count < 1 or timeout_seconds <= 0 or interval_seconds < 0:
        raise InputError("A probe needs a count of 1 or more, and times above zero.")
    if not 1 <= concurrency <= MOST_AT_ONCE:
        raise InputError(
            f"A concurrency of {concurrency} is not usable.",
            hint=f"Give 1 to {MOST_AT_ONCE}: a probe must not become a load.",
        )
    context = context_of(verify=target.verify, ca_file=target.ca_file)
    began = time.perf_counter()

    def one(number: int) -> Sample:
        time.sleep(max(0.0, began + number * interval_seconds - time.perf_counter()))
        return exchange(target, timeout_seconds=timeout_seconds, context=context).sample

    pool = ThreadPoolExecutor(concurrency, thread_name_prefix="imtkit-probe")
    try:
        return Samples(target, tuple(pool.map(one, range(count))))
    finally:
        # An interrupted probe does not wait for the requests that have not begun.
        pool.shutdown(wait=True, cancel_futures=True)


def diagnose(samples: Samples, limits: Limits = Limits()) -> Findings:
    """What the requests say of the service: failures by kind, slowness and where it arises."""
    found = [*_failures(samples, limits), *_slowness(samples, limits), *_redirects(samples)]
    if found:
        return Findings(found)
    right = len(samples) - sum(samples.errors.values())
    times = _times_text(samples.percentiles())
    return Findings(
        [
            Finding(
                "ok",
                f"{samples.target.url} answers.",
                f"{right} of {counted(len(samples), 'request')}; {times}.",
                "If users still see trouble, probe from where they are, or another address.",
            )
        ]
    )


def _failures(samples: Samples, limits: Limits) -> Iterator[Finding]:
    rate = samples.error_rate
    if rate < limits.error_rate_warning or not samples.errors:
        return
    level: Level = "critical" if rate >= limits.error_rate_critical else "warning"
    for kind, count in sorted(samples.errors.items(), key=lambda item: -item[1]):
        example = next(one for one in samples if one.kind == kind)
        told = example.reason or f"status {example.status}"
        yield Finding(
            level,
            f"{count} of {counted(len(samples), 'request')} failed: {_KINDS[kind]}.",
            f"{one_line(told)}; at {example.address or 'no address'}; "
            f"error rate {share_text(rate)} ({mix_text(samples.errors)}).",
            _AFTER_FAILURE[kind],
        )


def _slowness(samples: Samples, limits: Limits) -> Iterator[Finding]:
    times = samples.percentiles()
    if times.p95 is None or times.p95 < limits.slow_seconds:
        return
    spent = _phases_of_slow(samples)
    phase = max(spent, key=lambda one: spent[one])
    share = spent[phase] / (sum(spent.values()) or 1.0)
    limit = limits.slow_seconds
    level: Level = "warning"
    if times.p95 >= limits.very_slow_seconds:
        level, limit = "critical", limits.very_slow_seconds
    yield Finding(
        level,
        f"Requests are slow: 95% take up to {seconds_text(times.p95)} "
        f"(limit {seconds_text(limit)}).",
        f"{_times_text(times)}. {share_text(share)} of the slow ones' time "
        f"went into {_PHASES[phase]}.",
        _AFTER_SLOWNESS[phase],
    )


def _phases_of_slow(samples: Samples) -> dict[Phase, float]:
    """Seconds by phase over the slower half of the answered requests."""
    answered = [one for one in samples if not one.error]
    middle = samples.percentiles().p50 or 0.0
    slow = [one for one in answered if one.total_seconds >= middle]
    return {phase: sum(one.seconds(phase) or 0.0 for one in slow) for phase in PHASES}


def _redirects(samples: Samples) -> Iterator[Finding]:
    led = [one for one in samples if one.kind == "redirect"]
    if led:
        yield Finding(
            "warning",
            f"{len(led)} of {counted(len(samples), 'answer')} only pointed elsewhere.",
            f"status {led[0].status}, to {one_line(led[0].location) or 'no address'}.",
            "Probe that address, or follow redirects; if this one is new, look at what changed.",
        )


def _times_text(times: Percentiles) -> str:
    if times.p50 is None or times.p95 is None or times.p99 is None:
        return "no request was answered whole"
    return ", ".join(
        f"{name} {seconds_text(value)}"
        for name, value in (("p50", times.p50), ("p95", times.p95), ("p99", times.p99))
    )


_PHASES: Mapping[Phase, str] = {
    "dns": "resolving the name",
    "connect": "opening the connection",
    "tls": "the TLS handshake",
    "first_byte": "waiting for the answer to begin",
    "body": "receiving the answer",
}

_KINDS: Mapping[str, str] = {
    "dns": "the name does not resolve",
    "refused": "the connection is refused",
    "unreachable": "the host cannot be reached",
    "timeout": "no answer in time",
    "tls": "no trusted TLS connection",
    "torn": "the connection breaks off",
    "protocol": "what answers does not speak HTTP",
    "5xx": "the service says that it failed (5xx)",
    "4xx": "the service refuses the request (4xx)",
    "1xx": "the service does not come to an answer (1xx)",
}

_AFTER_FAILURE: Mapping[str, str] = {
    "dns": "Check the name, its records and the resolver; ask what changed in DNS.",
    "refused": "See whether the process runs and listens on that port; look at its last log lines.",
    "unreachable": "Check routes, firewall and whether the host is up (runbook 'host').",
    "timeout": "See where it stops: at 'connect' a firewall or a full backlog, at 'first_byte' "
    "the service or what it waits for.",
    "tls": "Look at the certificate: expiry, names, issuer.",
    "torn": "Look for a crashing worker, an out-of-memory kill or a proxy's time limit.",
    "protocol": "See what listens on that port.",
    "5xx": "Read the health document and the service's log; look at what it depends on.",
    "4xx": "Check path, credentials and rate limits; ask what was deployed last.",
    "1xx": "Look at the proxy in front of the service.",
}

_AFTER_SLOWNESS: Mapping[Phase, str] = {
    "dns": "Time the resolver alone; look at its load and at the search domains.",
    "connect": "Compare with a ping: a far or lossy network, or a backlog that is full.",
    "tls": "Look at the server's CPU and at the length of the certificate chain.",
    "first_byte": "The service or something it waits for is slow: its database (runbook "
    "'postgres'), its host (runbook 'host'), its own log.",
    "body": "Compare the size of the answer with what it was; look at the network between.",
}
