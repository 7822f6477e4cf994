"""The store's adapters: every test of the contract runs over each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from clocks import FixedClock

from imtkit.store import open_store

if TYPE_CHECKING:
    from imtkit.store.log import SqlStore

KINDS = ("sqlite", "memory", pytest.param("postgres", marks=pytest.mark.postgres))
SHARED = ("sqlite", pytest.param("postgres", marks=pytest.mark.postgres))
"""Adapters that several processes can open at once."""


def _url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if kind == "memory":
        return "sqlite://"
    if kind == "sqlite":
        return f"sqlite:///{tmp_path}/imt.db"
    return str(request.getfixturevalue("postgres_log"))


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: FixedClock) -> Iterator[SqlStore]:
    """An empty log, on the fixed clock."""
    opened = open_store(_url(request.param, request, tmp_path), clock=clock)
    yield opened
    opened.close()


@pytest.fixture(params=SHARED)
def open_again(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], SqlStore]]:
    """Opens the same log once more, as another process would; closed with the test."""
    url = _url(request.param, request, tmp_path)
    with ExitStack() as stack:

        def again() -> SqlStore:
            opened = open_store(url)
            stack.callback(opened.close)
            return opened

        yield again


@pytest.fixture(params=SHARED)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database that holds no tables yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/imt.db"
    return str(request.getfixturevalue("postgres_database"))
