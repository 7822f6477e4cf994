"""A real S3 server for tests: moto's, as a process of its own, on a free port of loopback."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import pytest

KEY, SECRET = "an-access-key", "a-secret-key"


@dataclass(frozen=True)
class S3:
    """A server that is up."""

    url: str

    def bucket(self) -> str:
        """The name of a new, empty bucket."""
        name = f"imt-{uuid4().hex[:12]}"
        self.files().mkdir(name)
        return name

    def files(self):
        """The server's files, past imtkit."""
        import fsspec

        return fsspec.filesystem(
            "s3", endpoint_url=self.url, key=KEY, secret=SECRET, use_listings_cache=False
        )


@contextmanager
def running_s3() -> Iterator[S3]:
    """A server, ended afterwards with all it holds."""
    with TemporaryDirectory(prefix="imt-s3-") as folder:
        log = Path(folder, "log")
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
                stdout=sink,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        try:
            yield S3(_address(process, log))
        finally:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    ends = time.monotonic() + 60
    while time.monotonic() < ends and process.poll() is None:
        told = re.search(r"http://127\.0\.0\.1:[1-9]\d*", log.read_text())
        if told:
            return told[0]
        time.sleep(0.05)
    raise AssertionError(f"moto's server did not come up: {log.read_text()}")


def name_address(workspace: Path, address: str, *, url: str = "") -> None:
    """Have a workspace send its outputs to an address; ``url`` is that of an S3 server.

    A folder is made: imtkit makes none.
    """
    if address.startswith("file://"):
        Path(address.removeprefix("file://")).mkdir(parents=True, exist_ok=True)
    table = f'[outputs]\naddress = "{address}"\n'
    if url:
        table += (
            f'[outputs.options]\nendpoint_url = "{url}"\n'
            'key = "secret://env/DEPOT_KEY"\nsecret = "secret://env/DEPOT_SECRET"\n'
        )
    path = workspace / "imt.toml"
    text = re.sub(
        r"^\[outputs\]\n.*?(?=^\[(?!outputs)|\Z)",
        "",
        path.read_text(encoding="utf-8"),
        flags=re.MULTILINE | re.DOTALL,
    )
    path.write_text(f"{text}\n{table}", encoding="utf-8")


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    """A server for the tests of one module."""
    with running_s3() as server:
        yield server


@pytest.fixture
def depot_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a workspace refers to, in the environment of this process and of those it starts."""
    monkeypatch.setenv("DEPOT_KEY", KEY)
    monkeypatch.setenv("DEPOT_SECRET", SECRET)
