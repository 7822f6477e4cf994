"""The source distributions of papermill and nbclient, with the notebooks they test themselves with.

They are downloaded once, by pip and from whatever index it is set to, and kept in pytest's cache.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

_LOCK = Path(__file__).resolve().parent.parent / "requirements.lock"
_NAMES = ("papermill", "nbclient")


class NotThereError(Exception):
    """The distributions cannot be had, for this reason."""


def their_sources(cache: Path) -> Path:
    """The folder that holds ``papermill/`` and ``nbclient/`` as they were released.

    Of the versions that are installed here. Workers of one test run wait for each other; when
    one of them could not download, the others need not try.
    """
    versions = {name: importlib.metadata.version(name) for name in _NAMES}
    folder = cache / "-".join(f"{name}-{version}" for name, version in versions.items())
    failed = cache / f"failed-{os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())}"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            if failed.exists():
                raise NotThereError(failed.read_text())
            try:
                _download(folder, versions)
            except NotThereError as error:
                failed.write_text(str(error))
                raise
        for note in cache.glob("failed-*"):
            note.unlink()
    return folder


def _download(folder: Path, versions: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as part:
        whole = Path(part) / "whole"
        wanted = Path(part) / "wanted.txt"
        wanted.write_text("".join(_requirement(*one) for one in versions.items()))
        is_checked = "--hash" in wanted.read_text()
        options = ["--quiet", "--no-input", "--disable-pip-version-check", "--retries", "1"]
        options += ["--no-deps", "--no-binary", ",".join(versions), "--dest", part]
        options += ["--require-hashes"] * is_checked
        _run([*_pip(Path(part)), "download", *options, "-r", str(wanted)])
        for name, version in versions.items():
            [packed] = Path(part).glob(f"{name}-{version}.tar.gz")
            with tarfile.open(packed) as archive:
                archive.extractall(part, filter="data")
            (whole / name).parent.mkdir(exist_ok=True)
            packed.with_name(f"{name}-{version}").rename(whole / name)
        whole.rename(folder)


def _requirement(name: str, version: str) -> str:
    """The line for one distribution, with its hashes where it is the one that is locked."""
    found = re.search(
        rf"^{name}=={re.escape(version)}( \\\n +--hash=\S+)+$", _LOCK.read_text(), re.MULTILINE
    )
    return f"{found[0] if found else f'{name}=={version}'}\n"


def _pip(folder: Path) -> Sequence[str]:
    """A pip: this Python's, the one's that it was made with, or a new environment's."""
    for python in (sys.executable, getattr(sys, "_base_executable", sys.executable)):
        pip = [python, "-m", "pip"]
        if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode == 0:
            return pip
    _run([sys.executable, "-m", "venv", str(folder / "pip")])
    return [str(folder / "pip" / "bin" / "python"), "-m", "pip"]


def _run(words: Sequence[str]) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=150, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise NotThereError(f"{' '.join(words[1:4])} failed: {said[-1] if said else 'no word'}")
