"""A message of every sender, by its documentation, is the incident that it tells of."""

from __future__ import annotations

import alert_messages as messages
import pytest
from alert_messages import Json, source

from imtkit.kit import Desk, alerts, incidents

SAID: dict[str, tuple[Json, str, str, str]] = {
    # measure_error_rate 0.3 is over the threshold of sev1 in imt.toml
    "alertmanager": (messages.alertmanager(), "Orders fail", "sev1", "OrdersFailing"),
    "grafana": (messages.grafana(), "Orders fail", "sev1", "OrdersFailing"),
    "pagerduty": (messages.pagerduty(), "Orders fail", "sev3", "Orders fail"),
    "sns": (messages.sns(), 'ALARM: "orders-5xx" in EU (Frankfurt)', "sev3", "orders-5xx"),
    "datadog": (
        messages.datadog(),
        "[Triggered on {host:shop-1}] Orders fail",
        "sev3",
        "Orders fail",
    ),
    "sentry": (messages.sentry_issue(), "KeyError: 'price'", "sev2", "KeyError: 'price'"),
    "opsgenie": (messages.opsgenie(), "Orders fail", "sev2", "Orders fail"),
    "zabbix": (messages.zabbix(), "Orders fail on shop-1", "sev2", "Orders fail on shop-1"),
}
"""What each posts; and the title and level of its incident, and the name of its alert."""


@pytest.mark.parametrize("kind", SAID)
def test_a_message_is_the_incident_that_it_tells_of(desk: Desk, kind: str):
    """One incident of the service, with title, level and alert of the message; twice is once."""
    message, title, severity, name = SAID[kind]
    for action in ("opened", "known"):
        (outcome,) = alerts.receive(desk, messages.body(message), source=source(kind))
        assert outcome.action == action
        (summary,) = desk.store.incidents()
        incident = incidents.get(desk, summary.id)
        assert (incident.title, incident.severity) == (title, severity)
        assert incident.services == ("orders",)
        assert [(one.name, one.status) for one in incident.alerts] == [(name, "firing")]
