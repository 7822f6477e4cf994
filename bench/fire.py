"""What ``storm.py`` and ``chaos.py`` share: the tests' storms and kills, and a place for them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from facts import folder_for

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

import killing  # type: ignore[import-not-found]  # lies among the tests
import servers  # type: ignore[import-not-found]  # lies among the tests
import storms  # type: ignore[import-not-found]  # lies among the tests

__all__ = ["killing", "scene", "servers", "storms"]


@contextmanager
def scene(folder: str | None, store: str) -> Iterator[tuple[Path, servers.Postgres | None]]:
    """An empty workspace; and the PostgreSQL that holds its log, when ``store`` is 'postgres'."""
    os.environ.pop("IMT_STORE_URL", None)
    with ExitStack() as ends:
        root = ends.enter_context(folder_for(folder))
        for name in ("runbooks", "outputs"):
            (root / name).mkdir()
        server = None
        if store == "postgres":
            server = ends.enter_context(servers.start_postgres(plan=servers.Plan(servers.DURABLE)))
            os.environ["IMT_STORE_URL"] = server.dsn
        yield root, server
