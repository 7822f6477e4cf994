"""Whether ``imt serve`` says that it is ready when it is, and only then; and its metrics."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from disks import fill, small_disk_at
from servers import until
from serving import TOKEN, Served, message, serving, with_sources

from imtkit.kit import open_desk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes."""
    with small_disk_at(tmp_path / "disk", "size=4m") as disk:
        yield disk


@pytest.fixture
def on_small_disk(
    workspace: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Served]:
    """A server whose log lies on the small disk."""
    monkeypatch.setenv("IMT_STORE_URL", f"sqlite:///{small_disk}/imt.db")
    with_sources(workspace)
    with serving(workspace) as one:
        yield one


def ready(one: Served) -> requests.Response:
    """What the server says of itself."""
    return requests.get(f"{one.url}readyz", timeout=20)


def test_a_full_disk_is_not_ready_before_anybody_loses_anything(
    on_small_disk: Served, small_disk: Path
):
    """Nobody posts, the log is read all the same, and it is said; with space it is ready again."""
    assert ready(on_small_disk).status_code == 200
    ballast = fill(small_disk)
    until(lambda: ready(on_small_disk).status_code == 503, 30)
    assert ready(on_small_disk).json()["store"] == "StoreError"
    until(lambda: on_small_disk.get("").status_code == 200, 30)  # people still read
    assert on_small_disk.post("open", message()).status_code == 503
    ballast.unlink()
    until(lambda: ready(on_small_disk).status_code == 200, 30)
    assert on_small_disk.post("open", message()).status_code == 202


def test_asking_whether_it_is_ready_writes_nothing(workspace: Path):
    """However often: the log has no entry more, and its folder no file more."""
    with_sources(workspace)
    with serving(workspace) as one, open_desk(workspace) as desk:
        assert ready(one).status_code == 200
        files = {path.name for path in (workspace / "outputs").iterdir()}
        for _ in range(20):
            assert ready(one).status_code == 200
        assert list(desk.store.entries()) == []
        assert {path.name for path in (workspace / "outputs").iterdir()} == files


def test_metrics_pass_prometheus_own_check(workspace: Path):
    """Asked for as plain text: promtool finds nothing wrong with names, units and helps."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool (Debian's package prometheus) is not installed")
    with_sources(workspace)
    with serving(workspace) as one:
        one.post("open", message())
        headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "text/plain"}
        text = requests.get(f"{one.url}metrics", headers=headers, timeout=20).text
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_who_goes_astray_with_an_alert_is_told_as_json(workspace: Path):
    """A wrong name, a wrong method: an error and a hint, as all that senders are told."""
    with_sources(workspace)
    with serving(workspace) as one:
        for method, path, status in (
            ("GET", "alerts/open", 405),
            ("POST", "alerts/nobody", 404),
            ("POST", "alerts/open/more", 404),
        ):
            answer = requests.request(method, f"{one.url}{path}", timeout=10)
            assert answer.status_code == status, path
            assert set(answer.json()) == {"error", "hint"}
            assert answer.json()["hint"]
