"""The scrubber: no form of a secret comes through, whole or in pieces."""

from __future__ import annotations

import html
import json
from base64 import b64encode, urlsafe_b64encode
from itertools import pairwise
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imtkit.model.scrubber import Scrubber

CANARY = 'Z1-canary/+&"é~9'
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
SECRETS = st.text(st.characters(exclude_categories=["Cs"]), min_size=6, max_size=24)


def streamed(scrubber: Scrubber, pieces: list[str]) -> str:
    """What comes out when the pieces arrive one after the other."""
    out, rest = [], ""
    for piece in pieces:
        safe, rest = scrubber.begun(rest + piece)
        out.append(safe)
    return "".join([*out, scrubber.text(rest)])


@pytest.mark.parametrize(
    "written",
    [
        CANARY,
        json.dumps({"token": CANARY}),
        json.dumps({"token": CANARY}, ensure_ascii=False),
        repr(CANARY),
        repr(CANARY.encode()),
        CANARY.encode().hex(),
        html.escape(CANARY),
        quote(CANARY),
        quote(CANARY, safe="").lower().replace("z1", "Z1"),
        quote_plus(CANARY),
        *(b64encode(before + CANARY.encode() + b":x").decode() for before in (b"", b"a", b"ab")),
        *(urlsafe_b64encode(b + CANARY.encode()).decode() for b in (b"", b"a", b"ab")),
    ],
)
def test_every_form_is_replaced(written: str):
    """As it is, in JSON, Python, HTML, hexadecimal, an address, and base64 at every place."""
    assert "[secret token]" in Scrubber({"token": CANARY}).text(f"before {written} after")


@given(SECRETS, TEXTS, TEXTS)
def test_nothing_between_the_marks_is_a_secret(secret: str, before: str, after: str):
    """Whatever stands around it, no form of a secret is left."""
    scrubber = Scrubber({"token": secret})
    out = scrubber.text(before + secret + after + secret)
    parts = out.split("[secret token]")
    assert len(parts) > 1
    assert not [form for form in scrubber.forms for part in parts if form in part]


@given(SECRETS, st.binary(max_size=7), st.binary(max_size=7))
def test_base64_hides_nothing(secret: str, before: bytes, after: bytes):
    """A secret inside something longer is found in its base64, standard and for addresses."""
    for encode in (b64encode, urlsafe_b64encode):
        encoded = encode(before + secret.encode() + after).decode()
        assert "[secret token]" in Scrubber({"token": secret}).text(encoded)


@given(SECRETS, SECRETS, st.lists(TEXTS, max_size=4), st.data())
def test_pieces_come_out_as_the_whole_would(one: str, two: str, around: list[str], data):
    """However a text is cut into messages, what comes out is what scrubbing it whole gives."""
    scrubber = Scrubber({"one": one, "two": two})
    text = one.join(around) + two + json.dumps(one) + b64encode(two.encode()).decode()
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=8).map(sorted))
    pieces = [text[start:end] for start, end in pairwise([0, *cuts, len(text)])]
    assert streamed(scrubber, pieces) == scrubber.text(text)


@given(SECRETS, st.lists(TEXTS, min_size=2, max_size=4), st.data())
def test_a_cut_leaves_no_secret_in_two(secret: str, around: list[str], data):
    """What is after a cut is scrubbed as well as the whole: no end of a secret is left."""
    scrubber = Scrubber({"token": secret})
    text = secret.join(around)
    wished = data.draw(st.integers(0, len(text)))
    place = scrubber.past(text, wished)
    assert place >= wished
    for form in scrubber.forms:
        spanning = range(max(0, place - len(form) + 1), place)
        assert not [at for at in spanning if text.startswith(form, at)]


def test_what_is_held_back_is_short():
    """Only an end that may be a secret's beginning waits; all else is passed on at once."""
    scrubber = Scrubber({"token": CANARY})
    assert scrubber.begun("nothing here\n") == ("nothing here\n", "")
    assert scrubber.begun("so far Z1-can") == ("so far ", "Z1-can")
    assert scrubber.begun("x" * 100_000)[0] == "x" * 100_000


def test_a_secret_of_many_lines_is_known_by_its_lines():
    """A private key printed line by line is taken out line by line."""
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----"
    out = Scrubber({"key": key}).text("  MIIEvQIBADANBgkq\n> hkiG9w0BAQEFAASC")
    assert out == "  [secret key]\n> [secret key]"


def test_data_is_scrubbed_to_its_last_text_and_key():
    """Tables, lists and keys; numbers stay numbers; without secrets all stays as it is."""
    scrubber = Scrubber({"token": CANARY})
    assert scrubber.data({"a": [f"x{CANARY}", 1, None], CANARY: True}) == {
        "a": ["x[secret token]", 1, None],
        "[secret token]": True,
    }
    nothing = Scrubber({"token": ""})
    assert not nothing
    assert nothing.text(CANARY) == CANARY
    assert nothing.begun(CANARY) == (CANARY, "")
