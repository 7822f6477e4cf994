"""How ``imt lab`` starts JupyterLab: in the workspace, with our extension and quiet kernels."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imtkit import config
from imtkit.config import Settings
from imtkit.errors import ConfigError

_KERNELS = "imtkit.lab.kernels.QuietKernelManager"
_WARM = "imtkit-warm"
_CONFIG = Path(__file__).parent / "lab-config"
"""Jupyter configuration of ``imt lab`` alone: nothing asks about news while something burns."""


HEADLESS = ("--Application.log_level=WARN", "--ImtkitExtension.is_headless=True")
"""Jupyter's options where nobody sits: Ctrl-C is meant, and only what is wrong is told."""

WITH_STDIN = "--ImtkitExtension.ends_with_stdin=True"
"""The option for a server that is to end with whoever started it."""

_MEANT = "--jupyter=--allow-root"
_CONFIGURED = ("jupyter_config", "jupyter_server_config", "jupyter_lab_config")
"""The configuration files of Jupyter's that JupyterLab reads, the last one first of all."""


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


def check_root(command: str, options: Sequence[str] = ()) -> None:
    """ConfigError where Jupyter would refuse to start: as root, if nobody said that this is meant.

    It is said by an option or in a configuration file of Jupyter's. ``command`` is ours, for the
    hint.
    """
    if not hasattr(os, "geteuid") or os.geteuid() or _is_root_meant(options):
        return
    raise ConfigError(
        "You are root, and whoever gets at this Jupyter server would be root, too.",
        hint=f"Start it as another user. Where root is meant, in a container say: "
        f"{command} {_MEANT}",
    )


def _is_root_meant(options: Sequence[str]) -> bool:
    for option in reversed(options):
        name, _, value = option.partition("=")
        if name.startswith("--config"):
            return True  # Jupyter reads it, and says what it makes of it
        if name in {"--allow-root", "--ServerApp.allow_root"}:
            return value in ("", "True", "true", "1")
    return _is_root_configured()


def _is_root_configured() -> bool:
    from jupyter_core.paths import jupyter_config_path
    from traitlets.config import Application

    read = Application()
    for name in _CONFIGURED:
        read.load_config_file(name, path=jupyter_config_path())
    return bool(read.config.ServerApp.get("allow_root", False))
