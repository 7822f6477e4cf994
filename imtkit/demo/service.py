"""Two small HTTP services, run as processes: orders, and the inventory it depends on.

``python -m imtkit.demo.service inventory`` answers what is in stock, from a database in memory.
``python -m imtkit.demo.service orders --inventory URL`` lists orders with what is in stock of
each, and says in its health document what it depends on. Both print their port and end with
whoever started them.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

STOCK = {"lamp": 14, "kettle": 3, "rope": 120}
ORDERS = {1041: "lamp", 1042: "rope", 1043: "kettle"}
PATIENCE_SECONDS = 0.8
"""How long orders waits for the inventory's answer."""

Answer = tuple[int, Mapping[str, Any]]


class Inventory:
    """Answers ``/stock`` from its database, and ``/health``."""

    def __init__(self) -> None:
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._turn = threading.Lock()
        self._database.execute("CREATE TABLE stock (sku TEXT PRIMARY KEY, left_over INTEGER)")
        self._database.executemany("INSERT INTO stock VALUES (?, ?)", STOCK.items())

    def answer(self, path: str) -> Answer:
        """The status and the document for a path."""
        if path not in ("/stock", "/health"):
            return 404, {"error": f"there is no {path}"}
        with self._turn:
            rows = self._database.execute("SELECT sku, left_over FROM stock").fetchall()
        if path == "/stock":
            return 200, dict(rows)
        return 200, {"status": "pass", "checks": {}}


@dataclass(frozen=True)
class Stock:
    """One look into the inventory: what it said, or why it said nothing, and how long it took."""

    left: Mapping[str, int]
    error: str
    seconds: float


class Orders:
    """Answers ``/orders``, for which it asks the inventory, and ``/health``."""

    def __init__(self, inventory: str) -> None:
        self._place = urlsplit(inventory).netloc

    def answer(self, path: str) -> Answer:
        """The status and the document for a path."""
        if path not in ("/orders", "/health"):
            return 404, {"error": f"there is no {path}"}
        stock = self._ask()
        if path == "/health":
            return self._health(stock)
        if stock.error:
            return 503, {"error": f"inventory: {stock.error}"}
        orders = [{"id": n, "sku": sku, "left": stock.left[sku]} for n, sku in ORDERS.items()]
        return 200, {"orders": orders}

    def _ask(self) -> Stock:
        began = time.monotonic()
        connection = HTTPConnection(self._place, timeout=PATIENCE_SECONDS)
        try:
            connection.request("GET", "/stock")
            left, error = json.loads(connection.getresponse().read()), ""
        except TimeoutError:
            left, error = {}, f"no answer within {PATIENCE_SECONDS:g} s from {self._place}"
        except (OSError, HTTPException, ValueError) as failure:
            left, error = {}, f"{failure} ({self._place})"
        finally:
            connection.close()
        return Stock(left, error, time.monotonic() - began)

    def _health(self, stock: Stock) -> Answer:
        """A document of the form of draft-inadarei-api-health-check-06."""
        status = "fail" if stock.error else "pass"
        check = {
            "componentType": "component",
            "observedValue": round(stock.seconds * 1000),
            "observedUnit": "ms",
            "status": status,
            "time": datetime.now(UTC).isoformat(),
            **({"output": stock.error} if stock.error else {}),
        }
        document = {"status": status, "checks": {"inventory:responseTime": [check]}}
        return (503 if stock.error else 200), document


def handler_of(answer: Callable[[str], Answer]) -> type[BaseHTTPRequestHandler]:
    """A request handler that answers GET with JSON and keeps no log."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, document = answer(urlsplit(self.path).path)
            body = json.dumps(document).encode()
            kind = "application/health+json" if self.path == "/health" else "application/json"
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the base's name
            """Say nothing: the terminal is the demo's."""

    return Handler


class QuietServer(ThreadingHTTPServer):
    """A server that is not upset by callers who hang up."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 # a socket
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def end_with_parent() -> None:
    """End when whoever started this process ends, however that happens."""
    if sys.platform == "linux":
        import ctypes

        # A stopped process cannot notice anything itself; the kernel ends it (PR_SET_PDEATHSIG).
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)

    def wait() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def main() -> None:
    """Serve on loopback until the parent ends."""
    parser = argparse.ArgumentParser(prog="python -m imtkit.demo.service")
    parser.add_argument("what", choices=("inventory", "orders"))
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--inventory", default="")
    given = parser.parse_args()
    end_with_parent()
    part = Orders(given.inventory) if given.what == "orders" else Inventory()
    with QuietServer(("127.0.0.1", given.port), handler_of(part.answer)) as server:
        sys.stdout.write(f"{server.server_port}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
