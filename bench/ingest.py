"""Deliveries per second that are on disk when they are answered, and how long a sender waits.

    python bench/ingest.py [FOLDER]

Rounds of three are interleaved, so that each ratio is taken within one round: the disk alone
(write a line and fdatasync), the same web server with an empty answer, and ``imt serve``, which
turns what it keeps into alerts of 200 services meanwhile.

Afterwards both servers are asked at half the rate that ``imt serve`` has just kept, each request at
a moment that was fixed before; its wait counts from that moment, also where the sender was still
waiting for the answer before. Ends within two and a half minutes; that part within one.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

from facts import folder_for, machine, table
from log import SECONDS, disk
from programs import IMT, listening

from imtkit.config import load_settings
from imtkit.kit import open_desk
from imtkit.model.entries import WORKSPACE

ROUNDS = 3
PACED_ROUNDS = 2
PACED_SECONDS = 6.0
SENDERS = 32
SERVICES = 200
SOURCE = '[alerts.sources.storm]\nkind = "alertmanager"\nproof = "none"\n'


@dataclass(slots=True)
class Round:
    """What one round of a server came to: seconds a request, and what it was left with."""

    spans: list[float]
    backlog: int = 0
    drained_seconds: float = 0.0


def request(number: int) -> bytes:
    """One alert, as Alertmanager posts it."""
    service = f"service-{number % SERVICES}"
    alert = {
        "status": "firing",
        "labels": {"alertname": "ErrorsHigh", "service": service, "severity": "critical"},
        "annotations": {"summary": f"{service} fails", "description": "More than 5 % for 2 min."},
        "startsAt": "2026-11-21T10:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example/graph",
        "fingerprint": f"{number:016x}",
    }
    body = json.dumps({"version": "4", "groupKey": service, "alerts": [alert]}).encode()
    head = f"POST /alerts/storm HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def connected(url: str) -> socket.socket:
    """A connection that a sender keeps."""
    place = urlsplit(url)
    return socket.create_connection((place.hostname, place.port), timeout=60)


def post(line: socket.socket, wanted: bytes) -> None:
    """Send a request and wait for its 202."""
    line.sendall(wanted)
    answer = b""
    while b"\r\n\r\n" not in answer or not answer.rstrip().endswith(b"}"):
        answer += line.recv(4096)
    assert answer.startswith(b"HTTP/1.1 202"), answer


def sender(url: str, numbers: Iterable[int], ends_at: float, spans: list[float]) -> None:
    """Post one after the other on one connection, until a monotonic time."""
    with connected(url) as line:
        for number in numbers:
            wanted = request(number)
            began_at = time.monotonic()
            if began_at >= ends_at:
                return
            post(line, wanted)
            spans.append(time.monotonic() - began_at)


def punctual(url: str, due: Iterable[tuple[int, float]], spans: list[float]) -> None:
    """Post each at its monotonic time on one connection, or as soon after it as that is free."""
    with connected(url) as line:
        for number, due_at in due:
            wanted = request(number)
            time.sleep(max(0.0, due_at - time.monotonic()))
            post(line, wanted)
            spans.append(time.monotonic() - due_at)


def together(work: Callable[[int, list[float]], None]) -> list[float]:
    """What all senders wrote down of their waits; each is told its number."""
    spans: list[list[float]] = [[] for _ in range(SENDERS)]
    threads = [Thread(target=work, args=one) for one in enumerate(spans)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [span for own in spans for span in own]


def stormed(url: str) -> list[float]:
    """How long each of the posts took that all senders made, who wait for nothing but answers."""
    ends_at = time.monotonic() + SECONDS
    return together(lambda place, own: sender(url, range(place, 10**9, SENDERS), ends_at, own))


def paced(url: str, rate: float) -> list[float]:
    """How long after its moment each post was answered, so many a second being due."""
    number = int(rate * PACED_SECONDS)
    begins_at = time.monotonic() + 0.5  # by then all are connected
    due = [(one, begins_at + one / rate) for one in range(number)]
    spans = together(lambda place, own: punctual(url, due[place::SENDERS], own))
    assert len(spans) == number, "a sender gave up"
    return spans


def empty(folder: Path, asked: Callable[[str], list[float]] = stormed) -> Round:
    """The same web server, which reads a body and answers 202."""
    with listening((sys.executable, __file__, "--empty"), folder) as url:
        return Round(asked(url))


def imt_serve(folder: Path, name: str, asked: Callable[[str], list[float]] = stormed) -> Round:
    """``imt serve`` in a workspace of its own; what it answered is checked in its log."""
    root = folder / name
    root.mkdir()
    (root / "imt.toml").write_text(SOURCE)
    with listening((*IMT, "serve", "--port", "0", "--json"), root) as url:
        time.sleep(2.0)  # a server that has just begun loads what it needs
        found = Round(asked(url))
        began_at = time.monotonic()
        with open_desk(root) as desk:
            heads = {head.incident: head.count for head in desk.store.heads()}
            kept = heads[WORKSPACE]
            found.backlog = len(found.spans) - sum(
                one.type == "alert.received" for one in desk.store.entries()
            )
            while handled(root) < kept and time.monotonic() - began_at < 60:
                time.sleep(0.2)
        found.drained_seconds = time.monotonic() - began_at
    with open_desk(root) as desk:
        types = [one.type for one in desk.store.entries()]
        assert desk.store.verify() == [], "the log does not verify"
    assert types.count("delivery.received") == len(found.spans), "an answered delivery is missing"
    return found


def handled(root: Path) -> int:
    """The place in the chain up to which deliveries are alerts."""
    from imtkit.kit import intake

    with open_desk(root) as desk:
        return intake.progress(desk).through


def serve_empty() -> None:
    """Be the empty server."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    from imtkit.web import server

    async def answer(request: Request) -> Response:
        return JSONResponse({"delivery": len(await request.body())}, 202)

    settings = load_settings(Path.cwd())
    bound = server.bound_socket(replace(settings, serve=replace(settings.serve, port=0)))
    print(json.dumps({"url": server.address_of(bound)}, indent=1), flush=True)
    app = Starlette(routes=[Route("/alerts/{source}", answer, methods=["POST"])])
    config = uvicorn.Config(
        app, http=server.PatientProtocol, loop="asyncio", log_config=None, access_log=False
    )
    asyncio.run(uvicorn.Server(config).serve(sockets=[bound]))


def main() -> None:
    """Measure, and print both tables."""
    floors: list[list[float]] = []
    empties: list[Round] = []
    served: list[Round] = []
    with folder_for(sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        (folder / "imt.toml").write_text("")
        for number in range(ROUNDS):
            floors.append(disk(folder))
            empties.append(empty(folder))
            served.append(imt_serve(folder, f"round{number}"))
        half = statistics.median(len(one.spans) for one in served) / SECONDS / 2
        unhurried = at_rate(folder, half)
    print(machine())
    rows = [
        row("write + fdatasync", floors, empties, floors),
        row("empty answer", [one.spans for one in empties], empties, floors),
        row("imt serve", [one.spans for one in served], empties, floors),
    ]
    head = ("", "a second", "of empty", "of the disk's", "p50", "p99", "longest")
    table(f"{ROUNDS} rounds of {SECONDS} s, {SENDERS} senders, medians over rounds", head, rows)
    for one in served:
        rate = len(one.spans) / SECONDS
        print(
            f"imt serve: {rate:,.0f} a second kept; {one.backlog:,} of {len(one.spans):,} were no "
            f"alerts yet at the end of the storm, and were {one.drained_seconds:.1f} s later"
        )
    title = (
        f"Half of that, {half:,.0f} a second for {PACED_ROUNDS} rounds of {PACED_SECONDS:g} s: "
        "waits from the moment a request was due"
    )
    table(title, ("", "p50", "p99", "p99 of each round", "longest"), unhurried)


def at_rate(folder: Path, rate: float) -> list[tuple[str, ...]]:
    """The waits, in milliseconds, of who asks so often a second, whatever the answers do."""
    waits: dict[str, list[list[float]]] = {"empty answer": [], "imt serve": []}
    for number in range(PACED_ROUNDS):
        asked = partial(paced, rate=rate)
        waits["empty answer"].append(empty(folder, asked).spans)
        waits["imt serve"].append(imt_serve(folder, f"paced{number}", asked).spans)
    rows: list[tuple[str, ...]] = []
    for name, rounds in waits.items():
        every = [span for one in rounds for span in one]
        each = ", ".join(f"{percentile(one, 99):.1f}" for one in rounds)
        longest = f"{max(every) * 1000:.0f} ms"
        middle, late = (f"{percentile(every, share):.1f} ms" for share in (50, 99))
        rows.append((name, middle, late, f"{each} ms", longest))
    return rows


def percentile(spans: list[float], share: int) -> float:
    """In milliseconds, how long so many of a hundred took at most."""
    return sorted(spans)[len(spans) * share // 100] * 1000


def row(
    name: str, rounds: list[list[float]], empties: list[Round], floors: list[list[float]]
) -> tuple[str, ...]:
    """Rate, its ratios within each round, and waits in milliseconds."""
    of_empty = [len(one) / len(other.spans) for one, other in zip(rounds, empties, strict=True)]
    of_disk = [len(one) / len(floor) for one, floor in zip(rounds, floors, strict=True)]
    every = [span for one in rounds for span in one]
    return (
        name,
        f"{statistics.median(len(one) for one in rounds) / SECONDS:,.0f}",
        f"{statistics.median(of_empty):.0%}",
        f"{statistics.median(of_disk):.0%}",
        f"{percentile(every, 50):.1f} ms",
        f"{percentile(every, 99):.1f} ms",
        f"{max(every) * 1000:.0f} ms",
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["--empty"]:
        serve_empty()
    else:
        os.environ.pop("IMT_STORE_URL", None)
        main()
