"""``POST /alerts/NAME`` of Amazon SNS: what is confirmed, what is kept, what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from amazon import (
    CERTIFICATE_URL,
    SUBSCRIBE_URL,
    TOPIC,
    Fields,
    Signer,
    confirmation,
    notification,
    told,
)
from serving import Served, answering
from starlette.applications import Starlette
from starlette.routing import Route

from imtkit.config import load_settings
from imtkit.kit import intake, open_desk
from imtkit.model.entries import WORKSPACE
from imtkit.web.app import House
from imtkit.web.receiver import Receiver

SOURCE = f"""
[alerts.sources.cloudwatch]
kind = "sns"
topics = ["{TOPIC}"]

[alerts.sources.unproven]
kind = "sns"
proof = "none"
topics = ["{TOPIC}"]
"""


@dataclass(frozen=True)
class Amazon:
    """A receiver that answers at ``served``, and what it asked Amazon for."""

    served: Served
    signer: Signer
    fetched: list[str]
    confirmed: list[str]

    def post(self, fields: Fields, *, source: str = "cloudwatch") -> tuple[int, Fields]:
        """Post a message, signed, as of now; the status and what was said."""
        signed = self.signer.signed({**fields, "Timestamp": told(datetime.now(UTC))})
        return self.post_as_is(signed, source=source)

    def post_as_is(self, fields: Fields, *, source: str = "cloudwatch") -> tuple[int, Fields]:
        """Post what is signed already, or not."""
        answer = self.served.post(source, json.dumps(fields))
        return answer.status_code, answer.json()


@pytest.fixture
def amazon(workspace: Path) -> Iterator[Amazon]:
    """The listener of a workspace, for which the tests are Amazon."""
    with (workspace / "imt.toml").open("a") as file:
        file.write(SOURCE)
    years = timedelta(days=5000)
    signer = Signer(begins=-years, ends=years)
    fetched: list[str] = []
    confirmed: list[str] = []

    def certificate(url: str) -> bytes:
        fetched.append(url)
        return signer.pem

    house = House(load_settings(workspace))
    house.receiver = Receiver(
        house.settings,
        house.writer,
        house.metrics,
        certificates=intake.Certificates(certificate),
        confirm=partial(intake.confirm, ask=confirmed.append),
    )
    route = Route("/alerts/{source}", house.receiver.take, methods=["POST"])
    house.start()
    try:
        with answering(Starlette(routes=[route])) as served:
            yield Amazon(served, signer, fetched, confirmed)
    finally:
        house.close()


def kept(workspace: Path) -> list[str]:
    """The bodies in the log."""
    with open_desk(workspace) as desk:
        found = desk.store.entries(WORKSPACE)
        return [str(one.data["body"]) for one in found if one.type == "delivery.received"]


def test_a_subscription_to_a_named_topic_is_confirmed(amazon: Amazon, workspace: Path):
    """202 once Amazon was told, at the address that it signed; nothing of it is an alert."""
    assert amazon.post(confirmation()) == (202, {"confirmed": TOPIC})
    assert amazon.confirmed == [SUBSCRIBE_URL]
    assert amazon.fetched == [CERTIFICATE_URL]
    assert kept(workspace) == []


def test_a_message_of_a_named_topic_is_kept(amazon: Amazon, workspace: Path):
    """202 names its entry, and the certificate is fetched once for all."""
    for number in (1, 2):
        alarm = json.dumps({"AlarmName": f"a{number}", "NewStateValue": "ALARM"})
        status, said = amazon.post(notification(Message=alarm, MessageId=f"id-{number}"))
        assert (status, set(said)) == (202, {"delivery"})
    assert [json.loads(body)["MessageId"] for body in kept(workspace)] == ["id-1", "id-2"]
    assert amazon.fetched == [CERTIFICATE_URL]
    assert amazon.confirmed == []


@pytest.mark.parametrize("source", ["cloudwatch", "unproven"])
def test_a_topic_that_is_not_named_is_not_confirmed(amazon: Amazon, workspace: Path, source: str):
    """Anybody may have Amazon ask us: 401, and Amazon is asked for nothing."""
    theirs = TOPIC.replace("123456789012", "999999999999")
    status, said = amazon.post(confirmation(TopicArn=theirs), source=source)
    assert status == 401
    assert f"{theirs} is not among its topics" in said["error"]
    assert (amazon.confirmed, amazon.fetched, kept(workspace)) == ([], [], [])


@pytest.mark.parametrize(
    "url",
    ["https://sns.evil.example/a.pem", "https://sns.eu-west-1.amazonaws.com.evil.example/a.pem"],
)
def test_a_certificate_elsewhere_is_not_fetched(amazon: Amazon, workspace: Path, url: str):
    """Who signs by a host that is not Amazon's is refused, and the host hears nothing of us."""
    fields = {**confirmation(Timestamp=told(datetime.now(UTC)))}
    status, said = amazon.post_as_is({**amazon.signer.signed(fields), "SigningCertURL": url})
    assert status == 401
    assert "SigningCertURL" in said["error"]
    assert (amazon.confirmed, amazon.fetched, kept(workspace)) == ([], [], [])


def test_a_changed_address_is_not_confirmed(amazon: Amazon):
    """The address of the confirmation is signed: another is refused, Amazon's or not."""
    signed = amazon.signer.signed(confirmation(Timestamp=told(datetime.now(UTC))))
    status, said = amazon.post_as_is({**signed, "SubscribeURL": f"{SUBSCRIBE_URL}0"})
    assert status == 401
    assert "its signature is not that of this message" in said["error"]
    assert amazon.confirmed == []
