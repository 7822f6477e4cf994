"""How ``imt lab`` starts JupyterLab: in the workspace, with our extension and quiet kernels."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imtkit import config
from imtkit.config import Settings

_KERNELS = "imtkit.lab.kernels.QuietKernelManager"
_WARM = "imtkit-warm"
_CONFIG = Path(__file__).parent / "lab-config"
"""Jupyter configuration of ``imt lab`` alone: nothing asks about news while something burns."""


@dataclass(frozen=True, slots=True)
class LabCommand:
    """A program to start: its arguments, its whole environment, its folder."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path


def lab_command(
    settings: Settings,
    *,
    port: int = 0,
    open_browser: bool = True,
    notebook: Path | None = None,
    actor: str = "",
    extra: Sequence[str] = (),
) -> LabCommand:
    """JupyterLab in a workspace, with the Python that runs this.

    ``port`` 0 lets Jupyter choose. ``notebook`` is opened at once. ``actor`` is who works
    there, else the person this machine knows; nobody known is asked in the browser. ``extra``
    are Jupyter's own options, and win.
    """
    person = actor or config.known_person()
    options = [
        f"--ServerApp.root_dir={settings.root}",
        "--ServerApp.jpserver_extensions=imtkit.lab=True",
        f"--AsyncMappingKernelManager.kernel_manager_class={_KERNELS}",
        f"--KernelProvisionerFactory.default_provisioner_name={_WARM}",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        *([f"--ServerApp.port={port}"] if port else []),
        *([] if open_browser else ["--no-browser"]),
        *extra,
        *([str(notebook)] if notebook is not None else []),
    ]
    paths = (str(_CONFIG), os.environ.get("JUPYTER_CONFIG_PATH", ""))
    known = {
        "IMT_WORKSPACE": str(settings.root),
        "JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, paths)),
        **({"IMT_USER": person} if person else {}),
    }
    return LabCommand(
        (sys.executable, "-m", "imtkit.lab", *options),
        {**os.environ, **known},
        settings.root,
    )
