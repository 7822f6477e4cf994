"""Signatures and tokens of alert senders: what is believed, what is refused, and in what words."""

from __future__ import annotations

import ast
import base64
import inspect
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from hypothesis import given
from hypothesis import strategies as st

from imtkit.alerts import signatures
from imtkit.alerts.signatures import check
from imtkit.config.alerts import KINDS, SourceSettings
from imtkit.errors import SignatureError

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
BODY = b'{"alerts": [{"status": "firing", "text": "K\xc3\xa4se"}]}'
SECRET = "correct-horse-battery"
OTHER = "an-older-secret"

GRAFANA = SourceSettings("grafana", "grafana", proof="signature")
TIMED = replace(GRAFANA, header="X-Sum", timestamp_header="X-Sum-Time")
PAGERDUTY = SourceSettings("pager", "pagerduty", proof="signature")
SENTRY = SourceSettings("sentry", "sentry", proof="signature")
PLAIN = SourceSettings("own", "mapped", proof="signature", header="X-Own-Signature")
STANDARD = SourceSettings("standard", "mapped", proof="signature")
BEARER = SourceSettings("am", "alertmanager")


def mac(signed: bytes, key: bytes = SECRET.encode()) -> bytes:
    """HMAC-SHA256 as another library computes it."""
    made = HMAC(key, SHA256())
    made.update(signed)
    return made.finalize()


def unix(away: timedelta = timedelta(0)) -> str:
    """Unix seconds of a moment counted from now."""
    return str(int((NOW + away).timestamp()))


def timed(away: timedelta = timedelta(0), body: bytes = BODY) -> dict[str, str]:
    """The headers of a Grafana that signs the time."""
    told = unix(away)
    return {"X-Sum": mac(told.encode() + b":" + body).hex(), "X-Sum-Time": told}


def standard(key: bytes = SECRET.encode(), away: timedelta = timedelta(0)) -> dict[str, str]:
    """The headers of a sender that keeps to Standard Webhooks."""
    told = unix(away)
    sum_ = base64.b64encode(mac(f"msg_1.{told}.".encode() + BODY, key)).decode()
    return {"webhook-id": "msg_1", "webhook-timestamp": told, "webhook-signature": f"v1,{sum_}"}


def basic(user: str, password: str) -> str:
    """The value of an Authorization with a password."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


SOUND: Mapping[str, tuple[SourceSettings, dict[str, str]]] = {
    "bearer": (BEARER, {"Authorization": f"Bearer {SECRET}"}),
    "basic": (BEARER, {"Authorization": basic("imt", SECRET)}),
    "grafana": (GRAFANA, {"X-Grafana-Alerting-Signature": mac(BODY).hex()}),
    "grafana with the time": (TIMED, timed()),
    "pagerduty": (PAGERDUTY, {"X-PagerDuty-Signature": f"v1={mac(BODY).hex()}"}),
    "sentry": (SENTRY, {"Sentry-Hook-Signature": mac(BODY).hex()}),
    "sentry of old": (SENTRY, {"sentry-app-signature": mac(BODY).hex()}),
    "plain": (PLAIN, {"X-Own-Signature": mac(BODY).hex()}),
    "plain, prefixed": (PLAIN, {"X-Own-Signature": f"sha256={mac(BODY).hex()}"}),
    "standard webhooks": (STANDARD, standard()),
}
SIGNED = {name: pair for name, pair in SOUND.items() if pair[0].proof == "signature"}

every_way = pytest.mark.parametrize(("source", "headers"), SOUND.values(), ids=list(SOUND))
every_signature = pytest.mark.parametrize(("source", "headers"), SIGNED.values(), ids=list(SIGNED))


def refused(
    source: SourceSettings,
    headers: Mapping[str, str],
    body: bytes = BODY,
    secrets: tuple[str, ...] = (SECRET,),
) -> str:
    """The words in which a request is refused."""
    with pytest.raises(SignatureError) as caught:
        check(source, secrets, headers, body, NOW)
    return str(caught.value)


@every_way
def test_a_request_that_proves_its_sender_passes(source: SourceSettings, headers: dict[str, str]):
    """Each kind's own signature over the raw body, or a token, is believed."""
    check(source, (SECRET,), headers, BODY, NOW)


@every_way
def test_names_of_headers_have_no_case(source: SourceSettings, headers: dict[str, str]):
    """A proxy may write header names in capitals or small letters."""
    check(source, (SECRET,), {name.upper(): one for name, one in headers.items()}, BODY, NOW)
    check(source, (SECRET,), {name.lower(): one for name, one in headers.items()}, BODY, NOW)


@every_way
def test_any_of_several_secrets_will_do(source: SourceSettings, headers: dict[str, str]):
    """While a secret is replaced, the old one and the new one are both believed."""
    check(source, (OTHER, SECRET), headers, BODY, NOW)
    check(source, (SECRET, OTHER), headers, BODY, NOW)


@every_way
def test_another_secret_is_refused(source: SourceSettings, headers: dict[str, str]):
    """Who knows another secret is not believed."""
    assert refused(source, headers, secrets=(OTHER,)).startswith(f"Alert source '{source.name}': ")


@every_way
def test_an_empty_secret_never_matches(source: SourceSettings, headers: dict[str, str]):
    """Without a secret, or with only empty ones, nothing is believed."""
    for secrets in ((), ("",), ("", "  ")):
        assert "it has no secret" in refused(source, headers, secrets=secrets)


def test_nobody_signs_with_an_empty_key():
    """What an empty secret would make of a request is refused beside a real one."""
    empty = standard(key=b"")
    assert refused(STANDARD, empty, secrets=("", SECRET))
    assert refused(STANDARD, empty, secrets=("whsec_", "whsec_===="))
    assert refused(PLAIN, {"X-Own-Signature": mac(BODY, b"").hex()}, secrets=("", SECRET))
    assert refused(BEARER, {"Authorization": "Bearer "}, secrets=("", SECRET))
    assert refused(BEARER, {"Authorization": basic("imt", "")}, secrets=("", SECRET))


@every_signature
def test_a_changed_byte_is_refused(source: SourceSettings, headers: dict[str, str]):
    """A signature is one of this very body."""
    assert "is not that of this body" in refused(source, headers, BODY[:-1] + b" ")
    assert refused(source, headers, b"")
    assert refused(source, headers, BODY + b"\n")


@every_way
def test_a_missing_header_is_named(source: SourceSettings, headers: dict[str, str]):
    """Each header that is needed is missed by its name, which says what to look for."""
    for name in headers:
        left = {key: value for key, value in headers.items() if key != name}
        assert "is missing" in refused(source, left)
        assert "is missing" in refused(source, {**headers, name: "  "})
    assert "the header" in refused(source, {})


@every_signature
def test_a_signature_of_another_form_is_refused(source: SourceSettings, headers: dict[str, str]):
    """Too short, too long, no hex or base64, or in letters beyond ASCII: refused, not a fault."""
    name = next(name for name in reversed(headers) if "sign" in name.lower() or name == "X-Sum")
    sound = headers[name]
    for odd in (sound[:-2], sound + "00", sound[:-1] + "ü", "€" * 64, "\ud800", "v1,====", "v1="):
        assert refused(source, {**headers, name: odd}), odd


@every_way
def test_a_header_that_came_twice_is_a_list(source: SourceSettings, headers: dict[str, str]):
    """One true signature among others is believed; a token told twice is not one token."""
    name = list(headers)[-1]
    twice = {**headers, name: f"{headers[name]}, {headers[name]}"}
    if source.proof == "signature" and name != "X-Sum-Time":
        check(source, (SECRET,), twice, BODY, NOW)
    else:
        assert refused(source, twice)


def test_one_header_under_two_spellings_is_one():
    """Names that differ only in case are the same header, and all it says counts."""
    headers = {"sentry-hook-signature": "0" * 64, "Sentry-Hook-Signature": mac(BODY).hex()}
    check(SENTRY, (SECRET,), headers, BODY, NOW)


def test_pagerduty_signs_with_all_its_secrets():
    """PagerDuty lists a signature for each of its secrets, sometimes with blanks after commas."""
    ours, theirs = mac(BODY).hex(), mac(BODY, OTHER.encode()).hex()
    for listed in (f"v1={theirs},v1={ours}", f"v1={theirs}, v1={ours}", f"v2=x,  v1={ours}"):
        check(PAGERDUTY, (SECRET,), {"X-PagerDuty-Signature": listed}, BODY, NOW)
    for listed in (ours, f"v0={ours}", f"V1={ours}", f"v1={theirs}"):
        assert refused(PAGERDUTY, {"X-PagerDuty-Signature": listed})


def test_a_header_of_countless_signatures_is_not_read_to_its_end():
    """Somebody who guesses by the thousand has only the first few compared."""
    many = ",".join(["v1=" + "0" * 64] * 1000 + [f"v1={mac(BODY).hex()}"])
    assert refused(PAGERDUTY, {"X-PagerDuty-Signature": many})


@pytest.mark.parametrize("minutes", [-5, 0, 5])
def test_a_signed_time_may_be_five_minutes_off(minutes: int):
    """Clocks differ a little, and messages take their time."""
    away = timedelta(minutes=minutes)
    check(TIMED, (SECRET,), timed(away), BODY, NOW)
    check(STANDARD, (SECRET,), standard(away=away), BODY, NOW)


@pytest.mark.parametrize(("seconds", "words"), [(-301, "minutes ago"), (301, "minutes from now")])
def test_an_old_or_a_future_request_is_refused(seconds: int, words: str):
    """What was recorded cannot be played again later, nor made ahead."""
    away = timedelta(seconds=seconds)
    assert words in refused(TIMED, timed(away))
    assert words in refused(STANDARD, standard(away=away))


def test_a_time_that_was_not_signed_is_refused():
    """Whoever plays a request again with the time of today has no signature for it."""
    renewed = {**timed(timedelta(hours=-1)), "X-Sum-Time": unix()}
    assert "is not that of this body" in refused(TIMED, renewed)
    renewed = {**standard(away=timedelta(hours=-1)), "webhook-timestamp": unix()}
    assert "is not that of this body" in refused(STANDARD, renewed)


@pytest.mark.parametrize("told", ["", "yesterday", "1e9", "-5", "9" * 400, "１７９", "0x10", "1.5"])
def test_a_time_that_is_none_is_refused(told: str):
    """Only Unix seconds in plain digits are a time."""
    assert refused(TIMED, {**timed(), "X-Sum-Time": told})
    assert refused(STANDARD, {**standard(), "webhook-timestamp": told})


def test_standard_webhooks_secrets_may_be_base64():
    """A secret that starts with whsec_, or is base64, stands for the bytes that it encodes."""
    key = bytes(range(24))
    for secret in ("whsec_" + base64.b64encode(key).decode(), base64.b64encode(key).decode()):
        check(STANDARD, (secret,), standard(key), BODY, NOW)
    assert refused(STANDARD, standard(key), secrets=("whsec_no base64",))


def test_standard_webhooks_lists_by_blanks_and_skips_other_versions():
    """Asymmetric signatures (v1a) are passed over; one of several symmetric ones suffices."""
    headers = standard()
    ours = headers["webhook-signature"]
    wrong = "v1," + base64.b64encode(bytes(32)).decode()
    check(STANDARD, (SECRET,), {**headers, "webhook-signature": f"v1a,x {wrong} {ours}"}, BODY, NOW)
    assert refused(STANDARD, {**headers, "webhook-signature": f"v1a,x {wrong}"})
    assert refused(STANDARD, {**headers, "webhook-id": "msg_2"})


def test_a_bearer_token_may_be_the_password_of_anybody():
    """Senders that know only user and password give the secret as the password."""
    for value in (
        basic("", SECRET),
        basic("anybody", SECRET),
        f"bearer   {SECRET} ",
        basic("a", SECRET).replace("Basic", "BASIC"),
    ):
        check(BEARER, (SECRET,), {"authorization": value}, BODY, NOW)
    for value in (
        SECRET,
        f"Digest {SECRET}",
        "Bearer",
        "Basic",
        "Basic ====",
        basic(SECRET, ""),
        "Basic " + base64.b64encode(SECRET.encode()).decode(),
        f"Basic {SECRET}",
        f"Bearer {SECRET}x",
        f"Bearer {SECRET[:-1]}",
    ):
        assert refused(BEARER, {"authorization": value}), value
    check(BEARER, ("with:colons:",), {"Authorization": basic("u", "with:colons:")}, BODY, NOW)


def test_a_secret_beyond_ascii_is_a_secret():
    """Servers hand header octets over as Latin-1; the secret's UTF-8 is found in them."""
    secret = "Käse-€-käse"
    octets = secret.encode().decode("latin-1")
    check(BEARER, (secret,), {"Authorization": f"Bearer {octets}"}, BODY, NOW)
    check(BEARER, (secret,), {"Authorization": basic("imt", secret)}, BODY, NOW)
    check(PLAIN, (secret,), {"X-Own-Signature": mac(BODY, secret.encode()).hex()}, BODY, NOW)
    assert refused(BEARER, {"Authorization": f"Bearer {octets}!"}, secrets=(secret,))
    assert refused(BEARER, {"Authorization": "Bearer \ud800"}, secrets=("\udcff", SECRET))


def test_without_a_proof_everybody_is_believed():
    """A source that says so asks for nothing."""
    check(replace(BEARER, proof="none"), (), {}, BODY, NOW)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_that_is_asked_to_sign_is_never_believed_unsigned(kind: str):
    """Whatever a kind can do: with proof = "signature", nothing passes that is not signed."""
    source = SourceSettings("it", kind, proof="signature", secrets=("secret://env/X",))
    assert refused(source, {"Authorization": f"Bearer {SECRET}"})
    assert refused(replace(source, header="X-Sum"), {"Authorization": f"Bearer {SECRET}"})


@every_way
def test_words_hold_neither_secret_nor_signature(source: SourceSettings, headers: dict[str, str]):
    """A refusal, which is logged and may be shown, gives away nothing that was to be proven."""
    wrong = {name: value.replace("a", "b") for name, value in headers.items()}
    with pytest.raises(SignatureError) as caught:
        check(source, (SECRET,), wrong, BODY, NOW)
    for words in (str(caught.value), caught.value.hint):
        assert SECRET not in words
        assert mac(BODY).hex() not in words
        assert not any(value in words for value in (*headers.values(), *wrong.values()))


def test_what_was_given_is_compared_only_in_constant_time():
    """Secrets and digests meet in hmac.compare_digest, once, without a way out of its loop."""
    tree = ast.parse(inspect.getsource(signatures))
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "hmac.compare_digest"
    ]
    (comparing,) = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name == "_is_any"
    ]
    assert len(calls) == 1
    assert calls[0] in ast.walk(comparing)
    early = [node for node in ast.walk(comparing) if isinstance(node, (ast.Break, ast.Continue))]
    returns = [node for node in ast.walk(comparing) if isinstance(node, ast.Return)]
    assert early == []
    assert [node in comparing.body for node in returns] == [True]


anything = st.one_of(
    st.text(max_size=80),
    st.sampled_from([value for _, headers in SOUND.values() for value in headers.values()]),
    st.from_regex(r"(v1[=,]|sha256=|Basic |Bearer )?[0-9a-zA-Z+/=]{0,90}"),
)
names = st.sampled_from(
    [
        *{name for _, headers in SOUND.values() for name in headers},
        "AUTHORIZATION",
        "Webhook-Id",
        "",
    ]
)
sources = st.sampled_from([source for source, _ in SOUND.values()])


@given(
    source=sources,
    headers=st.dictionaries(names, anything),
    body=st.one_of(st.binary(max_size=60), st.just(BODY)),
    secrets=st.lists(st.one_of(st.text(max_size=20), st.just(SECRET)), max_size=3),
)
def test_whatever_comes_is_believed_or_refused(
    source: SourceSettings, headers: dict[str, str], body: bytes, secrets: list[str]
):
    """No header, body or secret leads to anything but a pass or a SignatureError."""
    with suppress(SignatureError):
        check(source, secrets, headers, body, NOW)


@given(body=st.binary(max_size=200), secret=st.text(min_size=1).filter(str.strip))
def test_every_body_can_be_signed_with_every_secret(body: bytes, secret: str):
    """What is not text, or no JSON, is proven by the same rules."""
    key = secret.encode("utf-8", "surrogatepass")
    check(GRAFANA, (secret,), {signatures.GRAFANA_HEADER: mac(body, key).hex()}, body, NOW)
