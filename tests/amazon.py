"""What Amazon SNS posts, signed as Amazon signs by a key of the tests' own."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
TOPIC = "arn:aws:sns:eu-west-1:123456789012:alarms"
HOST = "sns.eu-west-1.amazonaws.com"
CERTIFICATE_URL = f"https://{HOST}/SimpleNotificationService-0123456789abcdef.pem"
SUBSCRIBE_URL = f"https://{HOST}/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f"

Fields = dict[str, Any]


class Signer:
    """A key, and a certificate of it that nobody issued."""

    def __init__(
        self,
        key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None = None,
        *,
        begins: timedelta = timedelta(days=-30),
        ends: timedelta = timedelta(days=300),
    ) -> None:
        self.key = key or rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
        self.pem = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW + begins)
            .not_valid_after(NOW + ends)
            .sign(self.key, hashes.SHA256())
            .public_bytes(Encoding.PEM)
        )

    def signed(self, fields: Fields, version: str = "2") -> Fields:
        """The message with what Amazon adds once all else stands."""
        assert isinstance(self.key, rsa.RSAPrivateKey)
        old, new = hashes.SHA1(), hashes.SHA256()  # noqa: S303 - as Amazon does
        made = old if version == "1" else new
        signature = self.key.sign(to_sign(fields).encode(), padding.PKCS1v15(), made)
        added = {"SignatureVersion": version, "SigningCertURL": CERTIFICATE_URL}
        return {**fields, **added, "Signature": base64.b64encode(signature).decode()}


def to_sign(fields: Fields) -> str:
    """The string to sign, as Amazon's guide describes it for the two sorts of message."""
    order = "Message MessageId SubscribeURL Timestamp Token TopicArn Type"
    if fields["Type"] == "Notification":
        order = "Message MessageId Subject Timestamp TopicArn Type"
    return "".join(f"{name}\n{fields[name]}\n" for name in order.split() if name in fields)


def told(moment: datetime) -> str:
    """A time as Amazon writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


def notification(**changed: Any) -> Fields:
    """An alarm's message, not yet signed."""
    sound = {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": TOPIC,
        "Subject": 'ALARM: "käse"',
        "Message": '{"AlarmName": "käse",\n"NewStateValue": "ALARM"}',
        "Timestamp": told(NOW),
    }
    return {name: value for name, value in (sound | changed).items() if value is not None}


def confirmation(**changed: Any) -> Fields:
    """The message by which a topic asks whether it was really us who subscribed."""
    return notification(
        Type="SubscriptionConfirmation",
        Subject=None,
        Message="You have chosen to subscribe.\nVisit the SubscribeURL.",
        Token="2336412f",
        SubscribeURL=SUBSCRIBE_URL,
        **changed,
    )
