"""``./dev`` sets up what is missing, once, whoever calls it from wherever.

A small program stands in for uv, so that nothing is fetched: it notes how it was called and
makes the files that the real one would.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

UV = """#!/bin/sh
echo "$@" >>"$UV_CALLS"
case "$1 $2" in
--version*) echo "uv 0.0.0" ;;
venv*)
    rm -rf .venv
    mkdir -p .venv/bin
    printf '#!/bin/sh\\necho "python $*"\\n' >.venv/bin/python
    printf '#!/bin/sh\\necho "imt $* in $PWD"\\n' >.venv/bin/imt
    chmod +x .venv/bin/python .venv/bin/imt
    ;;
"pip install") sleep "${UV_SECONDS:-0}" ;;
esac
"""


class Checkout:
    """A copy of what ``dev`` needs, in a folder with a space in its name."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a checkout"
        self.calls = folder / "calls"
        self.elsewhere = folder / "elsewhere"
        self.elsewhere.mkdir()
        self.root.mkdir()
        for name in ("dev", "pyproject.toml", "requirements.lock"):
            shutil.copy(ROOT / name, self.root)
        for name in ("imtkit/lab", "templates/record"):
            shutil.copytree(ROOT / name, self.root / name)
        programs = folder / "programs"
        programs.mkdir()
        (programs / "uv").write_text(UV)
        (programs / "uv").chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHON": sys.executable,
            "UV_CALLS": str(self.calls),
        }

    def start(self, *words: str, seconds: float = 0) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self.root / "dev"), *words],
            cwd=self.elsewhere,
            env={**self.environment, "UV_SECONDS": str(seconds)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *words: str) -> tuple[int, str, str]:
        with self.start(*words) as process:
            out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def steps(self) -> list[str]:
        """How often uv made an environment, and how often it installed."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [" ".join(line.split()[:2]) for line in lines if not line.startswith("--version")]


MADE = ["venv --quiet", "pip install", "pip install"]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A fresh checkout with a stand-in for uv."""
    return Checkout(tmp_path)


def test_the_script_is_plain_posix_shell() -> None:
    """Any shell reads it, and it can be run."""
    subprocess.run(["sh", "-n", str(ROOT / "dev")], check=True)
    assert os.access(ROOT / "dev", os.X_OK)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_without_a_command_it_explains_itself(checkout: Checkout) -> None:
    """Usage on stdout; an unknown command is an error, and nothing is set up for it."""
    code, out, _ = checkout.run()
    assert code == 0
    assert "demo" in out
    code, out, err = checkout.run("tset")
    assert (code, out) == (1, "")
    assert "There is no command 'tset'." in err
    assert checkout.steps() == []


def test_the_environment_is_made_once(checkout: Checkout) -> None:
    """A second call finds it; the command works in the folder it was called from."""
    code, out, err = checkout.run("imt", "incident", "list")
    assert code == 0, err
    assert out == f"imt incident list in {checkout.elsewhere}\n"
    assert checkout.steps() == MADE
    assert checkout.run("imt")[0] == 0
    assert checkout.steps() == MADE


def test_everything_that_is_installed_is_locked_by_its_hash(checkout: Checkout) -> None:
    """The lock with hashes, then imtkit itself with nothing fetched to build it."""
    checkout.run("setup")
    first, second = [line for line in checkout.calls.read_text().splitlines() if "install" in line]
    assert "--require-hashes" in first
    assert "-r requirements.lock" in first
    assert {"--no-deps", "--no-build-isolation"} <= set(second.split())
    for name in ("requirements.lock", ".ci/uv.txt"):
        text = (ROOT / name).read_text()
        assert text.count("==") <= text.count("--hash=sha256:")
        assert "http" not in "".join(
            line for line in text.splitlines() if "==" not in line and "--hash" not in line
        )


def test_a_changed_lock_brings_it_up_to_date(checkout: Checkout) -> None:
    """What is there is kept, what changed is installed."""
    checkout.run("setup")
    with (checkout.root / "requirements.lock").open("a") as lock:
        lock.write("# changed\n")
    checkout.run("setup")
    assert checkout.steps() == [*MADE, "pip install", "pip install"]


def test_two_at_once_make_one_environment(checkout: Checkout) -> None:
    """The second waits for the first, and finds its work done."""
    with checkout.start("imt", seconds=0.5) as one, checkout.start("imt", seconds=0.5) as two:
        for process in (one, two):
            assert process.wait(60) == 0
    assert checkout.steps() == MADE


def test_what_was_interrupted_is_begun_anew(checkout: Checkout) -> None:
    """Ctrl-C halfway leaves no environment that looks finished, and no lock behind."""
    with checkout.start("setup", seconds=30) as process:
        ends_at = time.monotonic() + 30
        while "pip install" not in checkout.steps() and time.monotonic() < ends_at:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=120)
    assert process.returncode != 0
    assert checkout.run("setup")[0] == 0
    assert checkout.steps() == ["venv --quiet", "pip install", *MADE]


def test_a_link_to_it_finds_the_checkout(checkout: Checkout, tmp_path: Path) -> None:
    """Somebody's PATH may hold a link to the script."""
    (tmp_path / "dev-link").symlink_to("a checkout/dev")
    done = subprocess.run(
        [str(tmp_path / "dev-link"), "imt"],
        env=checkout.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_without_a_python_the_next_step_is_named(checkout: Checkout, tmp_path: Path) -> None:
    """A clear error, not a shell's."""
    programs = tmp_path / "few"
    programs.mkdir()
    for name in ("sh", "dirname", "readlink", "cat", "printf"):
        found = shutil.which(name)
        assert found is not None
        (programs / name).symlink_to(found)
    done = subprocess.run(
        ["sh", str(checkout.root / "dev"), "setup"],
        env={"PATH": str(programs)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "No Python 3.11 or newer was found." in done.stderr
