"""Whatever is posted, to whichever kind of sender: a delivery, or a PayloadError."""

from __future__ import annotations

import json
from typing import Any

import pytest
from alert_messages import MAPPED, SOUND, source
from hypothesis import given, settings
from hypothesis import strategies as st

from imtkit.alerts.payloads import delivery_from
from imtkit.alerts.payloads.reading import MARK
from imtkit.config.alerts import KINDS, SourceSettings
from imtkit.errors import PayloadError
from imtkit.model.entries import utc_text

SENDERS = [MAPPED if kind == "mapped" else source(kind) for kind in KINDS]

ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    10**4000,
    1e308,
    float("nan"),
    float("-inf"),
    "",
    "\x00",
    "\ud800",
    "\u202e",
    "x" * 3000,
    "{EVENT.ID}",
    "$ID",
    "https://[",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    [],
    {},
    [[]],
    {"": None},
    ["\udfff", {"tag": []}],
]
LEAVES = st.one_of(
    st.sampled_from(ODD),
    st.integers(),
    st.floats(),
    st.text(st.characters(codec=None), max_size=30),
    st.datetimes().map(lambda moment: moment.isoformat()),
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec=None), max_size=10), inner, max_size=4)
    ),
    max_leaves=15,
)


def read(sender: SourceSettings, body: bytes) -> None:
    """Nothing but a delivery that can be stored, or a PayloadError that can be told."""
    try:
        delivery = delivery_from(sender, body)
    except PayloadError as refused:
        f"{refused} {refused.hint}".encode()
        return
    for notice in delivery.notices:
        assert MARK.fullmatch(notice.fingerprint)
        assert notice.episode.isascii()
        told = {**notice.labels, **notice.annotations}
        for text in (*told, *told.values(), notice.url, notice.group, notice.title, notice.name):
            text.encode("utf-8")
            assert "\x00" not in text
        assert len(json.dumps(told)) < 20_000_000
        assert "\n" not in notice.title
        assert all(isinstance(number, float) for number in notice.measures.values())
        utc_text(notice.started_at)
        assert (notice.ended_at is None) or utc_text(notice.ended_at)
        assert notice.url.startswith(("http://", "https://")) or not notice.url


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a message."""
    match value:
        case dict():
            inner = list(value.items())
        case list():
            inner = list(enumerate(value))
        case _:
            inner = []
    return [path, *(deeper for key, one in inner for deeper in places(one, (*path, key)))]


def changed(value: Any, path: tuple[Any, ...], new: object) -> Any:
    """The same message with something else at a place."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


def written(message: object) -> bytes:
    """JSON as bytes, also of what is not quite JSON."""
    return json.dumps(message).encode()


@pytest.mark.parametrize("sender", SENDERS, ids=lambda sender: sender.kind)
@given(body=st.binary(max_size=300))
@settings(max_examples=40)
def test_any_bytes(sender: SourceSettings, body: bytes):
    """Noise is refused."""
    read(sender, body)


@pytest.mark.parametrize("sender", SENDERS, ids=lambda sender: sender.kind)
@given(message=ANYTHING)
@settings(max_examples=60)
def test_any_json(sender: SourceSettings, message: object):
    """JSON of any shape is read or refused."""
    read(sender, written(message))


@pytest.mark.parametrize("sound", SOUND, ids=lambda pair: pair[0].kind)
@given(data=st.data())
@settings(max_examples=60)
def test_a_sound_message_with_anything_in_up_to_three_places(
    sound: tuple[SourceSettings, Any], data: st.DataObject
):
    """Every place of every form may hold anything."""
    sender, message = sound
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(places(message)))
        message = changed(message, path, data.draw(ANYTHING))
    read(sender, written(message))


@pytest.mark.parametrize("sound", SOUND, ids=lambda pair: pair[0].kind)
def test_a_sound_message_with_each_oddity_in_each_place(sound: tuple[SourceSettings, Any]):
    """The list of oddities, thoroughly."""
    sender, message = sound
    for path in places(message):
        for odd in ODD:
            read(sender, written(changed(message, path, odd)))


@pytest.mark.parametrize("sound", SOUND, ids=lambda pair: pair[0].kind)
def test_a_sound_message_that_is_cut_off_or_goes_deep(sound: tuple[SourceSettings, Any]):
    """Half a message is refused, and so is one that nests a hundred thousand times."""
    sender, message = sound
    body = written(message)
    for cut in range(0, len(body), 7):
        read(sender, body[:cut])
    for path in places(message):
        marked = written(changed(message, path, "HERE"))
        read(sender, marked.replace(b'"HERE"', b"[" * 100_000))
        for depth in (100, 190, 250, 5_000):
            deep = b'{"a":' * depth + b"1" + b"}" * depth
            read(sender, marked.replace(b'"HERE"', deep))


@pytest.mark.parametrize("sender", SENDERS, ids=lambda sender: sender.kind)
def test_many_megabytes_of_nothing(sender: SourceSettings):
    """Big bodies made of quotes, backslashes and broken escapes are refused in their time."""
    for piece in (b'"', b"\\", b'\\"', b"\\ud800", b"\x01", b"[]", b"\xff"):
        read(sender, b'{"action":"' + piece * (1_000_000 // len(piece)))
