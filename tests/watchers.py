"""A real Prometheus and a real Alertmanager on loopback, and a small service that can break."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

_NAMES = {
    # Debian's names, then those of the projects' own downloads
    "prometheus": ("prometheus",),
    "alertmanager": ("prometheus-alertmanager", "alertmanager"),
}

_PROMETHEUS = """\
global: {{scrape_interval: 1s, evaluation_interval: 1s, external_labels: {{cluster: test}}}}
rule_files: [{rules}]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{alertmanager}']}}]}}]}}
scrape_configs:
- {{job_name: shop, static_configs: [{{targets: ['127.0.0.1:{shop}']}}]}}
"""

_RULES = """\
groups:
- name: shop
  rules:
  - alert: ShopDown
    expr: shop_healthy == 0
    labels: {{severity: critical, service: shop}}
    annotations:
      summary: The shop answers with errors
      url: http://127.0.0.1:{shop}/health
"""

_ALERTMANAGER = """\
route: {{receiver: imt, group_by: [alertname], group_wait: 0s, group_interval: 1s}}
receivers:
- name: imt
  webhook_configs:
  - url: {url}
    send_resolved: true
    http_config: {{authorization: {{type: Bearer, credentials: {token}}}}}
"""


@dataclass
class Shop:
    """A service of one page, which is well or not."""

    port: int
    is_well: bool = True
    asked: list[str] = field(default_factory=list)


@contextmanager
def shop() -> Iterator[Shop]:
    """The service: ``/health`` answers 200 or 500, ``/metrics`` says which."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            here.asked.append(self.path)
            is_metrics = self.path == "/metrics"
            body = f"shop_healthy {int(here.is_well)}\n" if is_metrics else "the shop\n"
            self.send_response(200 if is_metrics or here.is_well else 500)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing on stderr."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        here = Shop(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield here
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def watching(shop: Shop, folder: Path, *, url: str, token: str) -> Iterator[None]:
    """Prometheus watches the shop, and Alertmanager posts what it says to an address."""
    ports = [free_port() for _ in range(2)]
    rules, settings, routes = (folder / f"{name}.yml" for name in ("rules", "prom", "routes"))
    rules.write_text(_RULES.format(shop=shop.port))
    settings.write_text(_PROMETHEUS.format(rules=rules, alertmanager=ports[1], shop=shop.port))
    routes.write_text(_ALERTMANAGER.format(url=url, token=token))
    alertmanager = (
        _program("alertmanager"),
        f"--config.file={routes}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{ports[1]}",
        "--cluster.listen-address=",
    )
    prometheus = (
        _program("prometheus"),
        f"--config.file={settings}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{ports[0]}",
    )
    with _up(alertmanager, ports[1], folder), _up(prometheus, ports[0], folder):
        yield


def free_port() -> int:
    """A port of loopback that nobody listens at now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _program(name: str) -> str:
    found = next((path for path in map(shutil.which, _NAMES[name]) if path), None)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@contextmanager
def _up(command: Sequence[str], port: int, folder: Path) -> Iterator[None]:
    """A program that is ready, until the end."""
    log = folder / f"{Path(command[0]).name}.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink, cwd=folder)
    try:
        ends_at = time.monotonic() + 60
        while not _is_ready(port):
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < ends_at, log.read_text()[-2000:]
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
