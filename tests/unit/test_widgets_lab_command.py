"""How ``imt lab`` starts JupyterLab."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from imtkit.config import load_settings
from imtkit.lab.kernels import transport_for
from imtkit.lab.serve import lab_command


def test_jupyterlab_starts_in_the_workspace(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same Python, the workspace as root, our extension, the person who is known, no news."""
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "/site/config")
    notebook = workspace / "outputs" / "x.ipynb"
    settings = load_settings(workspace)
    command = lab_command(
        settings, port=8901, open_browser=False, notebook=notebook, actor="Ann Example"
    )
    assert command.arguments[:3] == (sys.executable, "-m", "imtkit.lab")
    assert f"--ServerApp.root_dir={workspace}" in command.arguments
    assert {"--no-browser", "--ServerApp.port=8901"} <= set(command.arguments)
    assert command.arguments[-1] == str(notebook)
    assert command.environment["IMT_WORKSPACE"] == str(workspace)
    assert command.environment["IMT_USER"] == "Ann Example"
    ours, site = command.environment["JUPYTER_CONFIG_PATH"].split(":")
    assert (Path(ours) / "labconfig" / "page_config.json").is_file()
    assert site == "/site/config"
    assert command.folder == workspace


def test_nobody_is_named_where_nobody_is_known(workspace: Path) -> None:
    """Without a known person no name is made up; JupyterLab asks."""
    command = lab_command(load_settings(workspace))
    assert "IMT_USER" not in command.environment
    assert "--no-browser" not in command.arguments


def test_sockets_are_used_where_their_paths_fit() -> None:
    """Kernels talk over Unix sockets, unless the folder's name is too long for them."""
    assert transport_for(Path("/run/jupyter")) == "ipc"
    assert transport_for(Path("/" + "long-name/" * 6)) == "tcp"
