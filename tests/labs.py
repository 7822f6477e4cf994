"""Real Jupyter servers for tests: free ports of loopback, folders of their own, ended after use."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import nbformat
import psutil
import pytest
import requests
import servers
from nbformat.v4 import new_code_cell, new_notebook, new_output

from imtkit.config import load_settings
from imtkit.kit import Desk, open_desk
from imtkit.lab import reach
from imtkit.lab.serve import lab_command
from imtkit.model.checklist import MIME_TYPE
from imtkit.model.gates import MIME_TYPE as GATE_MIME_TYPE
from imtkit.runs.lease import process_of

ROOT = Path(__file__).resolve().parent.parent
TOKEN = "a-token-for-tests"
_RENAMED = (
    "import os, socket, sys; socket.sethostname(sys.argv[1]); os.execvp(sys.argv[2], sys.argv[2:])"
)
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


@dataclass(frozen=True)
class Lab:
    """A running Jupyter server in a workspace."""

    url: str
    workspace: Path
    process: psutil.Process
    log: Path

    def get(self, path: str, **more: Any) -> requests.Response:
        """GET with the token."""
        return self.ask("GET", path, **more)

    def post(self, path: str, body: object, **more: Any) -> requests.Response:
        """POST a JSON body with the token."""
        return self.ask("POST", path, data=json.dumps(body), **more)

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        """Any request with the token, under imtkit's address."""
        return requests.request(
            method,
            f"{self.url}imtkit/api/{path}",
            headers={"Authorization": f"token {TOKEN}"},
            timeout=30,
            **more,
        )

    def kernels(self) -> list[psutil.Process]:
        """The processes of the kernels that run now."""
        return [child for child in self.process.children(recursive=True) if _is_kernel(child)]


def _is_kernel(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
        cold = any("ipykernel" in part for part in process.cmdline())
        return cold or process.name() == "imt-kernel"
    return False


def a_workspace(folder: Path) -> Path:
    """A folder made a workspace, with the settings that ship and no runbooks of its own."""
    (folder / "outputs").mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "templates" / "imt.toml", folder)
    return folder


@pytest.fixture
def anns_desk(lab: Lab) -> Iterator[Desk]:
    """A test's own view of the log of the module's ``lab``, as Ann Example."""
    with open_desk(lab.workspace, actor="Ann Example") as opened:
        yield opened


@pytest.fixture
def bos_desk(lab: Lab) -> Iterator[Desk]:
    """A test's own view of the log of the module's ``lab``, as Bo Berg."""
    with open_desk(lab.workspace, actor="Bo Berg") as opened:
        yield opened


def until(is_so: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something is so that a server or a run is to bring about."""
    servers.until(is_so, seconds)


def record_of(lab: Lab) -> Path:
    """The file in which a server says where it is."""
    return reach.record_of(load_settings(lab.workspace), process_of(lab.process.pid))


@contextmanager
def serving(workspace: Path, **more: Any) -> Iterator[Lab]:
    """A server of the workspace as ``running_lab`` starts it, once it carries out runs."""
    with running_lab(workspace, **more) as lab:
        until(lambda: record_of(lab).is_file())
        yield lab


@contextmanager
def running_lab(
    workspace: Path,
    *,
    person: str = "",
    environment: Mapping[str, str] | None = None,
    extra: Sequence[str] = (),
    is_workspace_gone: bool = False,
    host: str = "",
) -> Iterator[Lab]:
    """JupyterLab as ``imt lab`` starts it, with the labextension of this checkout.

    ``is_workspace_gone``: the folder is no workspace any more when the server starts. ``host``:
    what the machine is called to it, if not as it is.
    """
    # Short, because the kernels' sockets lie in it and their paths have a limit.
    home = Path(mkdtemp(prefix="imt-lab-"))
    extensions = home / "share" / "labextensions"
    extensions.mkdir(parents=True)
    (extensions / "imtkit").symlink_to(ROOT / "imtkit" / "lab" / "labextension")
    command = lab_command(
        load_settings(workspace),
        open_browser=False,
        actor=person,
        extra=(
            "--ServerApp.port=0",
            "--ServerApp.allow_root=True",
            f"--IdentityProvider.token={TOKEN}",
            "--LabApp.expose_app_in_browser=True",
            *extra,
        ),
    )
    if is_workspace_gone:
        (workspace / "imt.toml").unlink()
    own = {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "JUPYTER_PATH": str(home / "share"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "run"),
        "IPYTHONDIR": str(home / "ipython"),
        "GIT_CONFIG_NOSYSTEM": "1",
        **(environment or {}),
    }
    log = home / "server.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [*_on_host(host), *command.arguments],
            env={**command.environment, **own},
            cwd=command.folder,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
        try:
            yield Lab(
                _address(process, home / "run", log), workspace, psutil.Process(process.pid), log
            )
        finally:
            _end(process)
            shutil.rmtree(home, ignore_errors=True)


def _on_host(name: str) -> list[str]:
    """What to put before a command so that to it the machine is called this: Linux can do that."""
    if not name:
        return []
    unshare = ["unshare", "--uts"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--uts"]
    rename = [*unshare, sys.executable, "-c", _RENAMED, name]
    if subprocess.run([*rename, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this system lets nobody give a process a host name of its own (unshare)")
    return rename


def _address(process: subprocess.Popen[bytes], runtime: Path, log: Path) -> str:
    """Where the server listens, once it answers."""
    ends_at = time.monotonic() + 90
    while time.monotonic() < ends_at and process.poll() is None:
        for path in runtime.glob("jpserver-*.json"):
            try:
                port = json.loads(path.read_text())["port"]
                url = f"http://127.0.0.1:{port}/"
                if requests.get(f"{url}api", timeout=10).ok:
                    return url
            except (ValueError, KeyError, requests.RequestException):
                pass
        time.sleep(0.1)
    raise AssertionError(f"JupyterLab did not start:\n{log.read_text()[-4000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Stop the server and whatever it started."""
    try:
        children = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        children = []
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in children:
        try:
            os.kill(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def write_notebook(path: Path, *sources: str, outputs: Mapping[int, Any] | None = None) -> Path:
    """A notebook of code cells; ``outputs`` are MIME bundles by the cell's number."""
    cells = [new_code_cell(source, id=f"cell-{n}") for n, source in enumerate(sources)]
    for number, bundle in (outputs or {}).items():
        cells[number].outputs = [
            new_output("execute_result", data=bundle, execution_count=1, metadata={})
        ]
        cells[number].execution_count = 1
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": KERNEL}), path)
    return path


def stored_checklist(incident_id: str, name: str) -> dict[str, Any]:
    """What a notebook keeps of a checklist that was displayed when nothing was ticked."""
    return {
        "text/plain": f"{name} (0 of 3 done)",
        "text/html": f"<p>{name}, as it was when displayed</p>",
        MIME_TYPE: {"incident": incident_id, "list": name},
    }


def stored_gate(incident_id: str, gate: str) -> dict[str, Any]:
    """What a notebook keeps of a gate that was displayed while it waited."""
    return {
        "text/plain": f"{gate} – waiting",
        "text/html": f"<p>{gate}, as it was when displayed</p>",
        GATE_MIME_TYPE: {"incident": incident_id, "gate": gate},
    }
