"""Real payloads, mutated by bytes and by structure, posted to a real receiver.

Of every sender ours, and those of a folder that IMT_PAYLOADS names. IMT_FUZZ sets how many are
posted; each is the same on every run.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any

import pytest
import requests
from alert_messages import MAPPED, SOUND
from servers import until
from serving import Served, serving, with_sources

from imtkit.config import shipped
from imtkit.config.alerts import KINDS
from imtkit.kit import open_desk
from imtkit.model.entries import WORKSPACE

PAYLOADS = os.environ.get("IMT_PAYLOADS", "")
POSTS = int(os.environ.get("IMT_FUZZ") or 240)
ALLOWED = {202, 400, 401, 413}

PIECES = (
    *(b"\\ud800", b"\x00", b'"', b"\\", b"{", b"[" * 300, b"]", b"1e999", b"-", b"\xff\xfe"),
    *(b"null", b"NaN", b"\xed\xa0\x80", b"\xe2\x80\xae", b"\x1b[2J", b",", b":", b"9" * 5000),
)
ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 10**400, 1e308, "", "\x00", "\ud800", "\u202e", "x" * 200_000, [], {}),
    *([[]], {"": None}, "https://[", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"),
    *("{{ 7*7 }}", "$(reboot)", "<script>", "resolved", "firing", "1795000000000"),
    [{"a": 1}] * 500,
)


def seeds() -> list[tuple[str, bytes]]:
    """Bodies by the kind of their sender."""
    own = [(source.kind, json.dumps(body).encode()) for source, body in SOUND]
    recorded = sorted(Path(PAYLOADS).glob("*/*.json")) if PAYLOADS else []
    for path in recorded:
        kind = path.parent.name.removesuffix("-captured")
        own.append((kind if kind in KINDS else "mapped", path.read_bytes()))
    return own


def by_bytes(body: bytes, chance: Random) -> bytes:
    """The body with a few of its bytes changed, cut, doubled, or pieces put in."""
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(body) + 1)
        end = min(len(body), start + chance.randint(0, 40))
        noise = chance.randbytes(chance.randint(1, 9))
        piece = chance.choice((b"", body[start:end] * 2, chance.choice(PIECES), noise))
        body = body[:start] + piece + body[end:]
    return body


def by_structure(body: bytes, chance: Random) -> bytes:
    """The body with a few of its values, names or branches others."""
    try:
        told = json.loads(body)
    except ValueError:
        return by_bytes(body, chance)
    for _ in range(chance.randint(1, 4)):
        holder, name = chance.choice(list(places(told)) or [({"": told}, "")])
        value = holder[name]
        deep = value
        for _ in range(chance.choice((1, 150))):
            deep = [deep] if chance.random() < 0.5 else {"a": deep}
        odd = deepcopy(chance.choice(ODD))
        holder[name] = chance.choice((odd, odd, deep, [value, deepcopy(value)]))
        if isinstance(holder, dict) and chance.random() < 0.3:
            holder[chance.choice((str(chance.choice(ODD)), name.upper()))] = holder.pop(name)
    return json.dumps(told).encode()


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in it that holds something: a table or list, and the name or number there."""
    inside = value.items() if isinstance(value, dict) else ()
    inside = enumerate(value) if isinstance(value, list) else inside
    for name, one in list(inside):
        yield value, name
        yield from places(one)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace that knows every kind of sender, and asks none of them for a proof but one."""
    root = tmp_path_factory.mktemp("fuzz") / "workspace"
    (root / "outputs").mkdir(parents=True)
    (root / "imt.toml").write_text((shipped("templates") / "imt.toml").read_text())
    tables = [f'\n[alerts.sources.{kind}]\nproof = "none"\n' for kind in KINDS]
    fields = "".join(f'{name} = "{path}"\n' for name, path in MAPPED.fields.items())
    rule = '\n[[alerts.rules]]\nname = "all"\nparameters = { url = "annotation:url" }\n'
    return with_sources(root, f"{''.join(tables)}\n[alerts.sources.mapped.fields]\n{fields}{rule}")


def post(session: requests.Session, served: Served, source: str, body: bytes) -> int:
    """The status of the answer; as a sender does, it comes again when it is told to."""
    for _ in range(5):
        answer = session.post(f"{served.url}alerts/{source}", data=body, timeout=60)
        if answer.status_code != 503:
            break
    return answer.status_code


def test_no_mutated_payload_is_a_fault_of_ours(
    workspace: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each is kept or refused for what it is, what is kept becomes alerts, and nothing is logged
    as an error.
    """
    ways: tuple[Callable[[bytes, Random], bytes], ...] = (by_bytes, by_structure)
    bodies, answers = seeds(), []
    with serving(workspace) as served, requests.Session() as session:
        for number in range(POSTS):
            kind, body = bodies[number % len(bodies)]
            chance = Random(f"{kind}/{number}")
            mutated = ways[number // len(bodies) % 2](body, chance)
            source = "shop" if number % 40 == 39 else kind
            answers.append(post(session, served, source, mutated))
            assert answers[-1] in ALLOWED, (number, kind, mutated[:300])
        until(lambda: served.metric("imt_deliveries_unhandled") == 0, 60)
    assert {202, 400, 401} <= set(answers)
    faults = [one for one in caplog.records if one.levelno >= logging.ERROR or one.exc_info]
    assert [one.getMessage() for one in faults] == []
    with open_desk(workspace) as desk:
        refused = [e.data for e in desk.store.entries(WORKSPACE) if e.type == "delivery.refused"]
        assert desk.store.verify() == []
    assert refused == [], "what is kept can be turned into alerts"
