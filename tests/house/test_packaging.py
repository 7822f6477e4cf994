"""What travels in the packages, built from a copy that git knows nothing of."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("imtkit", "runbooks", "templates", "tests", "docs", "bench")
LEFT_BEHIND = (
    "outputs/imt.db",
    "outputs/INC-2026-0001/record/index.html",
    "imt-demo/outputs/imt.db",
    ".venv/pyvenv.cfg",
    ".tools/uv",
)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[set[str], set[str]]:
    """The names in the wheel and in the sdist, of a tree that was worked in."""
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    tree = tmp_path_factory.mktemp("packaging") / "imtkit"
    tree.mkdir()
    for path in ROOT.iterdir():
        if path.is_file() and path.name != ".gitignore":
            shutil.copy(path, tree)
    for part in PARTS:
        shutil.copytree(
            ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
        )
    for name in LEFT_BEHIND:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("left behind")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", "dist"],
        cwd=tree,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (wheel,), (sdist,) = (tree / "dist").glob("*.whl"), (tree / "dist").glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = set(archive.namelist())
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    return in_wheel, in_sdist


def _data(names: set[str]) -> set[str]:
    return {name.partition(".data/data/")[2] for name in names if ".data/data/" in name}


def test_the_wheel_holds_all_that_an_installed_user_needs(
    packages: tuple[set[str], set[str]],
) -> None:
    """Modules, runbooks, templates, the labextension, the server's configuration, the type mark."""
    in_wheel, _ = packages
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "imtkit").rglob("*.py")
        if "__pycache__" not in path.parts
    }
    for kind in ("runbooks", "templates"):
        expected |= {
            f"imtkit/_shipped/{path.relative_to(ROOT).as_posix()}"
            for path in (ROOT / kind).rglob("*")
            if path.is_file() and ".ipynb_checkpoints" not in path.parts
        }
    assert expected <= in_wheel
    assert "imtkit/py.typed" in in_wheel


def test_jupyter_finds_its_parts_where_it_looks(packages: tuple[set[str], set[str]]) -> None:
    """Labextension, server configuration and nbconvert template go to Jupyter's own folders."""
    data = _data(packages[0])
    assert "share/jupyter/labextensions/imtkit/package.json" in data
    assert "share/jupyter/labextensions/imtkit/static/remoteEntry.js" in data
    assert "etc/jupyter/jupyter_server_config.d/imtkit.json" in data
    assert any(name.startswith("share/jupyter/nbconvert/templates/imtkit/") for name in data)


def test_what_runs_left_behind_never_travels(packages: tuple[set[str], set[str]]) -> None:
    """No database, record or environment is in the wheel or the sdist, with git or without."""
    for names in packages:
        assert not [
            name
            for name in names
            if name.startswith(("outputs/", "imt-demo/", ".venv/", ".tools/"))
            or name.endswith((".db", ".db-wal", ".pyc"))
            or ".ipynb_checkpoints" in name
        ]


def test_the_sdist_holds_what_is_needed_to_test_and_build(
    packages: tuple[set[str], set[str]],
) -> None:
    """Whoever has the sdist has the tests, the docs and the licence too."""
    _, in_sdist = packages
    wanted = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "tests/conftest.py"}
    assert wanted <= in_sdist
