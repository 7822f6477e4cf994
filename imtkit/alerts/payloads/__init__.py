"""What alert senders post, read into one shape. Pure; everything in it is hostile text.

A module for each sender says what its messages mean; ``reading`` is how all of them read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from imtkit.alerts.payloads import (
    alertmanager,
    datadog,
    grafana,
    mapped,
    opsgenie,
    pagerduty,
    sentry,
    sns,
    zabbix,
)
from imtkit.alerts.payloads.reading import EPOCH
from imtkit.alerts.payloads.shape import Delivery, Notice, Status
from imtkit.config.alerts import SourceSettings
from imtkit.errors import NotFoundError

__all__ = ["Delivery", "Notice", "Status", "delivery_from"]

_READERS: Mapping[str, Callable[[SourceSettings, bytes, datetime], Delivery]] = {
    "alertmanager": alertmanager.delivery,
    "grafana": grafana.delivery,
    "pagerduty": pagerduty.delivery,
    "sns": sns.delivery,
    "datadog": datadog.delivery,
    "sentry": sentry.delivery,
    "opsgenie": opsgenie.delivery,
    "zabbix": zabbix.delivery,
    "mapped": mapped.delivery,
}


def delivery_from(source: SourceSettings, body: bytes, *, at: datetime | None = None) -> Delivery:
    """The alerts in a request's body; PayloadError says what is wrong with it.

    ``at``, an aware time, is when it came: the start or end of what tells none itself. It must be
    the same when one delivery is read twice. Without it that is the beginning of 1970.
    """
    if source.kind not in _READERS:
        raise NotFoundError.of("Alert source", source.kind, _READERS)
    return _READERS[source.kind](source, body, at.astimezone(UTC) if at else EPOCH)
