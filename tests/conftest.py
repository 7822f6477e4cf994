"""What every floor stands on: a clean environment, a fixed clock, real databases, counted skips.

``IMT_NO_SKIP=1`` (set in CI) makes a skipped test a failed one.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from clocks import FixedClock
from hypothesis import HealthCheck, settings
from servers import start_postgres
from terminal import Imt, caller

if TYPE_CHECKING:
    from imtkit.kit import Desk
    from imtkit.store.log import SqlStore

ROOT = Path(__file__).resolve().parent.parent
_NO_SKIP = os.environ.get("IMT_NO_SKIP", "") not in ("", "0")
_KEPT = ("IMT_CHROMIUM",)

# A machine that others use too is no fault of the code's; examples are the same everywhere.
settings.register_profile(
    "house",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("house")


def _foreign(name: str) -> bool:
    return name.startswith(("IMT_", "GIT_", "JUPYTERHUB_")) and name not in _KEPT


@pytest.fixture(autouse=True)
def _clean_environment(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the person who runs the tests reaches them: no name, no settings, no home."""
    for name in filter(_foreign, list(os.environ)):
        monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def clock() -> FixedClock:
    """A clock at noon UTC of 21 November 2026, moved by the test alone."""
    return FixedClock()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A folder that ``imt init`` could have made."""
    root = tmp_path / "workspace"
    for folder in ("runbooks", "outputs"):
        (root / folder).mkdir(parents=True)
    shutil.copy(ROOT / "templates" / "imt.toml", root / "imt.toml")
    return root


@pytest.fixture
def memory_store(clock: FixedClock) -> Iterator[SqlStore]:
    """An empty log in memory, on the fixed clock."""
    from imtkit.store import open_store

    store = open_store("sqlite://", clock=clock)
    yield store
    store.close()


@pytest.fixture
def desk(workspace: Path, memory_store: SqlStore, clock: FixedClock) -> Desk:
    """Ann Example at work in the workspace, with a log in memory and the fixed clock."""
    from imtkit.config import load_settings
    from imtkit.kit import Desk

    return Desk(load_settings(workspace), memory_store, clock, "Ann Example", "cli")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A running PostgreSQL, one for each xdist worker: it starts in a second."""
    with start_postgres() as server:
        yield server.dsn


@pytest.fixture(scope="session")
def postgres_run(postgres_url: str) -> Iterator[Callable[[str], None]]:
    """Runs one SQL statement on the server, outside any test's database."""
    import psycopg

    with psycopg.connect(postgres_url, autocommit=True) as connection:
        yield lambda statement: connection.execute(statement) and None  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str, postgres_run: Callable[[str], None]) -> str:
    """The name of a database that holds imtkit's tables, to copy from."""
    from imtkit.store import open_store

    postgres_run("CREATE DATABASE imt_template")
    open_store(_database(postgres_url, "imt_template")).close()
    return "imt_template"


@pytest.fixture
def postgres_database(postgres_url: str, postgres_run: Callable[[str], None]) -> Iterator[str]:
    """The URL of a new, empty database, dropped after the test."""
    yield from _fresh(postgres_url, postgres_run, "")


@pytest.fixture
def postgres_log(
    postgres_url: str, postgres_run: Callable[[str], None], postgres_template: str
) -> Iterator[str]:
    """The URL of a new database that has imtkit's tables, dropped after the test."""
    yield from _fresh(postgres_url, postgres_run, f"TEMPLATE {postgres_template}")


def _fresh(url: str, run: Callable[[str], None], how: str) -> Iterator[str]:
    name = f"imt_{uuid4().hex[:12]}"
    run(f"CREATE DATABASE {name} {how}")
    yield _database(url, name)
    run(f"DROP DATABASE {name} WITH (FORCE)")


def _database(url: str, name: str) -> str:
    return f"{url.rpartition('/')[0]}/{name}"


# Skips are counted, and in CI none is allowed.


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    outcome: Any = yield
    _refuse_skip(outcome.get_result())


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report() -> Iterator[None]:
    outcome: Any = yield
    _refuse_skip(outcome.get_result())


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if _NO_SKIP and report.skipped and not hasattr(report, "wasxfail"):
        report.longrepr = f"IMT_NO_SKIP forbids skipping: {_reason(report)}"
        report.outcome = "failed"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end how many tests were skipped, and for what."""
    reasons = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", []))
    if not reasons:
        return
    terminalreporter.section("tests that were not run")
    for reason, count in reasons.most_common():
        terminalreporter.line(f"{count:4} skipped: {reason}")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


@pytest.fixture
def imt(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Imt:
    """Calls ``imt`` in the workspace as Ann Example."""
    monkeypatch.chdir(workspace)
    monkeypatch.setenv("IMT_USER", "Ann Example")
    return caller(capsys)
